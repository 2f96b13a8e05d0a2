"""Work in the background: what computes, or moves data, outside cells and the server's terminals.

Descendants of the server and its kernels, jobs that detached themselves, and terminals that
others opened: tmux, screen, sshd, code-server. It only ever protects: what is not seen here
proves nothing. Which processes are the server's, `belonging` says; where each belongs,
`places`; which were active, `usage`.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from hubcull_server_ext import wire
from hubcull_server_ext.signals.background_jobs import Active, BackgroundJobs
from hubcull_server_ext.signals.belonging import Belongings
from hubcull_server_ext.signals.jobs import Judge
from hubcull_server_ext.signals.kernel_processes import KernelProcess
from hubcull_server_ext.signals.places import Place, Tty, sort_out
from hubcull_server_ext.signals.process import Moved, Process
from hubcull_server_ext.signals.processes import ProcessTable
from hubcull_server_ext.signals.ttys import Clocks, Sighting, Terminal, file_of, look, signals, times_move
from hubcull_server_ext.signals.usage import SHORTEST_SPAN, Counter, Identity, Meter, Use
from hubcull_server_ext.signals.vscode import is_extension_host
from hubcull_server_ext.snapshot import SourceError, UnavailableError

_AT_REST = 6
"""How many intervals pass between two looks while nothing happens."""
_WINDOW = 6
"""Over how many intervals the use of a process is averaged."""
_REUSE = 0.5
"""Seconds for which another source's reading of all processes is new enough."""
_MOST_TTYS = 50
_LONGEST_COMMAND = 4096
UNTIMED = "this system keeps no times of terminals: keystrokes are known only of the server's own"


class Around(NamedTuple):
    """What others know, asked at each look: the kernels' processes, and the shells of watched terminals."""

    kernels: Callable[[], Sequence[KernelProcess]]
    shells: Callable[[], Sequence[int]]


class _Look(NamedTuple):
    """What a look in the thread found; ``unsure``: the next may well find more."""

    active: list[Active]
    ttys: dict[Identity, tuple[Tty, Sighting]]
    unsure: bool


class BackgroundSource:
    """Watches the server's processes; `sample` looks when it is time to, after `hurry` at once.

    Args:
        processes: the table to read them into; who shares it spares one of two readings.
        clocks: what the ages of keystrokes, files and processes need.
        around: what is known of kernels and terminals.
        environment: the server's; what it detached is known by it.
        not_work: names of programs that are never work.
        interval: seconds between two looks while something goes on, six times as long at rest.
        changed: called when something happened that a report would say.
        counters: of what else processes use. One that fails counts nothing for that look.

    """

    name = "background"
    strength = wire.Strength.WEAK

    def __init__(
        self,
        processes: ProcessTable,
        clocks: Clocks,
        around: Around,
        environment: Mapping[str, str],
        not_work: Sequence[str],
        interval: float,
        changed: Callable[[], None] = lambda: None,
        counters: Sequence[Counter] = (),
    ) -> None:
        self._counters: dict[Counter, Mapping[Identity, float]] = {each: {} for each in counters}
        self._table = processes
        self._monotonic, self._wall, self._boottime = clocks
        self._around = around
        self._belongings = Belongings(processes, os.getpid(), environment)
        self._interval, self._changed = interval, changed
        self._meter = Meter(_WINDOW * interval)
        self._jobs = BackgroundJobs()
        self._active: Mapping[Identity, Use] = {}
        self._judge = Judge(processes, frozenset(not_work), lambda p: p.identity in self._active)
        self._ttys: dict[Identity, tuple[str, Terminal]] = {}
        self._closed = Terminal()
        self._next = float("-inf")
        self._timed: bool | None = None
        self._failure: str | None = None

    @property
    def remark(self) -> str | None:
        """What a report says of the source although it is well."""
        return UNTIMED if self._timed is False else None

    @property
    def alone(self) -> bool:
        """Whether nobody but this server was in its container at the last look."""
        return self._belongings.alone

    def hurry(self) -> None:
        """Let the next sample look whatever the time: a report is due."""
        self._next = float("-inf")

    async def sample(self) -> None:
        """Look, in a thread, if it is time to: often while something goes on, seldom at rest."""
        now = self._monotonic()
        if not sys.platform.startswith("linux") or now < self._next:
            return
        if now < self._meter.looked_at + SHORTEST_SPAN:
            return
        try:
            kernels, shells = self._around.kernels(), self._around.shells()
            known = {identity: terminal.wraps for identity, (_, terminal) in self._ttys.items()}
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(None, self._look, kernels, shells, known, now)
        except Exception as error:
            self._failure, self._next = type(error).__name__, now + _AT_REST * self._interval
            return
        self._failure = None
        if self._take_ttys(found, now) | self._jobs.take(found.active, now):
            self._changed()
        at_rest = not (found.unsure or self._jobs.any_going_on or self._a_tty_works)
        self._next = now + (_AT_REST if at_rest else 1) * self._interval

    def collect(self, now: float) -> list[wire.Signal]:
        """Return the jobs in the background, and input, output and jobs of terminals that others opened.

        Raises:
            UnavailableError: on another system than Linux.
            SourceError: where the processes can not be read.

        """
        if not sys.platform.startswith("linux"):
            raise UnavailableError("processes are watched on Linux only")
        found, wall = self._jobs.signals(now), self._wall()
        for source, terminal in [*self._ttys.values(), ("pts:closed", self._closed)]:
            found.extend(signals(source, terminal, now, wall, wire.Strength.WEAK))
        if self._failure is not None:
            raise SourceError(f"processes can not be watched: {self._failure}", found)
        return found

    def _look(
        self,
        kernels: Sequence[KernelProcess],
        shells: Sequence[int],
        known: Mapping[Identity, bool | None],
        now: float,
    ) -> _Look:
        """Read the processes and what they used; in a thread, while nothing else looks."""
        boottime = self._boottime()
        self._table.refresh(boottime, _REUSE)
        members = self._belongings.read(boottime)
        newcomers = not all(self._meter.knows(process) for process in members)
        before = self._meter.looked_at
        places = sort_out(self._table, members, kernels, shells, os.getpid())
        moved = {process.identity: self._moved(process) for process in members}
        units = self._units(members, now)
        self._active = self._meter.take(members, moved, now, self._begins(places.rest), units)
        ttys = {}
        for one in places.ttys[:_MOST_TTYS]:
            identity = one.first.identity
            if identity in known or _is_free(one.kernel, before):
                ttys[identity] = one, self._look_at(one, known.get(identity), boottime)
        just_freed = any(k.free_since is not None and k.free_since > before for k in kernels)
        return _Look(list(self._active_of(places.rest)), ttys, newcomers or just_freed)

    def _moved(self, process: Process) -> Moved | None:
        """Return the bytes that a process moved; of an extension host those to and from disks alone.

        It has several threads. One that it has just forked to start a job looks like it, and has one.
        """
        moved = self._table.moved(process)
        if moved is None or process.threads == 1:
            return moved
        words = self._table.words(process, _LONGEST_COMMAND)
        return moved._replace(calls=None) if is_extension_host(words) else moved

    def _units(self, members: Sequence[Process], now: float) -> Mapping[Identity, float]:
        """Return what each process used by all counters together."""
        units: dict[Identity, float] = {}
        for counter in self._counters:
            with suppress(Exception):  # what it counted until now stands; its own source says so
                self._counters[counter] = counter.read(members, now)
            for identity, used in self._counters[counter].items():
                units[identity] = units.get(identity, 0.0) + used
        return units

    def _begins(self, rest: Sequence[Place]) -> dict[Identity, float]:
        """Return since when use counts of the processes of kernels: what they use for a cell is the cell's.

        What had been going on before the cell goes on, but for the kernel's own process.
        """
        return {
            process.identity: math.inf if kernel.free_since is None else kernel.free_since
            for process, key, kernel in rest
            if kernel is not None and (key.itself or not self._jobs.going_on(key))
        }

    def _active_of(self, rest: Sequence[Place]) -> Iterator[Active]:
        for process, key, _ in rest:
            use = self._active.get(process.identity)
            if use is not None and not process.at_rest and not self._judge.listed(process):
                yield Active(key, self._judge.label(process), use.share, use.since)

    def _look_at(self, one: Tty, wraps: bool | None, boottime: float) -> Sighting:
        """Look at one terminal; its file only where a person may type in it, and has."""
        sighting = look(self._judge, one.first.pid, wraps, boottime)
        self._timed = times_move() if self._timed is None else self._timed
        if one.kernel is None and self._timed:
            with suppress(OSError):  # another mount of /dev/pts is not ours to see
                file = file_of(self._table, one.first.pid)
                if file is not None and file.st_atime > file.st_ctime:  # since it was opened
                    return sighting._replace(file=file)
        return sighting

    def _take_ttys(self, found: _Look, now: float) -> bool:
        """Take what was seen of terminals; return whether a job in one began or ended."""
        changed = False
        for identity in set(self._ttys) - set(found.ttys):
            _, terminal = self._ttys.pop(identity)
            changed |= terminal.job is not None
            terminal.close(now)
            self._closed.inherit(terminal)
        for identity, (one, sighting) in found.ttys.items():
            _, terminal = self._ttys.setdefault(identity, (one.source, Terminal()))
            changed |= terminal.take(sighting, now)
        return changed

    @property
    def _a_tty_works(self) -> bool:
        return any(terminal.job is not None for _, terminal in self._ttys.values())


def _is_free(kernel: KernelProcess | None, since: float) -> bool:
    """Whether no cell ran in a process's kernel from ``since`` on (monotonic s), or it has none."""
    return kernel is None or (kernel.free_since is not None and kernel.free_since <= since)
