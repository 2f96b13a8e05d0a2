"""Signals + now -> Report: what every source saw, in one message.

Pure: no clock, no I/O. It knows that sources fail, one by one, and what the wire can
carry; it knows nothing of where signals come from or what they are worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from hubcull_server_ext import wire

_TEXT_LIMIT = 200
_DETAIL_LIMIT = 500


class UnavailableError(Exception):
    """A source that has nothing to watch here, a known and harmless case; the text says why."""


class SourceError(Exception):
    """A source that can not see all it should; the text, written by us, names the remedy and no path.

    ``signals`` is what it saw all the same: doubt about one kernel does not hide another's work.
    """

    def __init__(self, detail: str, signals: Sequence[wire.Signal] = ()) -> None:
        super().__init__(detail)
        self.signals = tuple(signals)


class SignalSource(Protocol):
    """What the snapshot asks of a source of signals.

    It may have a ``strength`` of `wire`, strong unless it says otherwise, and a ``remark``, which goes with
    its health while all is well.
    """

    @property
    def name(self) -> str:
        """The source's fixed name on the wire."""

    def collect(self, now: float) -> list[wire.Signal]:
        """Return what was seen; ``now`` is in seconds on the monotonic clock."""


class Unmade:
    """Stands where a source should be that could not be made, so that this is reported and no more.

    Args:
        name: the source's.
        trouble: the class of what was raised; its text may hold a path.
        strength: the source's, None where it says nothing of it.

    """

    def __init__(self, name: str, trouble: str, strength: wire.Strength | None) -> None:
        self.name, self.strength, self._trouble = name, strength, trouble

    def collect(self, _now: float) -> list[wire.Signal]:
        """Say that it is not there.

        Raises:
            SourceError: always.

        """
        raise SourceError(f"could not be made: {self._trouble}")


@dataclass(frozen=True, slots=True)
class Boot:
    """One run of the server's process: its id, when it began (monotonic s), whom it claims to be."""

    boot_id: str
    started: float
    server: str
    about: wire.About


class Collector:
    """Asks every source in turn; one that raises becomes ``failed``, and the others go on."""

    def __init__(self, sources: Sequence[SignalSource], off: Sequence[str] = ()) -> None:
        self._sources = tuple(sources)
        self._off = tuple(off)
        self._failing_since: dict[str, float] = {}
        self._trouble: dict[tuple[str, str], str] = {}

    def note(self, source: str, act: str, trouble: str | None) -> None:
        """Take note that one of a source's acts (its start, a look) failed, or with None went well."""
        if trouble is None:
            self._trouble.pop((source, act), None)
        else:
            self._trouble[source, act] = f"{act}: {trouble}"

    def collect(self, now: float) -> tuple[tuple[wire.Source, ...], tuple[wire.Signal, ...]]:
        """Return every source's health and all signals; never raises for a source's sake."""
        health: list[wire.Source] = []
        signals: list[wire.Signal] = []
        for source in self._sources:
            state, seen = self._ask(source, now)
            health.append(replace(state, strength=getattr(source, "strength", None)))
            signals.extend(seen)
        health.extend(wire.Source(name, wire.Health.OFF) for name in self._off)
        return tuple(health), tuple(signals)

    def _ask(self, source: SignalSource, now: float) -> tuple[wire.Source, Sequence[wire.Signal]]:
        try:
            signals, remark = source.collect(now), getattr(source, "remark", None)
        except UnavailableError as error:
            self._failing_since.pop(source.name, None)
            return wire.Source(source.name, wire.Health.UNAVAILABLE, _clip(str(error), _DETAIL_LIMIT)), ()
        except SourceError as error:
            return self._failed(source.name, str(error), now), error.signals
        except Exception as error:
            # The text of a foreign exception may hold a path or a user's words; its class does not.
            return self._failed(source.name, type(error).__name__, now), ()
        trouble = [text for (name, _), text in self._trouble.items() if name == source.name]
        if trouble:
            return self._failed(source.name, "; ".join(trouble), now), signals
        self._failing_since.pop(source.name, None)
        return wire.Source(source.name, wire.Health.OK, remark), signals

    def _failed(self, name: str, detail: str, now: float) -> wire.Source:
        since = self._failing_since.setdefault(name, now)
        return wire.Source(
            name, wire.Health.FAILED, _clip(detail, _DETAIL_LIMIT), _tidy_duration(now - since)
        )


def build_report(boot: Boot, sequence: int, collector: Collector, now: float) -> wire.Report:
    """Return the full snapshot at ``now``, at most `wire.MAX_SIGNALS` signals, durations to the ms."""
    sources, signals = collector.collect(now)
    return wire.Report(
        boot_id=boot.boot_id,
        sequence=sequence,
        uptime=_tidy_duration(now - boot.started),
        server=boot.server,
        sources=sources,
        signals=tuple(_tidy(signal) for signal in keep_most_protective(signals, wire.MAX_SIGNALS)),
        about=boot.about,
    )


def keep_most_protective(signals: Sequence[wire.Signal], limit: int) -> Sequence[wire.Signal]:
    """Return at most ``limit`` signals: work under way first, then the newest events, numbers last."""
    if len(signals) <= limit:
        return signals
    return sorted(signals, key=_rank)[:limit]


def _rank(signal: wire.Signal) -> tuple[int, float]:
    if signal.clock is wire.Clock.NONE:
        return 2, 0.0
    if signal.going_on_for is not None:
        return 0, signal.going_on_for
    return 1, signal.age if signal.age is not None else signal.ended_ago or 0.0


def _tidy(signal: wire.Signal) -> wire.Signal:
    """Bring a signal into the wire's limits."""
    return replace(
        signal,
        kind=_clip(signal.kind),
        source=_clip(signal.source),
        label=None if signal.label is None else _clip(signal.label),
        actor=None if signal.actor is None else _clip(signal.actor),
        age=_tidy_optional(signal.age),
        going_on_for=_tidy_optional(signal.going_on_for),
        ended_ago=_tidy_optional(signal.ended_ago),
        lasted=_tidy_optional(signal.lasted),
    )


def _clip(text: str, limit: int = _TEXT_LIMIT) -> str:
    """Bring text into the wire's limits: short, and without what would move an operator's cursor."""
    return "".join(c if c.isprintable() else "?" for c in text[:limit])


def _tidy_optional(seconds: float | None) -> float | None:
    return None if seconds is None else _tidy_duration(seconds)


def _tidy_duration(seconds: float) -> float:
    """Round to ms; a time in the future is taken for now, which protects."""
    return max(0.0, round(seconds, 3))
