"""Work without a terminal: which goes on, since when, and which ended; pure.

It is told which processes were active at each look, and knows nothing of how that was seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from hubcull_server_ext import wire

_JOIN_GAP = 60.0
"""Seconds of rest after which what is active again is another job: work in bursts is one."""
_MOST_TOLD = 20
"""How many jobs a report tells of at most, the youngest: they protect longest."""


class Key(NamedTuple):
    """What makes processes one job: where they belong, and their process group.

    ``source`` is how a report names the place. A kernel's own process is ``itself``, apart from its children.
    """

    source: str
    group: int
    itself: bool = False


class Active(NamedTuple):
    """A process that is active: its job, what to call it, how much it uses, and since when (monotonic s)."""

    key: Key
    label: str
    share: float
    since: float


@dataclass(slots=True)
class _Job:
    """Monotonic seconds; ``ended``: the first look that found it quiet, or gone; None while it goes on."""

    label: str
    since: float
    ended: float | None = None


class BackgroundJobs:
    """Remembers the jobs from look to look."""

    def __init__(self) -> None:
        self._jobs: dict[Key, _Job] = {}

    def going_on(self, key: Key) -> bool:
        """Tell whether a job was going on at the newest look."""
        job = self._jobs.get(key)
        return job is not None and job.ended is None

    @property
    def any_going_on(self) -> bool:
        """Whether any job was going on at the newest look."""
        return any(job.ended is None for job in self._jobs.values())

    def take(self, active: Iterable[Active], now: float) -> bool:
        """Take a look, at which these processes were active; return whether a job began or ended."""
        was = {key for key in self._jobs if self.going_on(key)}
        on = set()
        for one in sorted(active, key=lambda one: one.share):
            job = self._jobs.get(one.key)
            if job is None or (job.ended is not None and one.since - job.ended > _JOIN_GAP):
                job = self._jobs[one.key] = _Job(one.label, one.since)
            job.label, job.ended = one.label, None
            on.add(one.key)
        for key in was - on:
            self._jobs[key].ended = now
        self._drop_old(now)
        return was != on

    def signals(self, now: float) -> list[wire.Signal]:
        """Return the jobs that go on, and the one that ended last."""
        on = sorted(((j.since, k) for k, j in self._jobs.items() if j.ended is None))
        found = [
            _signal(key, self._jobs[key], going_on_for=max(0.0, now - since))
            for since, key in on[-_MOST_TOLD:]
        ]
        last = self._newest_ended()
        if last is not None:
            ended, key = last
            job = self._jobs[key]
            lasted = max(0.0, ended - job.since)
            found.append(_signal(key, job, ended_ago=max(0.0, now - ended), lasted=lasted))
        return found

    def _newest_ended(self) -> tuple[float, Key] | None:
        return max(
            ((job.ended, key) for key, job in self._jobs.items() if job.ended is not None), default=None
        )

    def _drop_old(self, now: float) -> None:
        """Forget what ended, but for the newest and what may yet go on as the same job."""
        last = self._newest_ended()
        for key, job in list(self._jobs.items()):
            if job.ended is not None and (job.ended, key) != last and now - job.ended > _JOIN_GAP:
                del self._jobs[key]


def _signal(
    key: Key,
    job: _Job,
    going_on_for: float | None = None,
    ended_ago: float | None = None,
    lasted: float | None = None,
) -> wire.Signal:
    return wire.Signal(
        wire.Kind.BACKGROUND_JOB,
        key.source,
        wire.Clock.WORK,
        wire.Strength.WEAK,
        going_on_for=going_on_for,
        ended_ago=ended_ago,
        lasted=lasted,
        label=job.label,
    )
