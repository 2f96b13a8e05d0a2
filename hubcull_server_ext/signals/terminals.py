"""Terminals: the newest keystroke, the newest output, and the jobs that run in them.

It knows terminado's terminals and the file times of Linux's pseudo-terminals; which
process is work, `jobs` says.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hubcull_server_ext import wire
from hubcull_server_ext.signals.jobs import NOT_WORK, Judge
from hubcull_server_ext.signals.processes import Process, ProcessTable, terminal_file
from hubcull_server_ext.snapshot import SourceError, UnavailableError

_ATIME_GRAIN = 8.0
"""Seconds: Linux moves a terminal's times at most this often."""

_READ_DELAY = 1.0
"""Seconds between a keystroke that came by us and the program that reads it."""


class Clocks(NamedTuple):
    """Three clocks, in seconds: monotonic, since the epoch, and since the machine's boot."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]
    boottime: Callable[[], float]


@dataclass(slots=True)
class _Terminal:
    """What we remember of one terminal; monotonic seconds, but for the file times (wall clock)."""

    keystroke: float | None = None
    input_at: float | None = None
    output_at: float | None = None
    seen: dict[tuple[int, int], float | None] = field(default_factory=dict)
    """Each live process -> since when it works, or None while it does not."""
    wraps: bool | None = None
    """Whether the process it began with was no prompt when we first saw it; None before that."""
    stirred: bool = False
    """Whether its prompt neither waited for input nor for a child at the last look."""
    job: tuple[str, float] | None = None
    ended: tuple[str, float, float] | None = None
    """Label, begin and end of the newest job that is over."""


class _Sighting(NamedTuple):
    """One terminal as a scan found it: its file's status, its processes with whether each works.

    ``wraps`` as in `_Terminal`; ``stirs``: its prompt itself seems to work.
    """

    file: os.stat_result | None
    processes: list[tuple[Process, bool, str]]
    boottime: float
    wraps: bool | None
    stirs: tuple[Process, str] | None


class TerminalsSource:
    """Watches the server's terminals; `sample` every few seconds.

    Args:
        settings: the tornado application's settings; the terminal manager appears there late.
        clocks: what the ages of keystrokes, files and processes need.
        not_work: names of programs that are never work.
        changed: called when something happened that a report would say.

    """

    name = "terminals"

    def __init__(
        self,
        settings: Mapping[str, Any],
        clocks: Clocks,
        not_work: Sequence[str] = NOT_WORK,
        changed: Callable[[], None] = lambda: None,
        processes: ProcessTable | None = None,
    ) -> None:
        self._settings = settings
        self._monotonic, self._wall, self._boottime = clocks
        self._judge = Judge(processes or ProcessTable(), frozenset(not_work))
        self._changed = changed
        self._terminals: dict[str, _Terminal] = {}
        self._departed = _Terminal()
        self._failure: str | None = None

    def keystroke(self, name: str) -> None:
        """Take note that somebody typed in a terminal, exact to the moment; never what was typed."""
        self._terminals.setdefault(name, _Terminal()).keystroke = self._monotonic()
        self._changed()

    async def sample(self) -> None:
        """Look at every terminal's processes, in a thread: a scan takes milliseconds, not nothing."""
        self._failure = None
        shells = self._shells()
        for name in set(self._terminals) - set(shells):
            self._forget(self._terminals.pop(name))
        if not shells or not sys.platform.startswith("linux"):
            return
        try:
            known = {
                name: (pid, terminal.wraps if (terminal := self._terminals.get(name)) else None)
                for name, pid in shells.items()
            }
            scan = asyncio.get_running_loop().run_in_executor(None, self._scan, known)
            sightings = await scan
        except Exception as error:
            self._failure = type(error).__name__
            return
        now = self._monotonic()
        for name, sighting in sightings.items():
            self._take(self._terminals.setdefault(name, _Terminal()), sighting, now)

    def collect(self, now: float) -> list[wire.Signal]:
        """Return input, output and jobs of every terminal, and the newest that a closed one left.

        Raises:
            UnavailableError: where the server has no terminals.
            SourceError: where terminals are open and can not be watched.

        """
        if self._manager() is None:
            raise UnavailableError("this server has no terminals")
        wall = self._wall()
        signals: list[wire.Signal] = []
        for name, terminal in self._terminals.items():
            signals.extend(_signals(f"terminal:{name}", terminal, now, wall))
        signals.extend(_signals("terminal:closed", self._departed, now, wall))
        if not sys.platform.startswith("linux") and self._shells():
            detail = "terminals are watched on Linux only; set watch_terminals to False elsewhere"
            raise SourceError(detail, signals)
        if self._failure is not None:
            raise SourceError(f"terminals can not be watched: {self._failure}", signals)
        return signals

    def _manager(self) -> Any:
        """Return the terminal manager; looked up each time, for it loads after this extension."""
        if not self._settings.get("terminals_available", True):
            return None
        return self._settings.get("terminal_manager")

    def _shells(self) -> dict[str, int]:
        """Return each open terminal's name and its shell's process id."""
        manager = self._manager()
        if manager is None:
            return {}
        shells = {}
        for name, terminal in list(getattr(manager, "terminals", {}).items()):
            pid = getattr(getattr(terminal, "ptyproc", None), "pid", None)
            if isinstance(pid, int):
                shells[str(name)] = pid
            else:
                self._failure = f"{type(terminal).__name__} has no process of its own"
        return shells

    def _scan(self, shells: Mapping[str, tuple[int, bool | None]]) -> dict[str, _Sighting]:
        """Read the processes and file times of all terminals; in a thread, touching no state of ours."""
        table = self._judge.table
        table.refresh(self._boottime())
        return {name: self._look(pid, wraps) for name, (pid, wraps) in shells.items()}

    def _look(self, pid: int, wraps: bool | None) -> _Sighting:
        """Judge the processes of one terminal; a shell that ended leaves its jobs behind."""
        judge = self._judge
        members = judge.table.of_terminal(pid)
        shell = judge.table.get(pid)
        found = [(p, judge.is_work(p), judge.label(p)) for p in members if p is not shell]
        stirs = None
        if shell is not None and not shell.at_rest:
            wraps = not judge.is_prompt(shell) if wraps is None else wraps
            works, label = judge.first_is_work(shell, wraps), judge.label(shell)
            if works and judge.is_prompt(shell):
                works, stirs = False, (shell, label)
            found.append((shell, works, label))
        return _Sighting(terminal_file(shell, members), found, self._boottime(), wraps, stirs)

    def _take(self, terminal: _Terminal, sighting: _Sighting, now: float) -> None:
        """Bring what a scan found together with what was known."""
        if sighting.file is not None:
            terminal.input_at, terminal.output_at = sighting.file.st_atime, sighting.file.st_mtime
        terminal.wraps = sighting.wraps
        before = terminal.seen
        terminal.seen = {}
        jobs: dict[int, tuple[float, str]] = {}
        for process, works, label in _settled(sighting, terminal.stirred):
            key = process.identity
            since: float | None = None
            if works:
                # One seen before worked since it stopped waiting; a new one since its own start.
                started = now - process.age(sighting.boottime)
                since = (before[key] or now) if key in before else started
                jobs[process.group] = min(jobs.get(process.group, (since, label)), (since, label))
            terminal.seen[key] = since
        terminal.stirred = sighting.stirs is not None
        self._take_jobs(terminal, jobs, now)

    def _take_jobs(self, terminal: _Terminal, jobs: Mapping[int, tuple[float, str]], now: float) -> None:
        """Keep the youngest job: an old one past its cap must not take a new one with it."""
        was_working = terminal.job is not None
        if jobs:
            since, label = max(jobs.values())
            terminal.job = (label, since)
        elif terminal.job is not None:
            label, since = terminal.job
            terminal.job, terminal.ended = None, (label, since, now)
        if was_working != (terminal.job is not None):
            self._changed()

    def _forget(self, terminal: _Terminal) -> None:
        """Keep of a closed terminal what is newer than anything a closed one left before."""
        self._take_jobs(terminal, {}, self._monotonic())
        kept = self._departed
        kept.keystroke = _newer(kept.keystroke, terminal.keystroke)
        kept.input_at = _newer(kept.input_at, terminal.input_at)
        if terminal.ended is not None and (kept.ended is None or terminal.ended[2] >= kept.ended[2]):
            kept.ended = terminal.ended


def _settled(sighting: _Sighting, stirred: bool) -> list[tuple[Process, bool, str]]:
    """Return the processes; a prompt that stirs works if it did so at the last look, too.

    One look may just meet a prompt that draws itself.
    """
    if sighting.stirs is None or not stirred:
        return sighting.processes
    shell, label = sighting.stirs
    return [(p, works or p is shell, label if p is shell else text) for p, works, text in sighting.processes]


def _newer(one: float | None, other: float | None) -> float | None:
    return max((at for at in (one, other) if at is not None), default=None)


def _signals(source: str, terminal: _Terminal, now: float, wall: float) -> list[wire.Signal]:
    signals: list[wire.Signal] = []
    age = _input_age(terminal, now, wall)
    if age is not None:
        signals.append(wire.Signal(wire.Kind.TERMINAL_INPUT, source, wire.Clock.PRESENCE, age=age))
    if terminal.output_at is not None:
        age = max(0.0, wall - terminal.output_at)
        signals.append(wire.Signal(wire.Kind.TERMINAL_OUTPUT, source, wire.Clock.NONE, age=age))
    if terminal.job is not None:
        label, since = terminal.job
        signals.append(
            wire.Signal(
                wire.Kind.TERMINAL_JOB,
                source,
                wire.Clock.WORK,
                going_on_for=max(0.0, now - since),
                label=label,
            )
        )
    elif terminal.ended is not None:
        label, since, end = terminal.ended
        signals.append(
            wire.Signal(
                wire.Kind.TERMINAL_JOB,
                source,
                wire.Clock.WORK,
                ended_ago=max(0.0, now - end),
                lasted=max(0.0, end - since),
                label=label,
            )
        )
    return signals


def _input_age(terminal: _Terminal, now: float, wall: float) -> float | None:
    """Return the newest input's age: exact where a keystroke came by us, else at worst too young."""
    exact = None if terminal.keystroke is None else max(0.0, now - terminal.keystroke)
    if terminal.input_at is None:
        return exact
    by_file = wall - terminal.input_at
    if exact is not None and exact <= by_file + _READ_DELAY:
        return exact
    return max(0.0, by_file - _ATIME_GRAIN)
