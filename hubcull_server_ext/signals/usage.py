"""Which processes compute or move data, told from what each used over a window; pure.

It knows counters and when they were read, and nothing of where they come from or of what the
processes are. What it does not see used proves nothing.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import KeysView, Mapping, Sequence
from typing import NamedTuple, Protocol

from hubcull_server_ext.signals.process import Moved, Process

COMPUTES = 0.1
"""Processor seconds per second from which on a process computes. Idle kernels, language servers and apps
use up to 0.004, idle dask workers 0.04, and a slower machine makes more of that."""
MOVES = 128 * 1024
"""Bytes per second, read and written, from which on a process moves data. Idle ones move up to 18 kB/s."""
_STARVED_LOOKS = 4
"""Looks over a whole window at each of which a process would run: it computes, however little it is let. Many
jobs share few cores, and a container's limit stops all of them most of the time. Idle ones sleep."""
SHORTEST_SPAN = 1.0
"""Seconds between two looks at least: the use of a processor is counted in steps of 10 ms."""

_TICKS = os.sysconf("SC_CLK_TCK")

Identity = tuple[int, int]


class Counter(Protocol):
    """Counts a use of which the process table knows nothing, such as that of a network or of a GPU."""

    def read(self, processes: Sequence[Process], now: float) -> Mapping[Identity, float]:
        """Return how much each process has used since we began to count; one that is unknown is left out.

        One unit a second, on average over a window, makes a process active. What was counted once is never
        taken back. It is called in a thread, at each look, ``now`` in monotonic seconds.
        """


class Use(NamedTuple):
    """What an active process used: how often what makes it active, and since when (monotonic s)."""

    share: float
    since: float


class _Seen(NamedTuple):
    """What was known of a process at a look; ``units`` as of all `Counter`s."""

    process: Process
    moved: Moved | None
    units: float | None


class _Gone(NamedTuple):
    """What a parent's children had used before they ended: it has that counted as its own afterwards."""

    ticks: int
    calls: int
    disks: int


_NOTHING = _Gone(0, 0, 0)


class _Look:
    """What was there at one time, and since then: the children that ended."""

    def __init__(self, at: float, seen: dict[Identity, _Seen]) -> None:
        self.at, self.seen = at, seen

    def gone(self, present: KeysView[Identity]) -> dict[int, _Gone]:
        """Return what ended, by the number of its parent."""
        gone: dict[int, _Gone] = {}
        for identity in self.seen.keys() - present:
            process, moved, _ = self.seen[identity]
            ticks, calls, disks = gone.get(process.parent, _NOTHING)
            ticks += process.used + process.used_by_dead
            if moved is not None:
                calls, disks = calls + (moved.calls or 0), disks + moved.disks
            gone[process.parent] = _Gone(ticks, calls, disks)
        return gone


class Meter:
    """Compares each look with one that is a window older; a process must be met twice before it is known.

    Args:
        window: seconds over which use is averaged; what is known for a shorter time must use as much.

    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._looks: deque[_Look] = deque()

    @property
    def looked_at(self) -> float:
        """When the newest look was (monotonic s), minus infinite before the first."""
        return self._looks[-1].at if self._looks else float("-inf")

    def take(
        self,
        processes: Sequence[Process],
        moved: Mapping[Identity, Moved | None],
        now: float,
        begins: Mapping[Identity, float] | None = None,
        units: Mapping[Identity, float] | None = None,
    ) -> dict[Identity, Use]:
        """Take a look, and return which processes are active.

        Args:
            processes: with all their children, or what a child that ended had used is taken for its parent's.
            moved: the bytes each read and wrote so far; None or absent where that is not known.
            now: monotonic seconds, at least `SHORTEST_SPAN` after the look before.
            begins: since when use counts (monotonic s), of processes of which earlier use does not.
            units: what each used so far of what `Counter`s count, all of them taken together.

        """
        while len(self._looks) > 1 and self._looks[1].at <= now - self._window:
            self._looks.popleft()
        units = units or {}
        seen = {p.identity: _Seen(p, moved.get(p.identity), units.get(p.identity)) for p in processes}
        gone = {look.at: look.gone(seen.keys()) for look in self._looks}
        begins, active = begins or {}, {}
        for identity, met in seen.items():
            look = self._base(identity, begins.get(identity, float("-inf")))
            if look is None:
                continue
            span = max(now - look.at, self._window)
            left = gone[look.at].get(met.process.pid, _NOTHING)
            share = _share(met, look.seen[identity], left) / span
            if share < 1.0 and now - look.at >= self._window and self._is_starved(met.process, look.at):
                share = 1.0
            if share >= 1.0:
                active[identity] = Use(share, look.at)
        self._looks.append(_Look(now, seen))
        return active

    def knows(self, process: Process) -> bool:
        """Whether a process was there at the newest look."""
        return bool(self._looks) and process.identity in self._looks[-1].seen

    def _is_starved(self, process: Process, since: float) -> bool:
        """Whether it was running, or waiting for a processor, at every look since then and at many."""
        if process.state != "R":
            return False
        met = [look.seen.get(process.identity) for look in self._looks if look.at >= since]
        states = [None if each is None else each.process.state for each in met]
        return len(states) + 1 >= _STARVED_LOOKS and set(states) == {"R"}

    def _base(self, identity: Identity, begin: float) -> _Look | None:
        return next((look for look in self._looks if look.at >= begin and identity in look.seen), None)


def _share(now: _Seen, before: _Seen, gone: _Gone) -> float:
    """Return for how many seconds the use since ``before`` would do to be active, the longest of all."""
    process, then = now.process, before.process
    by_dead = max(0, process.used_by_dead - then.used_by_dead - gone.ticks)
    share = (process.used - then.used + by_dead) / _TICKS / COMPUTES
    if now.moved is not None and before.moved is not None:
        # Linux adds what a child had moved to its parent's count when the parent has waited for it.
        share = max(share, (now.moved.disks - before.moved.disks - gone.disks) / MOVES)
        if now.moved.calls is not None and before.moved.calls is not None:
            share = max(share, (now.moved.calls - before.moved.calls - gone.calls) / MOVES)
    if now.units is not None and before.units is not None:
        share = max(share, now.units - before.units)
    return share
