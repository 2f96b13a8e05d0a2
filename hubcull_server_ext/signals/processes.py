"""Processes, read from Linux's /proc: which are there, which wait for input, which compute.

A fact that can not be read is never taken for waiting: the caller then counts the process
as work. It knows nothing of jupyter_server, and keeps no command line and no path.
"""

from __future__ import annotations

import os
import platform
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Only the calls in which a program can sit and wait, by the number that the kernel reports.
_SYSCALLS = {
    "x86_64": {
        0: "read", 19: "read", 7: "poll", 271: "poll", 23: "select", 270: "select",
        232: "epoll", 281: "epoll", 441: "epoll", 61: "child", 247: "child", 130: "child",
    },
    "aarch64": {
        63: "read", 65: "read", 73: "poll", 72: "select",
        22: "epoll", 441: "epoll", 260: "child", 95: "child", 133: "child",
    },
}  # fmt: skip
_POLLIN = 0x1 | 0x40
_EPOLLIN = 0x1 | 0x40
_MAX_FDS = 4096
_ESTABLISHED = b"01"
_SHORTEST_SPAN = 1.0
"""Seconds over which the use of a processor is measured at least: it is counted in steps of 10 ms."""
_COMPUTES = 0.05
"""Processor seconds per second from which on a process computes."""
_DEV_TTY = os.makedev(5, 0)
"""``/dev/tty``, the name by which any process may open its own terminal."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process: ``started`` in clock ticks since boot, which with ``pid`` makes its identity.

    ``used`` is processor time in clock ticks, ``used_by_dead`` that of the children it has waited for.
    """

    pid: int
    name: str
    state: str
    parent: int
    group: int
    session: int
    tty: int
    threads: int
    started: int
    used: int = 0
    used_by_dead: int = 0

    @property
    def identity(self) -> tuple[int, int]:
        """What tells it from a later process with the same number."""
        return self.pid, self.started

    def age(self, boottime: float) -> float:
        """Return seconds since its start; ``boottime`` in seconds on the boot clock."""
        return max(0.0, boottime - self.started / os.sysconf("SC_CLK_TCK"))

    @property
    def at_rest(self) -> bool:
        """Whether it can not run: stopped by its user, or dead with no thread left."""
        return self.state in "Tt" or (self.state in "ZX" and self.threads <= 1)


class ProcessTable:
    """One reading of all processes; later questions about a process read /proc again.

    Args:
        root: where the kernel's process files are.
        machine: the processor's name, as `platform.machine` gives it.

    """

    def __init__(self, root: Path = Path("/proc"), machine: str | None = None) -> None:
        self._root = root
        self._calls = _SYSCALLS.get(platform.machine() if machine is None else machine, {})
        self._all: dict[int, Process] = {}
        self._children: dict[int, list[Process]] = {}
        self._marked_at = self._before_at = self._read_at = float("-inf")
        self._mark: dict[tuple[int, int], int] = {}
        self._before: dict[tuple[int, int], int] = {}

    def refresh(self, now: float = 0.0) -> None:
        """Read every process anew; one that ends meanwhile is left out. ``now``: any clock's seconds."""
        found = (self._read(int(name)) for name in os.listdir(self._root) if name.isdigit())  # noqa: PTH208
        self._all = {process.pid: process for process in found if process is not None}
        self._children = {}
        for process in self._all.values():
            self._children.setdefault(process.parent, []).append(process)
        self._read_at = now
        if now - self._marked_at >= _SHORTEST_SPAN:
            self._before_at, self._before = self._marked_at, self._mark
            self._marked_at, self._mark = now, {p.identity: p.used for p in self._all.values()}

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
        return seconds > _COMPUTES * (self._read_at - self._before_at)

    def children(self, process: Process) -> list[Process]:
        """Return a process's live children, as last read."""
        return [child for child in self._children.get(process.pid, []) if not child.at_rest]

    def executable(self, process: Process) -> str | None:
        """Return the base name of the program's file, or None where it may not be read."""
        with suppress(OSError):
            return (self._root / str(process.pid) / "exe").readlink().name.removesuffix(" (deleted)")
        return None

    def interactive(self, process: Process) -> bool:
        """Whether a shell reads commands from its terminal: no script, no ``-c``, input from the tty."""
        try:
            words = (self._root / str(process.pid) / "cmdline").read_bytes().split(b"\0")[1:]
        except OSError:
            return False
        options = [word for word in words if word]
        if any(not word.startswith(b"-") or (word[1:2] != b"-" and b"c" in word) for word in options):
            return False
        return self._is_terminal(process, 0)

    def wait_is_told(self, process: Process) -> bool:
        """Whether the system lets us see at all in which call a process waits."""
        try:
            text = (self._root / str(process.pid) / "syscall").read_text("ascii")
        except (OSError, ValueError):
            return False
        return bool(self._calls) and bool(text.strip())

    def waits_for_child(self, process: Process) -> bool:
        """Whether its main thread waits for another process to end."""
        return self._blocked_in(process)[0] == "child"

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
            size = min(second, _MAX_FDS)
            for fd, events, _ in struct.iter_unpack("=ihh", self._memory(process, first, size * 8)):
                if fd >= 0 and events & _POLLIN:
                    yield fd
        elif call == "select" and second:
            count = min(first, _MAX_FDS)
            bits = int.from_bytes(self._memory(process, second, (count + 7) // 8), "little")
            yield from (fd for fd in range(count) if bits >> fd & 1)
        elif call == "epoll":
            text = (self._root / str(process.pid) / "fdinfo" / str(first)).read_text("ascii", "replace")
            for line in text.splitlines():
                words = line.split()
                if len(words) >= 4 and words[0] == "tfd:" and int(words[3], 16) & _EPOLLIN:
                    yield int(words[1])

    def _blocked_in(self, process: Process) -> tuple[str, int, int]:
        """Return the call in which the main thread is blocked, and its first two arguments."""
        with suppress(OSError, ValueError):
            words = (self._root / str(process.pid) / "syscall").read_text("ascii").split()
            if len(words) > 2:
                return self._calls.get(int(words[0]), ""), int(words[1], 16), int(words[2], 16)
        return "", 0, 0

    def _memory(self, process: Process, address: int, size: int) -> bytes:
        with (self._root / str(process.pid) / "mem").open("rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(size)

    def _is_terminal(self, process: Process, fd: int) -> bool:
        """Whether a descriptor of the process is its controlling terminal."""
        try:
            device = (self._root / str(process.pid) / "fd" / str(fd)).stat().st_rdev
        except OSError:
            return False
        return process.tty != 0 and device in {process.tty, _DEV_TTY}

    def _is_connection(self, process: Process, fd: int) -> bool:
        """Whether a descriptor is an established TCP connection.

        Raises:
            OSError: when that can not be read.

        """
        folder = self._root / str(process.pid)
        kind, _, number = os.readlink(folder / "fd" / str(fd)).partition(":")  # noqa: PTH115 - no path
        if kind != "socket":
            return False
        wanted = number.strip("[]").encode()
        for name in ("tcp", "tcp6"):
            for line in (folder / "net" / name).read_bytes().splitlines()[1:]:
                words = line.split()
                if len(words) > 9 and words[3] == _ESTABLISHED and words[9] == wanted:
                    return True
        return False

    def _read(self, pid: int) -> Process | None:
        try:
            text = (self._root / str(pid) / "stat").read_bytes().decode("utf-8", "replace")
            # The name stands in brackets and may itself hold brackets and spaces.
            name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
            return Process(
                pid=pid,
                name=name,
                state=rest[0],
                parent=int(rest[1]),
                group=int(rest[2]),
                session=int(rest[3]),
                tty=_device(int(rest[4])),
                threads=int(rest[17]),
                started=int(rest[19]),
                used=int(rest[11]) + int(rest[12]),
                used_by_dead=int(rest[13]) + int(rest[14]),
            )
        except (OSError, ValueError, IndexError):
            return None


def _device(encoded: int) -> int:
    """Turn the terminal's number in ``stat`` into a device number; 0 means no terminal."""
    if encoded == 0:
        return 0
    encoded &= 0xFFFFFFFF
    return os.makedev((encoded >> 8) & 0xFFF, (encoded & 0xFF) | ((encoded >> 12) & 0xFFF00))


def terminal_file(shell: Process | None, members: Sequence[Process]) -> os.stat_result | None:
    """Return the file status of a pseudo-terminal, whose times Linux moves on input and output.

    A shell that ended takes the terminal from all of its session: then it is not known, and None.

    Raises:
        OSError: when the file is not there, or is another terminal's (a foreign mount of /dev/pts).

    """
    if shell is None or shell.at_rest:
        tty = next((p.tty for p in members if p.tty), 0)
        if not tty:
            return None
    else:
        tty = shell.tty
    status = (Path("/dev/pts") / str(os.minor(tty))).stat()
    if status.st_rdev != tty:
        raise FileNotFoundError("the terminal's own file")
    return status
