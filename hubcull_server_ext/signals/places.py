"""Where each process of the server belongs: to a terminal, a kernel, the server itself, or detached.

Pure: it looks at a table as last read, and decides nothing about work.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hubcull_server_ext.signals.background_jobs import Key
from hubcull_server_ext.signals.kernel_processes import KernelProcess
from hubcull_server_ext.signals.process import Process
from hubcull_server_ext.signals.processes import ProcessTable

_PSEUDO_TERMINALS = range(136, 144)
"""The device numbers of pseudo-terminals."""


class Place(NamedTuple):
    """A process without a terminal, the job that it would be part of, and the kernel it is of, if any."""

    process: Process
    key: Key
    kernel: KernelProcess | None


class Tty(NamedTuple):
    """A terminal that no jupyter_server has opened: the process it began with, and its kernel, if any."""

    first: Process
    kernel: KernelProcess | None

    @property
    def source(self) -> str:
        """How reports name it."""
        return f"pts:{os.minor(self.first.tty)}"


class Places(NamedTuple):
    """All processes of the server, but for those in terminals that are watched elsewhere."""

    ttys: list[Tty]
    rest: list[Place]


def sort_out(
    table: ProcessTable,
    members: Sequence[Process],
    kernels: Iterable[KernelProcess],
    shells: Iterable[int],
    server: int,
) -> Places:
    """Sort the processes of the server.

    Args:
        table: the processes, as last read.
        members: the server's, as `Belongings` finds them.
        kernels: their processes; one that is no child of the server's is none.
        shells: numbers of the processes with which terminals began that are watched elsewhere.
        server: the number of the server's own process.

    """
    known = {process.pid: process for process in members}
    # A provisioner may tell the number that a kernel has on another machine: here it is anybody's.
    ours = {process.pid for process in members if process.parent == server}
    of_kernel = {kernel.pid: kernel for kernel in kernels if kernel.pid in ours}
    taken = {process.pid for shell in shells for process in table.of_terminal(shell)}
    ttys: list[Tty] = []
    # The older first: what runs below a terminal is part of it, whatever terminal it has itself.
    for process in sorted(filter(_begins_terminal, members), key=lambda process: process.started):
        if process.pid not in taken:
            ttys.append(Tty(process, _kernel(process, known, of_kernel)))
            taken.update(p.pid for p in table.of_terminal(process.pid))
    rest = [_place(p, known, of_kernel, server) for p in members if p.pid not in taken]
    return Places(ttys, rest)


def _begins_terminal(process: Process) -> bool:
    return process.session == process.pid and os.major(process.tty) in _PSEUDO_TERMINALS


def _place(
    process: Process, known: dict[int, Process], kernels: dict[int, KernelProcess], server: int
) -> Place:
    kernel = _kernel(process, known, kernels)
    if kernel is not None:
        return Place(process, Key(kernel.source, process.group, process.pid == kernel.pid), kernel)
    top = process
    while top.parent in known:
        top = known[top.parent]
    return Place(process, Key("server" if top.parent == server else "detached", process.group), None)


def _kernel(
    process: Process, known: dict[int, Process], kernels: dict[int, KernelProcess]
) -> KernelProcess | None:
    """Return the nearest kernel among a process and its parents."""
    place: Process | None = process
    while place is not None:
        if place.pid in kernels:
            return kernels[place.pid]
        place = known.get(place.parent)
    return None
