"""The processes of one test Hub, found by a mark in their environment.

Parentage does not find them: what a killed Hub leaves behind belongs to process 1. Every process below
the Hub inherits the mark, so nothing can be overlooked and nothing else can be hit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from harness.waiting import wait_until

MARK = "HUBCULL_HARNESS"
"""The environment variable that carries the mark."""


def alive(pid: int) -> bool:
    """Whether the process exists and is not merely waiting to be reaped."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def lasted(pid: int) -> float:
    """Return for how long the process has existed (s); psutil.NoSuchProcess where it is gone."""
    return max(0.0, time.time() - float(psutil.Process(pid).create_time()))


def environment(pid: int) -> dict[str, str]:
    """Return the environment the process was started with, empty where it can not be read."""
    try:
        return dict(psutil.Process(pid).environ())
    except psutil.Error:
        return {}


def command_line(process: psutil.Process) -> str:
    """Return the command line in one string, empty for a process that is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def marked(mark: str) -> Iterator[psutil.Process]:
    """Yield the living processes that carry ``mark``, this one excepted."""
    for process in psutil.process_iter():
        if process.pid != os.getpid() and environment(process.pid).get(MARK) == mark and alive(process.pid):
            yield process


def parent(process: psutil.Process) -> int:
    """Return the number of a process's parent, 0 for a process that is gone."""
    try:
        return int(process.ppid())
    except psutil.Error:
        return 0


def terminal(pid: int) -> str | None:
    """Return the pseudo-terminal that the process reads from, None for another or one that is gone.

    psutil's `Process.terminal` knows only those that were there when it was first asked.
    """
    try:
        path = str(Path(f"/proc/{pid}/fd/0").readlink())
    except OSError:
        return None
    return path if path.startswith("/dev/pts/") else None


def below(pid: int) -> list[psutil.Process]:
    """Return all descendants of the process, none where it is gone."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []


def find_below(pid: int, fragment: str, within: float = 15) -> int:
    """Return the pid of the descendant whose command line contains ``fragment``, the deepest one.

    A child that has its parent's command line was born a moment ago, and is about to become something else.

    Raises:
        TimeoutError: when none appears within ``within`` seconds.

    """

    def look() -> int | None:
        lines = {each.pid: (command_line(each), parent(each)) for each in below(pid)}
        hits = [
            found
            for found, (line, above) in lines.items()
            if fragment in line and line != lines.get(above, ("", 0))[0]
        ]
        return hits[-1] if hits else None

    return wait_until(look, within, f"a process below {pid} with {fragment!r}")


def kill_all(processes: Iterable[psutil.Process], within: float = 5) -> None:
    """Kill processes, of which some may have ended by themselves; wait ``within`` seconds for their end."""
    doomed = list(processes)
    for process in doomed:
        with suppress(psutil.Error):  # it ended by itself
            process.kill()
    psutil.wait_procs(doomed, timeout=within)


def kill_tree(pid: int) -> None:
    """Kill a process and all below it; it is stopped first, and so begins nothing more meanwhile."""
    with suppress(psutil.Error):
        first = psutil.Process(pid)
        first.suspend()
        kill_all([*below(pid), first])


def kill_marked(mark: str, within: float = 10) -> list[str]:
    """Kill every process that carries ``mark``, and what they start meanwhile; return their command lines.

    One that is just becoming another program shows no environment for a moment, so it is looked twice.

    Raises:
        TimeoutError: when some of them outlive SIGKILL by ``within`` seconds.

    """
    killed: dict[int, str] = {}
    empty = 0

    def sweep() -> bool:
        nonlocal empty
        left = list(marked(mark))
        empty = 0 if left else empty + 1
        for process in left:
            killed.setdefault(process.pid, command_line(process))
            try:
                process.kill()
            except psutil.Error:  # it ended by itself
                continue
        return empty == 2

    wait_until(sweep, within, "the end of all processes of the test Hub")
    return list(killed.values())
