"""One process as Linux's /proc tells of it in one line; pure.

It knows how that line is written, and nothing of files or other processes.
"""

from __future__ import annotations

import os
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_FIELDS = 20
"""How many fields behind the name are read; the line has more than twice as many."""


class Process(NamedTuple):
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
        return max(0.0, boottime - self.started / _TICKS)

    @property
    def at_rest(self) -> bool:
        """Whether it can not run: stopped by its user, or dead with no thread left."""
        return self.state in "Tt" or (self.state in "ZX" and self.threads <= 1)


class Moved(NamedTuple):
    """The bytes that a process read and wrote so far.

    ``calls``: by its calls, pipes and some connections included; None where that tells nothing of work.
    ``disks``: what went to and from disks.
    """

    calls: int | None
    disks: int


def read_stat(pid: int, line: bytes) -> Process:
    """Read a process's ``stat``; tens of thousands of times an hour, so without detours.

    Raises:
        ValueError, IndexError: when it is not written as Linux does.

    """
    # The name stands in brackets and may itself hold brackets and spaces.
    end = line.rindex(b")")
    name = line[line.index(b"(") + 1 : end].decode("utf-8", "replace")
    rest = line[end + 2 :].split(None, _FIELDS)
    tty = int(rest[4])
    return Process(
        pid,
        name,
        rest[0].decode("ascii", "replace"),
        int(rest[1]),
        int(rest[2]),
        int(rest[3]),
        _device(tty) if tty else 0,
        int(rest[17]),
        int(rest[19]),
        int(rest[11]) + int(rest[12]),
        int(rest[13]) + int(rest[14]),
    )


def _device(encoded: int) -> int:
    """Turn the terminal's number in ``stat`` into a device number."""
    encoded &= 0xFFFFFFFF
    return os.makedev((encoded >> 8) & 0xFFF, (encoded & 0xFF) | ((encoded >> 12) & 0xFFF00))
