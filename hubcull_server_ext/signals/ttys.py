"""One pseudo-terminal: its newest keystroke, its newest output, the job that runs in it.

Whose terminal it is, its caller knows; which process is work, `jobs` says.
"""

from __future__ import annotations

import os
import tty
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hubcull_server_ext import wire
from hubcull_server_ext.signals.jobs import Judge
from hubcull_server_ext.signals.process import Process
from hubcull_server_ext.signals.processes import ProcessTable

_ATIME_GRAIN = 8.0
"""Seconds: Linux moves a terminal's times at most this often."""

_READ_DELAY = 1.0
"""Seconds between a keystroke that came by us and the program that reads it."""


class Clocks(NamedTuple):
    """Three clocks, in seconds: monotonic, since the epoch, and since the machine's boot."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]
    boottime: Callable[[], float]


class Sighting(NamedTuple):
    """One terminal as a scan found it: its file's status, its processes with whether each works.

    ``wraps`` as in `Terminal`; ``stirs``: its prompt itself seems to work.
    """

    file: os.stat_result | None
    processes: list[tuple[Process, bool, str]]
    boottime: float
    wraps: bool | None
    stirs: tuple[Process, str] | None


@dataclass(slots=True)
class Terminal:
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

    def take(self, sighting: Sighting, now: float) -> bool:
        """Bring what a scan found together with what was known; return whether a job began or ended."""
        if sighting.file is not None:
            self.input_at, self.output_at = sighting.file.st_atime, sighting.file.st_mtime
        self.wraps = sighting.wraps
        before = self.seen
        self.seen = {}
        jobs: dict[int, tuple[float, str]] = {}
        for process, works, label in _settled(sighting, self.stirred):
            key = process.identity
            since: float | None = None
            if works:
                # One seen before worked since it stopped waiting; a new one since its own start.
                started = now - process.age(sighting.boottime)
                since = (before[key] or now) if key in before else started
                jobs[process.group] = min(jobs.get(process.group, (since, label)), (since, label))
            self.seen[key] = since
        self.stirred = sighting.stirs is not None
        return self._take_jobs(jobs, now)

    def close(self, now: float) -> None:
        """End what still runs: the terminal is gone."""
        self._take_jobs({}, now)

    def inherit(self, closed: Terminal) -> None:
        """Take over from a closed terminal what is newer than anything an earlier one left."""
        self.keystroke = _newer(self.keystroke, closed.keystroke)
        self.input_at = _newer(self.input_at, closed.input_at)
        if closed.ended is not None and (self.ended is None or closed.ended[2] >= self.ended[2]):
            self.ended = closed.ended

    def _take_jobs(self, jobs: Mapping[int, tuple[float, str]], now: float) -> bool:
        """Keep the youngest job: an old one past its cap must not take a new one with it."""
        was_working = self.job is not None
        if jobs:
            since, label = max(jobs.values())
            self.job = (label, since)
        elif self.job is not None:
            label, since = self.job
            self.job, self.ended = None, (label, since, now)
        return was_working != (self.job is not None)


def look(judge: Judge, shell_pid: int, wraps: bool | None, boottime: float) -> Sighting:
    """Judge the processes of one terminal, its file left out; a shell that ended leaves its jobs behind."""
    members = judge.table.of_terminal(shell_pid)
    shell = judge.table.get(shell_pid)
    found = [(p, judge.is_work(p), judge.label(p)) for p in members if p is not shell]
    stirs = None
    if shell is not None and not shell.at_rest:
        wraps = not judge.is_prompt(shell) if wraps is None else wraps
        works, label = judge.first_is_work(shell, wraps), judge.label(shell)
        if works and judge.is_prompt(shell):
            works, stirs = False, (shell, label)
        found.append((shell, works, label))
    return Sighting(None, found, boottime, wraps, stirs)


def file_of(table: ProcessTable, shell_pid: int) -> os.stat_result | None:
    """Return the file status of a terminal, whose times Linux moves on input and output.

    A shell that ended takes the terminal from all of its session: then it is not known, and None.

    Raises:
        OSError: when the file is not there, or is another terminal's (a foreign mount of /dev/pts).

    """
    shell = table.get(shell_pid)
    if shell is None or shell.at_rest:
        device = next((p.tty for p in table.of_terminal(shell_pid) if p.tty), 0)
        if not device:
            return None
    else:
        device = shell.tty
    status = os.stat(f"/dev/pts/{os.minor(device)}")  # noqa: PTH116 - a Path takes longer than that
    if status.st_rdev != device:
        raise FileNotFoundError("the terminal's own file")
    return status


def signals(
    source: str, terminal: Terminal, now: float, wall: float, strength: wire.Strength = wire.Strength.STRONG
) -> list[wire.Signal]:
    """Return input, output and job of a terminal, in the words of a report."""
    presence, work, none = wire.Clock.PRESENCE, wire.Clock.WORK, wire.Clock.NONE
    found: list[wire.Signal] = []
    age = _input_age(terminal, now, wall)
    if age is not None:
        found.append(wire.Signal(wire.Kind.TERMINAL_INPUT, source, presence, strength, age=age))
    if terminal.output_at is not None:
        age = max(0.0, wall - terminal.output_at)
        found.append(wire.Signal(wire.Kind.TERMINAL_OUTPUT, source, none, strength, age=age))
    kind = wire.Kind.TERMINAL_JOB
    if terminal.job is not None:
        label, since = terminal.job
        going_on_for = max(0.0, now - since)
        found.append(wire.Signal(kind, source, work, strength, going_on_for=going_on_for, label=label))
    elif terminal.ended is not None:
        label, since, end = terminal.ended
        ago, lasted = max(0.0, now - end), max(0.0, end - since)
        found.append(wire.Signal(kind, source, work, strength, ended_ago=ago, lasted=lasted, label=label))
    return found


def times_move() -> bool:
    """Tell whether this system moves a terminal's file times when it is read; tried on one of our own.

    Linux does, whether its terminals are mounted ``noatime`` or not; others that look like it may not.
    """
    try:
        ours, theirs = os.openpty()
    except OSError:
        return False
    try:
        tty.setraw(theirs)
        os.utime(theirs, (0, 0))
        os.write(ours, b"x")
        os.read(theirs, 1)
        return os.fstat(theirs).st_atime > 0
    except (OSError, ValueError):
        return False
    finally:
        os.close(ours)
        os.close(theirs)


def _settled(sighting: Sighting, stirred: bool) -> list[tuple[Process, bool, str]]:
    """Return the processes; a prompt that stirs works if it did so at the last look, too.

    One look may just meet a prompt that draws itself.
    """
    if sighting.stirs is None or not stirred:
        return sighting.processes
    shell, label = sighting.stirs
    return [(p, works or p is shell, label if p is shell else text) for p, works, text in sighting.processes]


def _newer(one: float | None, other: float | None) -> float | None:
    return max((at for at in (one, other) if at is not None), default=None)


def _input_age(terminal: Terminal, now: float, wall: float) -> float | None:
    """Return the newest input's age: exact where a keystroke came by us, else at worst too young."""
    exact = None if terminal.keystroke is None else max(0.0, now - terminal.keystroke)
    if terminal.input_at is None:
        return exact
    by_file = wall - terminal.input_at
    if exact is not None and exact <= by_file + _READ_DELAY:
        return exact
    return max(0.0, by_file - _ATIME_GRAIN)
