"""Whose process is it: this server's, another's, or nobody's we know.

A process is this server's if it descends from it, or if it was started with this server's
environment, which one that detached itself still has. On a machine that many servers share,
the environment of another is another's. It keeps nothing of what it reads.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum

from hubcull_server_ext.signals.process import Process
from hubcull_server_ext.signals.processes import ProcessTable

_PREFIX = "JUPYTERHUB_SERVICE_PREFIX"
_MARKS = ("JUPYTERHUB_API_URL", _PREFIX, "JUPYTERHUB_USER", "JUPYTERHUB_SERVER_NAME")
"""What a Hub gives each server; together they are no other server's, not even another Hub's."""
_SSH = "SSH_CONNECTION"
"""What every sshd gives its sessions, whose environment is not ours."""
_FIRST_NAMESPACE = "pid:[4026531836]"
"""The machine's own process numbers; any other is a container's."""
_YOUNG = 10.0
"""Seconds in which a process may still become another program, with another environment."""


class Owner(Enum):
    """To whom an environment points."""

    OURS = "this server"
    OTHERS = "another server"
    SSH = "a session over ssh"
    STRANGER = "another user"
    NOBODY = "nothing known"


def owner(environment: bytes | None, marks: Mapping[str, str]) -> Owner:
    """Tell whose a process is by its environment; ``marks`` as `marks_of` returns them. Pure."""
    if not environment or not marks:
        return Owner.NOBODY
    entries = set(environment.split(b"\0"))
    if all(os.fsencode(f"{name}={value}") in entries for name, value in marks.items()):
        return Owner.OURS
    names = {entry.partition(b"=")[0] for entry in entries}
    if any(name.encode() in names for name in _MARKS):
        return Owner.OTHERS
    return Owner.SSH if _SSH.encode() in names else Owner.NOBODY


def marks_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what marks this server's processes; empty where nothing tells them from others'."""
    marks = {name: environment[name] for name in _MARKS if name in environment}
    return marks if _PREFIX in marks or "JUPYTERHUB_USER" in marks else {}


class Belongings:
    """Finds this server's processes in a table.

    Args:
        table: the processes, as last read.
        server: the number of the server's own process.
        environment: the server's.
        contained: whether process numbers are a container's own; found out where None.

    """

    def __init__(
        self,
        table: ProcessTable,
        server: int,
        environment: Mapping[str, str],
        contained: bool | None = None,
    ) -> None:
        self._table, self._server = table, server
        self._marks = marks_of(environment)
        # A session over ssh has none of our marks. It is ours where nobody else could be meant.
        self._contained = is_contained() if contained is None else contained
        self._takes_ssh = self._contained and _SSH not in environment
        self._alone = False
        self._owners: dict[tuple[int, int], Owner] = {}

    @property
    def alone(self) -> bool:
        """Whether at the last reading nobody else, but for root, had a process in this server's container."""
        return self._contained and self._alone

    def read(self, boottime: float) -> list[Process]:
        """Return this server's processes, its own left out; ``boottime`` in seconds on the boot clock.

        Raises:
            ProcessLookupError: where not even the server itself is to be seen.

        """
        server = self._table.get(self._server)
        if server is None:
            raise ProcessLookupError("this server's own process")
        family = {process.pid for process in self._table.below(server)} | self._ancestors(server)
        strangers = [process for process in self._table.all() if process.pid not in family]
        owners = self._owners_of(strangers, self._table.owner(server), boottime)
        self._alone = {Owner.OTHERS, Owner.STRANGER}.isdisjoint(owners.values())
        wanted = {Owner.OURS}
        if self._takes_ssh and Owner.OTHERS not in owners.values():
            wanted.add(Owner.SSH)
        detached = [process for process in strangers if owners[process.identity] in wanted]
        return [process for process in self._table.below(server, *detached) if process is not server]

    def _ancestors(self, server: Process) -> set[int]:
        """Return what started the server: a container's first processes have its environment, too."""
        found: set[int] = set()
        parent = self._table.get(server.parent)
        while parent is not None and parent.pid not in found:
            found.add(parent.pid)
            parent = self._table.get(parent.parent)
        return found

    def _owners_of(
        self, strangers: list[Process], user: int | None, boottime: float
    ) -> dict[tuple[int, int], Owner]:
        """Return whose each process is; it is read once, for it does not change."""
        owners: dict[tuple[int, int], Owner] = {}
        kept: dict[tuple[int, int], Owner] = {}
        for process in strangers:
            found = self._owners.get(process.identity)
            if found is None:
                found = self._look(process, user)
            owners[process.identity] = found
            if found is Owner.OURS or process.age(boottime) > _YOUNG:
                kept[process.identity] = found
        self._owners = kept
        return owners

    def _look(self, process: Process, user: int | None) -> Owner:
        whose = self._table.owner(process)
        if user is None or whose != user:
            return Owner.STRANGER if whose else Owner.NOBODY
        return owner(self._table.environment(process), self._marks)


def is_contained() -> bool:
    """Whether the numbers of processes are a container's own."""
    try:
        return os.readlink("/proc/self/ns/pid") != _FIRST_NAMESPACE  # noqa: PTH115 - it is no path
    except OSError:
        return False
