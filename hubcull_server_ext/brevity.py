"""Which signals a report names where all of them would make it long; the others it counts.

Pure. It knows what can never decide about a server, whatever the policy: an event when there is a newer one,
work that ended earlier than other work and lasted longer, and what moves no clock. It knows nothing of where
signals come from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from hubcull_server_ext import wire

LIMIT = 4096
"""Bytes; a report should take less. What may decide is named even where that takes more."""
_SORTS, _LONGEST_SORT = 5, 20


def brief(report: wire.Report, limit: int = LIMIT) -> wire.Report:
    """Return the report in less than ``limit`` bytes, if it can be: what may decide, and what has room."""
    if len(wire.to_bytes(report)) < limit:
        return report
    signals = report.signals
    named = set(_deciding(signals))
    left = set(range(len(signals))) - named
    kept = [signals[place] for place in sorted(named)]
    # With as many left the number of the others is as long as it can be.
    counted = _counted([signals[place] for place in left])
    room = limit - len(wire.to_bytes(replace(report, signals=(*kept, *counted))))
    for place in _most_telling_first(signals, left):
        room -= len(wire.to_bytes(signals[place])) + len(",")
        if room <= 0:
            break
        named.add(place)
    others = _counted([signals[place] for place in left - named])
    return replace(report, signals=(*(signals[place] for place in sorted(named)), *others))


def _deciding(signals: Sequence[wire.Signal]) -> Iterator[int]:
    """Yield the places of the signals that may decide, under one policy or another.

    All work that goes on, the newest event, a tab's apart, for it has a rule of its own; of work that ended
    the newest, and earlier work only if it was shorter, for a longer one may have outlived its cap.
    """
    events: dict[bool, int] = {}
    ended: list[tuple[float, float, int]] = []
    for place, signal in enumerate(signals):
        if signal.going_on_for is not None:
            yield place
        elif signal.clock is wire.Clock.NONE:
            continue
        elif signal.ended_ago is not None:
            ended.append((signal.ended_ago, signal.lasted or 0.0, place))
        else:
            tab = signal.kind == wire.Kind.VISIBLE_TAB
            newest = events.get(tab)
            if newest is None or (signal.age or 0.0) < (signals[newest].age or 0.0):
                events[tab] = place
    yield from events.values()
    shortest = float("inf")
    for _, lasted, place in sorted(ended):
        if lasted < shortest:
            shortest = lasted
            yield place


def _most_telling_first(signals: Sequence[wire.Signal], places: set[int]) -> list[int]:
    """Order signals: one of each kind, then the rest; what moves a clock, and the newest, first."""
    kinds: Counter[str] = Counter()
    ranked = []
    for place in sorted(places, key=lambda place: _rank(signals[place])):
        kind = signals[place].kind
        ranked.append((kinds[kind] > 0, place))
        kinds[kind] += 1
    return [place for _, place in sorted(ranked, key=lambda one: one[0])]


def _rank(signal: wire.Signal) -> tuple[bool, bool, float]:
    age = next((seconds for seconds in (signal.age, signal.ended_ago) if seconds is not None), 0.0)
    return signal.clock is wire.Clock.NONE, signal.count == 0, age


def _counted(others: Sequence[wire.Signal]) -> tuple[wire.Signal, ...]:
    """Return the one signal that says how many these are, and of what most of them are."""
    if not others:
        return ()
    sorts = Counter(signal.source.partition(":")[0][:_LONGEST_SORT] for signal in others)
    label = ", ".join(f"{number} {sort}" for sort, number in sorts.most_common(_SORTS))
    return (wire.Signal(wire.Kind.OTHERS, "report", wire.Clock.NONE, label=label, count=len(others)),)
