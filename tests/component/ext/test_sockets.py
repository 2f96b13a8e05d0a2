"""Laws of the network, between two real ones: what moves data to another machine is work."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hubcull_server_ext import clock
from hubcull_server_ext.signals.processes import ProcessTable
from hubcull_server_ext.signals.sockets import SocketBytes, connections
from hubcull_server_ext.signals.usage import COMPUTES, MOVES
from tests.component.ext.test_background import LOOKS, PYTHON, WAIT, Yard, used
from tests.component.ext.two_machines import HERE, THERE, THERE6, TwoMachines, missing

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are watched on Linux"),
    pytest.mark.skipif(sys.platform.startswith("linux") and missing() is not None, reason=str(missing())),
    pytest.mark.timeout(120),
]
MUCH = 8 * MOVES
"""Bytes a second."""


@pytest.fixture
def machines(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[TwoMachines]:
    """Make two networks; end them after the test."""
    machines = TwoMachines()
    try:
        jp_asyncio_loop.run_until_complete(machines.begin())
        yield machines
    finally:
        machines.end()


@pytest.fixture
def yard(tmp_path: Path, machines: TwoMachines) -> Iterator[Yard]:
    """Watch a server in one of the networks."""
    table = ProcessTable()
    counter = SocketBytes(table, os.getpid(), os.geteuid(), lambda: machines.here(connections))
    yard = Yard(tmp_path, table=table, counters=[counter])
    yield yard
    yard.close()


def moved(yard: Yard, pid: int) -> int:
    """Return the bytes that the process table knows a process has moved."""
    yard.table.refresh(clock.boottime())
    process = yard.table.get(pid)
    count = None if process is None else yard.table.moved(process)
    assert count is not None
    assert count.calls is not None
    return max(count.calls, count.disks)


@pytest.mark.parametrize(("address", "direction"), [(THERE, "send"), (THERE6, "receive")])
async def test_what_moves_data_to_another_machine_is_work_though_nothing_else_tells(
    yard: Yard, machines: TwoMachines, address: str, direction: str
) -> None:
    """Neither a processor nor a count of reads and writes; a connection that is but kept open is nothing."""
    yard.run(machines.talk(address, direction, 100))
    assert await yard.rests()
    moving = yard.run(machines.talk(address, direction, MUCH))
    assert await yard.works() == [("server", "python")]
    before = clock.monotonic(), used(moving), moved(yard, moving), machines.carried()
    await asyncio.sleep(2 * LOOKS)
    spent = clock.monotonic() - before[0]
    assert used(moving) - before[1] < COMPUTES * spent
    assert moved(yard, moving) - before[2] < 0.1 * MOVES * spent
    assert machines.carried() - before[3] > 2 * MOVES * spent
    os.kill(moving, signal.SIGKILL)
    assert await yard.rests()


async def test_what_stays_on_the_machine_is_no_work_however_much_it_is(
    yard: Yard, machines: TwoMachines
) -> None:
    """By loopback, and by an address of our own; as much to another machine is."""
    for address in ("127.0.0.1", HERE):
        yard.run(machines.talk(address, "send", MUCH))
    await asyncio.sleep(LOOKS)
    peers = [c.peer for c in machines.here(connections) if c.carried > MOVES]
    assert set(peers) == {socket.inet_aton(HERE)}
    assert await yard.rests()
    yard.run(machines.talk(THERE, "send", MUCH))
    assert await yard.works() == [("server", "python")]


async def test_what_the_server_itself_exchanges_is_nobodys_work(yard: Yard, machines: TwoMachines) -> None:
    """Not even of a child that inherited the connection; when the server has closed it, it is the child's."""
    connection = machines.here(lambda: socket.create_connection((THERE, 7007)))
    connection.sendall(b"%16d" % MUCH)
    connection.set_inheritable(True)
    reads = "import socket, time\ns = socket.socket(fileno={})\nwhile s.recv(1 << 20): time.sleep(0.1)"
    command = [PYTHON, "-c", reads.format(connection.fileno())]
    with connection:
        yard.started.append(psutil.Popen(command, close_fds=False, cwd=yard.folder).pid)
        before = machines.carried()
        assert await yard.rests()
        assert machines.carried() - before > 4 * MOVES * LOOKS
    yard.run(WAIT)  # whom a connection belongs to is looked for anew when there are others
    assert await yard.works() == [("server", "python")]
