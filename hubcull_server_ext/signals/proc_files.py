"""Questions about one process, answered from its files in Linux's /proc.

What a process waits for `proc_waits` tells. It keeps no command line, no environment and no
path.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path

from hubcull_server_ext.signals.process import Moved, Process

MAX_FDS = 4096
_PART, _MOST_PARTS = 1 << 14, 64
"""Bytes of an environment read at once: room for a whole one takes five times as long as reading it."""
_LONGEST_IO = 4096
_LONGEST_RUNS = 4096
_NEVER_RAN = b"0 0 0"
"""What a system says that does not count them, too: of a process that is there it is never true."""
_LONGEST_COMMAND = 1 << 20
_DEV_TTY = os.makedev(5, 0)
"""``/dev/tty``, the name by which any process may open its own terminal."""


class ProcessFiles:
    """The files of every process; what one says of a program is read once, until it is to be forgotten.

    Args:
        root: where the kernel's process files are.

    """

    def __init__(self, root: Path = Path("/proc")) -> None:
        self._root = root
        self._executables: dict[int, str | None] = {}
        self._interactive: dict[int, bool] = {}

    def forget_facts(self) -> None:
        """Read everything anew from here on."""
        self._executables.clear()
        self._interactive.clear()

    def read_file(self, pid: int, name: str, longest: int) -> bytes:
        """Return the content of one file; `os` alone, for a Path takes longer than the reading.

        Raises:
            OSError: when it can not be read.

        """
        file = os.open(f"{self._root}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(file, longest)
        finally:
            os.close(file)

    def runs(self, pid: int) -> bytes | None:
        """Return for how many ns a process's first thread was let run, and how often; None if not known.

        It is compared alone. Two that are the same: of all threads, this one did nothing in between.
        """
        with suppress(OSError):
            runs = self.read_file(pid, "schedstat", _LONGEST_RUNS).strip()
            return None if runs == _NEVER_RAN else runs or None
        return None

    def executable(self, process: Process) -> str | None:
        """Return the base name of the program's file, or None where it may not be read."""
        if process.pid not in self._executables:
            self._executables[process.pid] = self._executable(process)
        return self._executables[process.pid]

    def _executable(self, process: Process) -> str | None:
        with suppress(OSError):
            path = os.readlink(f"{self._root}/{process.pid}/exe")  # noqa: PTH115 - a Path takes longer
            return path.rpartition("/")[2].removesuffix(" (deleted)")
        return None

    def interactive(self, process: Process) -> bool:
        """Whether a shell reads commands from its terminal: no script, no ``-c``, input from the tty."""
        if process.pid not in self._interactive:
            self._interactive[process.pid] = self._reads_commands(process)
        return self._interactive[process.pid]

    def words(self, process: Process, longest: int = _LONGEST_COMMAND) -> list[bytes]:
        """Return the command by which it was started, so many bytes of it; empty where that may not be read.

        Of one that has only just been forked, these are its parent's.
        """
        with suppress(OSError):
            return self.read_file(process.pid, "cmdline", longest).split(b"\0")
        return []

    def _reads_commands(self, process: Process) -> bool:
        words = self.words(process)
        if not words:
            return False
        options = [word for word in words[1:] if word]
        if any(not word.startswith(b"-") or (word[1:2] != b"-" and b"c" in word) for word in options):
            return False
        return self._is_terminal(process, 0)

    def input_pipe(self, process: Process) -> str | None:
        """Return the pipe from which it has its standard input, or None."""
        return self._pipe(process, 0)

    def output_pipe(self, process: Process) -> str | None:
        """Return the pipe to which its standard output goes, or None."""
        return self._pipe(process, 1)

    def reads_pipe(self, process: Process, pipe: str) -> bool:
        """Whether a process has its standard input from this pipe."""
        return self._pipe(process, 0) == pipe

    def writes_pipe(self, process: Process, pipe: str) -> bool:
        """Whether a process has its standard output or errors go to this pipe."""
        return pipe in {self._pipe(process, 1), self._pipe(process, 2)}

    def writes_to_terminal(self, process: Process) -> bool:
        """Whether its standard output is its terminal."""
        return self._is_terminal(process, 1)

    def _pipe(self, process: Process, fd: int) -> str | None:
        with suppress(OSError):
            link = os.readlink(f"{self._root}/{process.pid}/fd/{fd}")  # noqa: PTH115 - it is no path
            return link if link.startswith("pipe:[") else None
        return None

    def _is_terminal(self, process: Process, fd: int) -> bool:
        """Whether a descriptor of the process is its controlling terminal."""
        try:
            device = os.stat(f"{self._root}/{process.pid}/fd/{fd}").st_rdev  # noqa: PTH116 - as above
        except OSError:
            return False
        return process.tty != 0 and device in {process.tty, _DEV_TTY}

    def _socket(self, pid: int, fd: int | str) -> int | None:
        """Return the inode of the socket that a descriptor is, or None where it is something else.

        Raises:
            OSError: when that can not be read.

        """
        link = os.readlink(f"{self._root}/{pid}/fd/{fd}")  # noqa: PTH115 - it is no path
        return int(link[8:-1]) if link.startswith("socket:[") else None

    def sockets(self, process: Process) -> Mapping[int, int]:
        """Return the sockets that a process has open, by inode the descriptor, as far as they may be read."""
        found: dict[int, int] = {}
        with suppress(OSError):
            for name in os.listdir(f"{self._root}/{process.pid}/fd")[:MAX_FDS]:  # noqa: PTH208 - takes longer
                with suppress(OSError, ValueError):
                    inode = self._socket(process.pid, name)
                    if inode is not None:
                        found[inode] = int(name)
        return found

    def holds(self, process: Process, inode: int, fd: int) -> bool:
        """Whether a descriptor of a process is this socket."""
        with suppress(OSError, ValueError):
            return self._socket(process.pid, fd) == inode
        return False

    def owner(self, process: Process) -> int | None:
        """Return the number of the user whose process it is, or None where it is gone."""
        with suppress(OSError):
            return os.stat(f"{self._root}/{process.pid}").st_uid  # noqa: PTH116 - a Path takes longer
        return None

    def environment(self, process: Process) -> bytes | None:
        """Return the environment that it was started with, or None where it may not be read."""
        with suppress(OSError):
            file = os.open(f"{self._root}/{process.pid}/environ", os.O_RDONLY | os.O_CLOEXEC)
            try:
                parts = iter(lambda: os.read(file, _PART), b"")
                return b"".join(islice(parts, _MOST_PARTS))
            finally:
                os.close(file)
        return None

    def opened(self, process: Process, prefix: str) -> set[str]:
        """Return the rest of the name of each file that it has open whose name begins so; none if unreadable.

        No file is touched, only what the links to them say: one may be on a disk that does not answer.
        """
        found: set[str] = set()
        folder = f"{self._root}/{process.pid}/fd"
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in islice(entries, MAX_FDS):
                with suppress(OSError):
                    name = os.readlink(entry.path)  # noqa: PTH115 - a Path takes longer
                    if name.startswith(prefix):
                        found.add(name[len(prefix) :])
        return found

    def moved(self, process: Process) -> Moved | None:
        """Return the bytes that it read and wrote so far, or None where that may not be read."""
        try:
            text = self.read_file(process.pid, "io", _LONGEST_IO)
            lines = (line.partition(b":") for line in text.splitlines())
            counts = {key: int(count) for key, _, count in lines}
            return Moved(counts[b"rchar"] + counts[b"wchar"], counts[b"read_bytes"] + counts[b"write_bytes"])
        except (OSError, ValueError, KeyError):
            return None
