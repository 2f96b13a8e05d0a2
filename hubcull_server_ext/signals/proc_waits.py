"""What a process waits for, told from the call that it is blocked in.

A fact that can not be read is never taken for waiting: the caller then counts the process
as work.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hubcull_server_ext.signals.proc_files import MAX_FDS, ProcessFiles
from hubcull_server_ext.signals.process import Process

# Only the calls in which a program can sit and wait, by the number that the kernel reports.
_SYSCALLS = {
    "x86_64": {
        0: "read", 19: "read", 7: "poll", 271: "poll", 23: "select", 270: "select",
        232: "epoll", 281: "epoll", 441: "epoll", 61: "child", 247: "child", 130: "child",
        1: "write", 20: "write",
    },
    "aarch64": {
        63: "read", 65: "read", 73: "poll", 72: "select",
        22: "epoll", 441: "epoll", 260: "child", 95: "child", 133: "child",
        64: "write", 66: "write",
    },
}  # fmt: skip
_POLLIN = 0x1 | 0x40
_EPOLLIN = 0x1 | 0x40
_ESTABLISHED = b"01"
_LONGEST_CALL = 4096


class ProcessWaits(ProcessFiles):
    """The calls that processes wait in; each is read once, until it is to be forgotten.

    Args:
        root: where the kernel's process files are.
        machine: the processor's name, as `platform.machine` gives it.

    """

    def __init__(self, root: Path = Path("/proc"), machine: str | None = None) -> None:
        super().__init__(root)
        self._calls = _SYSCALLS.get(platform.machine() if machine is None else machine, {})
        self._blocked: dict[int, bytes] = {}

    def forget_facts(self) -> None:
        """Read everything anew from here on."""
        super().forget_facts()
        self._blocked.clear()

    def wait_is_told(self, process: Process) -> bool:
        """Whether the system lets us see at all in which call a process waits."""
        return bool(self._calls) and bool(self._call(process))

    def waits_for_child(self, process: Process) -> bool:
        """Whether its main thread waits for another process to end."""
        return self._blocked_in(process)[0] == "child"

    def full_pipe(self, process: Process) -> str | None:
        """Return the pipe that its main thread waits to write to, as nobody reads it, or None."""
        call, fd, _ = self._blocked_in(process)
        return self._pipe(process, fd) if call == "write" else None

    def waits_for_terminal(self, process: Process) -> bool:
        """Whether its main thread is known to wait for input of its own terminal, and of no other machine.

        One that awaits the terminal and a connection alike may be ``ssh host command`` or an idle prompt
        over there: that is not known, so it does not count as waiting.
        """
        call, first, second = self._blocked_in(process)
        try:
            if call == "read":
                return self._is_terminal(process, first)
            fds = list(self._awaited(process, call, first, second))
            if not any(self._is_terminal(process, fd) for fd in fds):
                return False
            return not any(self._is_connection(process, fd) for fd in fds)
        except (OSError, ValueError, struct.error):
            return False

    def _awaited(self, process: Process, call: str, first: int, second: int) -> Iterator[int]:
        """Yield the descriptors from which the blocked call awaits input."""
        if call == "poll":
            size = min(second, MAX_FDS)
            for fd, events, _ in struct.iter_unpack("=ihh", self._memory(process, first, size * 8)):
                if fd >= 0 and events & _POLLIN:
                    yield fd
        elif call == "select" and second:
            count = min(first, MAX_FDS)
            bits = int.from_bytes(self._memory(process, second, (count + 7) // 8), "little")
            yield from (fd for fd in range(count) if bits >> fd & 1)
        elif call == "epoll":
            text = (self._root / str(process.pid) / "fdinfo" / str(first)).read_text("ascii", "replace")
            for line in text.splitlines():
                words = line.split()
                if len(words) >= 4 and words[0] == "tfd:" and int(words[3], 16) & _EPOLLIN:
                    yield int(words[1])

    def _call(self, process: Process) -> bytes:
        """Return what the system says of the call that the main thread is in, empty where it says nothing."""
        if process.pid not in self._blocked:
            try:
                self._blocked[process.pid] = self.read_file(process.pid, "syscall", _LONGEST_CALL).strip()
            except OSError:
                self._blocked[process.pid] = b""
        return self._blocked[process.pid]

    def _blocked_in(self, process: Process) -> tuple[str, int, int]:
        """Return the call in which the main thread is blocked, and its first two arguments."""
        words = self._call(process).split()
        with suppress(ValueError):
            if len(words) > 2:
                return self._calls.get(int(words[0]), ""), int(words[1], 16), int(words[2], 16)
        return "", 0, 0

    def _memory(self, process: Process, address: int, size: int) -> bytes:
        with (self._root / str(process.pid) / "mem").open("rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(size)

    def _is_connection(self, process: Process, fd: int) -> bool:
        """Whether a descriptor is an established TCP connection.

        Raises:
            OSError: when that can not be read.

        """
        inode = self._socket(process.pid, fd)
        if inode is None:
            return False
        wanted = str(inode).encode()
        for name in ("tcp", "tcp6"):
            for line in (self._root / str(process.pid) / "net" / name).read_bytes().splitlines()[1:]:
                words = line.split()
                if len(words) > 9 and words[3] == _ESTABLISHED and words[9] == wanted:
                    return True
        return False
