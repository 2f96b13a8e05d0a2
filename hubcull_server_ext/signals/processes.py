"""Processes, read from Linux's /proc: which are there, which belong together, which compute.

Questions about one process are `proc_files`' and `proc_waits`'. It knows nothing of jupyter_server.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hubcull_server_ext.signals.proc_waits import ProcessWaits
from hubcull_server_ext.signals.process import Moved, Process, read_stat

_SHORTEST_SPAN = 1.0
"""Seconds over which the use of a processor is measured at least: it is counted in steps of 10 ms."""
_COMPUTES = 0.05
"""Processor seconds per second from which on a process computes."""
_LONGEST_GLANCES = 60.0
"""Seconds after which a glance reads everything, if nobody else has."""
_LONGEST_STAT = 4096

_Identity = tuple[int, int]


class _Mark(NamedTuple):
    """What a process had used, in clock ticks, when it was read."""

    at: float
    used: int


class ProcessTable(ProcessWaits):
    """One reading of all processes; what is asked about one of them is read once a reading.

    Args:
        root: where the kernel's process files are.
        machine: the processor's name, as `platform.machine` gives it.

    """

    def __init__(self, root: Path = Path("/proc"), machine: str | None = None) -> None:
        super().__init__(root, machine)
        self._all: dict[int, Process] = {}
        self._inodes: dict[int, int] = {}
        self._children: dict[int, list[Process]] = {}
        self._sessions: dict[int, list[Process]] = {}
        self.read_at = float("-inf")
        self._runs: dict[int, bytes | None] = {}
        self._moved: dict[int, Moved | None] = {}
        self._sockets: dict[int, Mapping[int, int]] = {}
        self._glanced: tuple[float, Mapping[int, bytes | None]] = (float("-inf"), {})
        self._read_of: dict[_Identity, float] = {}
        self._marks: dict[_Identity, tuple[_Mark, _Mark | None]] = {}

    def refresh(self, now: float = 0.0, reuse: float = 0.0) -> None:
        """Read every process anew; one that ends meanwhile is left out.

        Args:
            now: any clock's seconds, always the same clock's.
            reuse: a reading of all that is younger than so many seconds does as well.

        """
        if now - self.read_at >= reuse:
            self._read_all(now, kept=())
            self.read_at = now

    def glance(self, now: float, shells: Sequence[int]) -> bool:
        """Read what may be part of these terminals anew; of all others, those that were not there before.

        That is enough for `of_terminal`: only a child of a terminal's process can become part of it later.
        A number that is in use again has another inode. Where none of them has run since an earlier glance
        nothing is read, for then nothing in them can have begun, ended or changed; return whether it was.
        """
        if now - self.read_at > _LONGEST_GLANCES:
            self.refresh(now)
            return True
        members = {process.pid: process for shell in shells for process in self.of_terminal(shell)}
        # Before the list is read: who runs while it is may have children that it misses.
        runs = {pid: self._runs_if_still(process) for pid, process in members.items()}
        at, before = self._glanced
        known = all(shell in members for shell in shells) and None not in runs.values()
        if known and runs == before and now - at <= _LONGEST_GLANCES:
            for process in members.values():
                self._mark(process, now)
            return False
        self._read_all(now, kept=self._all.keys() - members.keys())
        self._glanced = now, runs
        return True

    def _read_all(self, now: float, kept: Container[int]) -> None:
        """Read the processes, but for those whose numbers are ``kept`` if they are still the same."""
        found: dict[int, Process] = {}
        inodes = self._list()
        for pid, inode in inodes.items():
            known = self._all.get(pid) if self._inodes.get(pid) == inode else None
            is_kept = known is not None and pid in kept
            process = known if is_kept else self._renewed(pid, known, inodes)
            if process is not None:
                found[pid] = process
                if not is_kept:
                    self._mark(process, now)
        self._take(found, inodes)

    def _renewed(self, pid: int, known: Process | None, inodes: Mapping[int, int]) -> Process | None:
        """Return a process as it is now; one that has not run is as it was, unless its parent is gone."""
        if known is not None and _counts(known):
            runs = self.runs(pid)
            if self._is_still(known, runs) and self._inodes.get(known.parent) == inodes.get(known.parent):
                return known
            self._runs[pid] = runs
        else:
            self._runs.pop(pid, None)
        self._moved.pop(pid, None)
        self._sockets.pop(pid, None)
        return self._read(pid)

    def _runs_if_still(self, process: Process) -> bytes | None:
        """Return what counts a process's runs if it has done nothing since it was read, else None."""
        runs = self.runs(process.pid) if _counts(process) else None
        return runs if self._is_still(process, runs) else None

    def _is_still(self, process: Process, runs: bytes | None) -> bool:
        """Whether it has done nothing since it was read, its runs being these: as many as just before then.

        It was its only thread then, and asleep; without running it can not have got another.
        """
        return runs is not None and _counts(process) and self._runs.get(process.pid) == runs

    def _take(self, found: dict[int, Process], inodes: dict[int, int]) -> None:
        self._all, self._inodes = found, inodes
        self._children, self._sessions = {}, {}
        for process in found.values():
            self._children.setdefault(process.parent, []).append(process)
            self._sessions.setdefault(process.session, []).append(process)
        present = {process.identity for process in found.values()}
        for identity in self._marks.keys() - present:
            del self._marks[identity], self._read_of[identity]
        by_number: tuple[dict[int, Any], ...] = (self._runs, self._moved, self._sockets)
        for kept in by_number:
            for pid in kept.keys() - found.keys():
                del kept[pid]
        self.forget_facts()

    def _mark(self, process: Process, now: float) -> None:
        """Keep what it used, to compare later uses with it."""
        identity, new = process.identity, _Mark(now, process.used)
        self._read_of[identity] = now
        newest, _ = self._marks.get(identity, (None, None))
        if newest is None or now - newest.at >= _SHORTEST_SPAN:
            self._marks[identity] = new, newest

    def all(self) -> Sequence[Process]:
        """Return all processes as last read."""
        return list(self._all.values())

    def get(self, pid: int) -> Process | None:
        """Return a process as last read, or None."""
        return self._all.get(pid)

    def of_terminal(self, shell: int) -> list[Process]:
        """Return the processes of a shell's session and all its descendants, the shell included.

        The shell may be gone while others go on. Descendants count in whatever session they are:
        ``sudo`` runs its command in one of its own.
        """
        first = self._all.get(shell)
        session = self._sessions.get(shell, [])
        return self.below(*session, *([] if first is None else [first]))

    def below(self, *processes: Process) -> list[Process]:
        """Return processes and all their descendants, each once."""
        members = {p.pid: p for p in processes}
        pending = list(members)
        while pending:
            for child in self._children.get(pending.pop(), []):
                if child.pid not in members:
                    members[child.pid] = child
                    pending.append(child.pid)
        return list(members.values())

    def computes(self, process: Process) -> bool:
        """Whether it has been using a processor since an earlier look; not known of one that is new."""
        _, before = self._marks.get(process.identity, (None, None))
        if before is None:
            return False
        seconds = (process.used - before.used) / os.sysconf("SC_CLK_TCK")
        return seconds > _COMPUTES * (self._read_of[process.identity] - before.at)

    def moved(self, process: Process) -> Moved | None:
        """Return the bytes as `ProcessFiles` does; of one that has not run since, as many as before."""
        if process.pid not in self._moved:
            self._moved[process.pid] = super().moved(process)
        return self._moved[process.pid]

    def sockets(self, process: Process) -> Mapping[int, int]:
        """Return the sockets as `ProcessFiles` does; of one that has not run since, the same as before."""
        if process.pid not in self._sockets:
            self._sockets[process.pid] = super().sockets(process)
        return self._sockets[process.pid]

    def children(self, process: Process) -> list[Process]:
        """Return a process's live children, as last read."""
        return [child for child in self._children.get(process.pid, []) if not child.at_rest]

    def readers(self, process: Process) -> list[Process]:
        """Return who in its session reads the pipe that it waits to write to; nobody where there is none."""
        return self._in_session(process, self.full_pipe(process), self.reads_pipe)

    def takers(self, process: Process) -> list[Process]:
        """Return who in its session reads its standard output; nobody where that is no pipe."""
        return self._in_session(process, self.output_pipe(process), self.reads_pipe)

    def feeders(self, process: Process) -> list[Process]:
        """Return who in its session writes to its standard input; nobody where that is no pipe."""
        return self._in_session(process, self.input_pipe(process), self.writes_pipe)

    def _in_session(
        self, process: Process, pipe: str | None, holds: Callable[[Process, str], bool]
    ) -> list[Process]:
        session = [] if pipe is None else self._sessions.get(process.session, [])
        return [one for one in session if not one.at_rest and pipe is not None and holds(one, pipe)]

    def _list(self) -> dict[int, int]:
        """Return the numbers of all processes, and the inode of each; `os` alone, as there are hundreds."""
        with os.scandir(self._root) as entries:
            return {int(entry.name): entry.inode() for entry in entries if entry.name.isdigit()}

    def _read(self, pid: int) -> Process | None:
        try:
            return read_stat(pid, self.read_file(pid, "stat", _LONGEST_STAT))
        except (OSError, ValueError, IndexError):
            return None


def _counts(process: Process) -> bool:
    """Whether all that it does, from when it was read, moves the count of its runs."""
    return process.threads == 1 and process.state != "R"
