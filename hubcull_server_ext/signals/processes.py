"""Processes, read from Linux's /proc: which are there, which belong together, which compute.

Questions about one process are `proc_files`'. It knows nothing of jupyter_server.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hubcull_server_ext.signals.proc_files import ProcessFiles
from hubcull_server_ext.signals.process import Process, read_stat

_SHORTEST_SPAN = 1.0
"""Seconds over which the use of a processor is measured at least: it is counted in steps of 10 ms."""
_COMPUTES = 0.05
"""Processor seconds per second from which on a process computes."""
_LONGEST_STAT = 4096


class ProcessTable(ProcessFiles):
    """One reading of all processes; later questions about a process read /proc again.

    Args:
        root: where the kernel's process files are.
        machine: the processor's name, as `platform.machine` gives it.

    """

    def __init__(self, root: Path = Path("/proc"), machine: str | None = None) -> None:
        super().__init__(root, machine)
        self._all: dict[int, Process] = {}
        self._children: dict[int, list[Process]] = {}
        self._marked_at = self._before_at = self.read_at = float("-inf")
        self._mark: dict[tuple[int, int], int] = {}
        self._before: dict[tuple[int, int], int] = {}

    def refresh(self, now: float = 0.0, reuse: float = 0.0) -> None:
        """Read every process anew; one that ends meanwhile is left out.

        Args:
            now: any clock's seconds, always the same clock's.
            reuse: a reading that is younger than so many seconds does as well.

        """
        if now - self.read_at < reuse:
            return
        found = (self._read(name) for name in os.listdir(self._root) if name.isdigit())  # noqa: PTH208
        self._all = {process.pid: process for process in found if process is not None}
        self._children = {}
        for process in self._all.values():
            self._children.setdefault(process.parent, []).append(process)
        self.read_at = now
        if now - self._marked_at >= _SHORTEST_SPAN:
            self._before_at, self._before = self._marked_at, self._mark
            self._marked_at, self._mark = now, {p.identity: p.used for p in self._all.values()}

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
        return self.below(*(p for p in self._all.values() if p.session == shell or p is first))

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
        before = self._before.get(process.identity)
        if before is None:
            return False
        seconds = (process.used - before) / os.sysconf("SC_CLK_TCK")
        return seconds > _COMPUTES * (self.read_at - self._before_at)

    def children(self, process: Process) -> list[Process]:
        """Return a process's live children, as last read."""
        return [child for child in self._children.get(process.pid, []) if not child.at_rest]

    def _read(self, pid: str) -> Process | None:
        # `os` alone: a Path takes longer than the reading, and there are hundreds.
        try:
            file = os.open(f"{self._root}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
            try:
                return read_stat(int(pid), os.read(file, _LONGEST_STAT))
            finally:
                os.close(file)
        except (OSError, ValueError, IndexError):
            return None
