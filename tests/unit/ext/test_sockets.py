"""Laws of the network's counter: whose a connection is, what counts of it, and when nobody is asked."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from hubcull_server_ext.signals.counters import CounterSource
from hubcull_server_ext.signals.process import Process
from hubcull_server_ext.signals.sock_diag import INET, Connection
from hubcull_server_ext.signals.sockets import SocketBytes, connections
from hubcull_server_ext.signals.usage import MOVES, Identity, Meter
from hubcull_server_ext.snapshot import SourceError

SERVER, US, OTHER_USER = 2, 1000, 1001
HERE, HERE_TOO, THERE = b"\x0a\0\0\1", b"\x0a\0\0\3", b"\x0a\0\0\2"


@dataclass
class World:
    """What Linux would tell: connections by inode, and which process holds which; the counter that asks."""

    user: int = US
    open: dict[int, Connection] = field(default_factory=dict)
    held: dict[int, set[int]] = field(default_factory=dict)
    processes: dict[int, Process] = field(default_factory=dict)
    fault: Exception | None = None
    asked: int = 0
    searched: list[int] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.counter = SocketBytes(self, SERVER, self.user, self.ask)
        self.born(SERVER)

    def born(self, *pids: int, state: str = "S") -> None:
        """Let processes be there, later numbers started later."""
        for pid in pids:
            self.processes[pid] = Process(pid, "x", state, 1, pid, pid, 0, 1, 100 + pid)
            self.held.setdefault(pid, set())

    def carry(
        self,
        inode: int,
        units: float,
        *holders: int,
        peer: bytes = THERE,
        local: bytes = HERE,
        user: int = US,
    ) -> None:
        """Let so much more go through a connection, opened if it was not there, that these now hold."""
        before = self.open[inode].carried if inode in self.open else 0
        self.open[inode] = Connection((inode, 7), local, peer, user, before + int(units * MOVES))
        for pid, inodes in self.held.items():
            (inodes.add if pid in holders else inodes.discard)(inode)

    def look(self, after: float = 5.0) -> dict[int, float]:
        """Let time pass and the counter look; return what each process has used, by its number."""
        self.now += after
        self.searched.clear()
        members = [process for pid, process in self.processes.items() if pid != SERVER]
        return {pid: used for (pid, _), used in self.counter.read(members, self.now).items()}

    def ask(self) -> Sequence[Connection]:
        """Return all connections."""
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return list(self.open.values())

    def get(self, pid: int) -> Process | None:
        """Return a process, or None."""
        return self.processes.get(pid)

    def sockets(self, process: Process) -> Mapping[int, int]:
        """Return what a process holds; the descriptors are the inodes plus one."""
        self.searched.append(process.pid)
        return {inode: inode + 1 for inode in self.held[process.pid]}

    def holds(self, process: Process, inode: int, fd: int) -> bool:
        """Whether a process still holds a connection."""
        assert fd == inode + 1
        return inode in self.held[process.pid]


@pytest.fixture
def world() -> World:
    """Return a server with two processes and no connections, looked at once."""
    world = World()
    world.born(10, 11)
    assert world.look() == {10: 0.0, 11: 0.0}
    return world


def test_what_went_through_counts_for_who_holds_the_connection(world: World) -> None:
    """All of what was opened since the first look, then what is new; it stands when that is gone."""
    world.carry(50, 3, 10)
    assert world.look() == {10: 3.0, 11: 0.0}
    world.carry(50, 2, 10)
    world.carry(51, 4, 11)
    assert world.look() == {10: 5.0, 11: 4.0}
    del world.open[50]
    assert world.look() == {10: 5.0, 11: 4.0}
    world.carry(52, 1, 10)
    assert world.look() == {10: 6.0, 11: 4.0}


def test_what_went_through_before_the_first_look_is_nobodys() -> None:
    """It may have taken years."""
    world = World()
    world.born(10)
    world.carry(50, 1000, 10)
    assert world.look() == {10: 0.0}
    world.carry(50, 2, 10)
    assert world.look() == {10: 2.0}


def test_a_connection_in_place_of_another_is_another(world: World) -> None:
    """Linux may use an inode again; by its cookie it is known to be new."""
    world.carry(50, 9, 10)
    assert world.look()[10] == 9.0
    world.open[50] = world.open[50]._replace(key=(50, 8), carried=2 * MOVES)
    assert world.look()[10] == 11.0


def test_one_unit_a_second_makes_a_process_active(world: World) -> None:
    """As the meter sees it, of one that was there; a little less does not."""
    meter, active = Meter(30.0), set[Identity]()
    for step in range(12):
        world.carry(50, 5.5, 10)
        world.carry(51, 4.5, 11)
        found = world.look()
        members = [world.processes[10], world.processes[11]]
        units = {process.identity: found[process.pid] for process in members}
        active = set(meter.take(members, {}, world.now, units=units))
        assert step > 5 or not active
    assert active == {world.processes[10].identity}


@pytest.mark.parametrize("peer", [HERE, HERE_TOO, b"\x7f\0\0\1", bytes(15) + b"\1"])
def test_what_stays_on_this_machine_is_not_counted(world: World, peer: bytes) -> None:
    """By loopback, by the same address, or by another that is ours, as other connections show."""
    world.carry(40, 0.0, local=HERE_TOO)
    world.carry(50, 9, 10, peer=peer)
    world.carry(51, 9, 11)
    assert world.look() == {10: 0.0, 11: 9.0}


def test_an_end_whose_other_end_is_gone_is_not_taken_for_a_new_connection(world: World) -> None:
    """An address is ours as long as a connection has it: what went through before was seen."""
    world.carry(40, 0.0, local=HERE_TOO)
    world.carry(50, 900, 10, peer=HERE_TOO)
    assert world.look()[10] == 0.0
    del world.open[40]
    world.carry(50, 2, 10, peer=HERE_TOO)
    assert world.look()[10] == 2.0


def test_what_the_server_holds_is_nobodys_whoever_holds_it_as_well(world: World) -> None:
    """It carries pages; a child may have inherited it. Where the server closed it, it is the child's."""
    world.carry(50, 100, SERVER, 10)
    world.carry(51, 2, 11)
    assert world.look() == {10: 0.0, 11: 2.0}
    world.carry(50, 100, 10)
    world.born(12)
    assert world.look() == {10: 100.0, 11: 2.0, 12: 0.0}


def test_what_several_hold_is_the_oldests_and_then_the_next_ones(world: World) -> None:
    """Never more than went through; one that has stopped does not move anything."""
    world.born(12)
    world.carry(50, 3, 11, 12)
    assert world.look() == {10: 0.0, 11: 3.0, 12: 0.0}
    world.carry(50, 3, 12)
    assert world.look() == {10: 0.0, 11: 3.0, 12: 3.0}
    world.born(11, state="T")
    world.carry(51, 2, 11, 12)
    assert world.look() == {10: 0.0, 11: 3.0, 12: 5.0}


def test_another_users_connections_are_left_out_but_for_root() -> None:
    """What others hold can not be told; their addresses are this machine's all the same."""
    for user, counted in ((US, 0.0), (0, 4.0)):
        world = World(user)
        world.born(10)
        world.look()
        world.carry(50, 4, 10, user=OTHER_USER)
        world.carry(51, 4, 10, peer=HERE_TOO)
        world.carry(52, 4, 11, user=OTHER_USER, local=HERE_TOO)
        assert world.look() == {10: counted}


def test_what_no_process_of_ours_holds_is_looked_for_seldom(world: World) -> None:
    """Another server's, maybe. When there are other processes, or after a minute, it may be one of theirs."""
    world.carry(50, 50)
    world.look()
    assert world.searched == [SERVER, 10, 11]
    for _ in range(5):
        world.carry(50, 50)
        assert world.look() == {10: 0.0, 11: 0.0}
        assert not world.searched
    world.born(12)
    world.carry(50, 5, 12)
    assert world.look() == {10: 0.0, 11: 0.0, 12: 5.0}
    world.carry(51, 50)
    world.look()
    world.carry(51, 5, 11)
    assert world.look(60.0)[11] == 5.0


def test_no_descriptors_are_read_while_there_is_little_to_tell(world: World) -> None:
    """Keep-alives do not cost a search until they come to something; then they are not lost."""
    for _ in range(9):
        world.carry(50, 0.11, 10)
        assert world.look()[10] == 0.0
        assert not world.searched
    world.carry(50, 0.11, 10)
    assert world.look()[10] == pytest.approx(1.1, abs=0.01)
    for _ in range(3):
        world.carry(50, 5, 10)
        world.look()
        assert not world.searched


def test_a_connection_that_nobody_accepted_yet_is_nobodys(world: World) -> None:
    """It has no inode."""
    world.carry(0, 50, 10)
    world.carry(51, 5, 11)
    assert world.look() == {10: 0.0, 11: 5.0}


@pytest.mark.parametrize("fault", [PermissionError(), OSError(93, "protocol"), TimeoutError(), ValueError()])
def test_where_linux_does_not_tell_nothing_is_known(world: World, fault: Exception) -> None:
    """It is asked again ten minutes later; what went through meanwhile is nobody's, the rest stays.

    Until then its source says that it failed, by the class of the error.
    """
    source = CounterSource("network", world.counter)
    assert source.collect(0) == []
    world.carry(50, 3, 10)
    assert world.look() == {10: 3.0, 11: 0.0}
    world.fault = fault
    asked = world.asked
    for _ in range(100):
        world.carry(50, 5, 10)
        assert world.look() == {10: 3.0, 11: 0.0}
    assert world.asked == asked + 1
    with pytest.raises(SourceError, match=f"^connections can not be counted: {type(fault).__name__}$"):
        source.collect(0)
    world.fault = None
    world.carry(50, 1000, 10)
    world.carry(51, 1000, 11)
    world.look(600.0)
    assert source.collect(0) == []
    world.carry(51, 2, 11)
    assert world.look() == {10: 3.0, 11: 2.0}
    mute = World(fault=fault)
    mute.born(10)
    assert mute.look() == {}


def test_where_there_are_many_connections_they_are_asked_for_less_often(world: World) -> None:
    """20,000 that others have, on a machine of many users, take 60 ms; what was told stands meanwhile."""
    world.carry(50, 3, 10)
    for inode in range(1000, 20_900):
        world.open[inode] = Connection((inode, 7), HERE, THERE, OTHER_USER, 10**9)
    assert world.look()[10] == 3.0
    asked = world.asked
    for _ in range(7):
        world.carry(50, 3, 10)
        assert world.look()[10] == 3.0
    assert world.asked == asked
    assert world.look()[10] == 24.0


def test_a_number_that_is_used_again_is_another_process(world: World) -> None:
    """What its predecessor used is not its own."""
    world.carry(50, 3, 10)
    assert world.look()[10] == 3.0
    world.processes[10] = world.processes[10]._replace(started=9000)
    world.held[10].clear()
    assert world.look() == {10: 0.0, 11: 0.0}
    assert not world.counter._units  # nor is it kept for ever


class FakeLinux:
    """A netlink socket: what it was asked, and what it answers, by family."""

    def __init__(self, answers: Mapping[int, Sequence[bytes]], sender: int = 0, flags: int = 0) -> None:
        self._answers, self._from = answers, (sender, flags)
        self._waiting: list[bytes] = []
        self.limit: float | None = None
        self.is_closed = False

    def __enter__(self) -> FakeLinux:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closed = True

    def settimeout(self, limit: float) -> None:
        """Take the time limit."""
        self.limit = limit

    def sendto(self, asked: bytes, _: object) -> None:
        """Take a question."""
        self._waiting = list(self._answers[asked[16]])

    def recvmsg(self, _: int) -> tuple[bytes, list[Any], int, tuple[int, int]]:
        """Return the next part, the last one again and again."""
        if not self._waiting:
            raise TimeoutError
        part = self._waiting.pop(0) if len(self._waiting) > 1 else self._waiting[0]
        sender, flags = self._from
        return part, [], flags, (sender, 0)


def said(kind: int, number: int, family: int) -> bytes:
    """Return an end, or an error, in answer to the question for a family."""
    return struct.pack("=IHHIIi", 20, kind, 2, family, 0, number)


def ask(monkeypatch: pytest.MonkeyPatch, linux: FakeLinux) -> list[Connection]:
    """Ask this Linux; it is never left open, nor waited for without a limit."""
    monkeypatch.setattr(socket, "socket", lambda *_: linux)
    try:
        return connections()
    finally:
        assert linux.is_closed
        assert linux.limit is not None


END4, END6 = said(3, 0, INET), said(3, 0, socket.AF_INET6)


def test_a_system_without_ipv6_tells_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """But one that refuses, refuses."""
    assert ask(monkeypatch, FakeLinux({INET: [END4], socket.AF_INET6: [END6]})) == []
    no_such_family = said(2, -2, socket.AF_INET6)
    assert ask(monkeypatch, FakeLinux({INET: [END4], socket.AF_INET6: [no_such_family]})) == []
    refused = said(2, -1, socket.AF_INET6)
    with pytest.raises(PermissionError):
        ask(monkeypatch, FakeLinux({INET: [END4], socket.AF_INET6: [refused]}))
    with pytest.raises(FileNotFoundError):
        ask(monkeypatch, FakeLinux({INET: [said(2, -2, INET)]}))


def test_an_answer_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that end nothing, silence, and what another process sends."""
    for linux in (
        FakeLinux({INET: [said(1, 0, INET)]}),
        FakeLinux({INET: []}),
        FakeLinux({INET: [END4]}, sender=4711),
    ):
        with pytest.raises(TimeoutError):
            ask(monkeypatch, linux)
    with pytest.raises(ValueError, match="cut"):
        ask(monkeypatch, FakeLinux({INET: [END4]}, flags=socket.MSG_TRUNC))


def test_linux_itself_is_asked() -> None:
    """Loopback is left out by Linux, as far as it tells of its connections here."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as near,
        listening.accept()[0] as far,
    ):
        near.sendall(b"x")
        assert far.recv(1) == b"x"
        try:
            found = connections()
        except OSError as refused:
            pytest.skip(f"no connections are told of here: {refused}")
        assert not any(connection.is_loopback for connection in found)
