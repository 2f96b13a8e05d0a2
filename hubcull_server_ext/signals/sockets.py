"""What processes exchange with other machines over TCP, as Linux counts it for each connection.

Calls such as `send` leave no trace in what the process table knows. It only finds out who holds which
connection, and how much went through; what that is worth, `usage` says.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from hubcull_server_ext.signals.process import Process
from hubcull_server_ext.signals.sock_diag import INET, INET6, Answer, Connection, request
from hubcull_server_ext.signals.usage import MOVES, Identity
from hubcull_server_ext.snapshot import SourceError

_SOCK_DIAG = 4
_TIME_LIMIT = 1.0
"""Seconds for each part of an answer; Linux has it ready when it is asked for."""
_MOST_PARTS = 500
_LONGEST_PART = 1 << 16
"""Bytes; Linux makes them half as long at most."""
_AGAIN = 600.0
"""Seconds after which it is asked again, where it did not tell."""
_PAUSE = 0.002
"""Seconds without another question for each connection that the last one brought: 3 us of work each."""
_DOUBT = 60.0
"""Seconds after which somebody may hold a connection that nobody held."""

_Key = tuple[int, int]


class Files(Protocol):
    """What is asked about processes: the table, as last read."""

    def get(self, pid: int) -> Process | None:
        """Return a process, or None."""

    def sockets(self, process: Process) -> Mapping[int, int]:
        """Return its sockets, by inode the descriptor."""

    def holds(self, process: Process, inode: int, fd: int) -> bool:
        """Whether a descriptor is still this socket."""


class _Holder(NamedTuple):
    """Who holds a connection, and by which descriptor."""

    identity: Identity
    fd: int


def connections() -> list[Connection]:
    """Ask Linux for all TCP connections of this network, but for those to loopback addresses.

    Raises:
        OSError: where it does not tell, or not in time.
        ValueError: where its answer is not understood.

    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as asking:
        asking.settimeout(_TIME_LIMIT)
        found = _ask(asking, INET)
        try:
            return found + _ask(asking, INET6)
        except FileNotFoundError:  # without IPv6 nobody uses it
            return found


def _ask(asking: socket.socket, family: int) -> list[Connection]:
    asking.sendto(request(family, family), (0, 0))
    answer = Answer(family)
    for _ in range(_MOST_PARTS):
        part, _, flags, sender = asking.recvmsg(_LONGEST_PART)
        if sender[0] != 0:  # not Linux itself
            continue
        if flags & socket.MSG_TRUNC:
            raise ValueError("a part that is cut")
        answer.take(part)
        if answer.is_complete:
            return answer.connections
    raise TimeoutError("there is no end to the connections")


class SocketBytes:
    """Counts in `MOVES` what processes exchanged with other machines, as a `usage.Counter`.

    A connection that the server itself holds is no other's: it carries what pages and the Hub say. One that
    several others hold is the oldest's, who is likely to have opened it: counted for each, it would make work
    anew of every process that inherits it.

    Args:
        files: what is known of processes.
        server: the number of the server's own process.
        user: the number of the server's user. Of others only root can tell what they hold.
        ask: what returns all connections.

    """

    def __init__(
        self,
        files: Files,
        server: int,
        user: int,
        ask: Callable[[], Sequence[Connection]] = connections,
    ) -> None:
        self._files, self._server, self._user, self._ask = files, server, user, ask
        self._next = float("-inf")
        self._trouble: str | None = None
        self._last: Mapping[_Key, int] | None = None
        self._has_told = False
        self._owed: dict[_Key, int] = {}
        self._holders: dict[_Key, _Holder | None] = {}
        self._searched: set[Identity] = set()
        self._searched_at = float("-inf")
        self._units: dict[Identity, float] = {}

    def read(self, processes: Sequence[Process], now: float) -> Mapping[Identity, float]:
        """Return how many times `MOVES` each process has exchanged, of all that is known to have had none 0.

        It is empty until Linux has told once. What goes through while it does not tell is never counted.
        """
        if now >= self._next:
            try:
                found = self._ask()
            except (OSError, ValueError, struct.error) as error:
                self._next, self._last, self._trouble = now + _AGAIN, None, type(error).__name__
            else:
                self._trouble = None
                self._next = now + _PAUSE * len(found)
                self._take(found, {process.identity: process for process in processes}, now)
        if not self._has_told:
            return {}
        return {process.identity: self._units.get(process.identity, 0.0) for process in processes}

    def check(self) -> None:
        """Say whether Linux tells.

        Raises:
            SourceError: after it did not, until it does.

        """
        if self._trouble is not None:
            raise SourceError(f"connections can not be counted: {self._trouble}")

    def _take(self, found: Sequence[Connection], members: Mapping[Identity, Process], now: float) -> None:
        """Take all connections; what one has carried before the first time is nobody's."""
        ours = [c for c in found if c.inode and self._user in (0, c.user)]
        carried = {connection.key: connection.carried for connection in ours}
        last, self._last, self._has_told = self._last, carried, True
        self._forget(carried.keys())
        if last is None:
            return
        local = {connection.local for connection in found}
        for connection in ours:
            more = connection.carried - last.get(connection.key, 0)
            if more > 0 and connection.peer not in local and not connection.is_loopback:
                self._owed[connection.key] = self._owed.get(connection.key, 0) + more
        if now - self._searched_at >= _DOUBT or not members.keys() <= self._searched:
            self._holders = {key: holder for key, holder in self._holders.items() if holder is not None}
        self._credit(members)
        if sum(self._owed.values()) >= MOVES:
            self._search(members)
            self._searched_at = now
            self._credit(members)

    def _forget(self, present: Iterable[_Key]) -> None:
        """Forget connections that are no more, and what processes used that are no more."""
        for kept in (self._owed, self._holders):
            for key in kept.keys() - present:
                del kept[key]
        for identity in list(self._units):
            process = self._files.get(identity[0])
            if process is None or process.identity != identity:
                del self._units[identity]

    def _credit(self, members: Mapping[Identity, Process]) -> None:
        """Count what is owed for those who are known to hold the connection; nobody's counts for nobody."""
        for key in self._owed.keys() & self._holders.keys():
            holder = self._holders[key]
            if holder is not None:
                process = members.get(holder.identity)
                if process is None or not self._files.holds(process, key[0], holder.fd):
                    del self._holders[key]
                    continue
                self._units[holder.identity] = self._units.get(holder.identity, 0.0) + self._owed[key] / MOVES
            del self._owed[key]

    def _search(self, members: Mapping[Identity, Process]) -> None:
        """Find out who holds the connections of which that is not known: it takes reading all descriptors."""
        wanted = {key[0]: key for key in self._owed}
        server = self._files.get(self._server)
        held = {} if server is None else self._files.sockets(server)
        for inode in wanted.keys() & held.keys():
            self._holders[wanted.pop(inode)] = None
        for process in sorted(members.values(), key=lambda process: (process.at_rest, process.started)):
            if not wanted:
                break
            sockets = self._files.sockets(process)
            for inode in wanted.keys() & sockets.keys():
                self._holders[wanted.pop(inode)] = _Holder(process.identity, sockets[inode])
        self._holders.update(dict.fromkeys(wanted.values()))
        self._searched = set(members)
