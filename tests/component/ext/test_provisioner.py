"""Laws of kernels whose process is on another machine: what they say is all that is known of them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_server.serverapp import ServerApp

from hubcull_server_ext import clock, wire
from hubcull_server_ext.signals.background import Around, BackgroundSource
from hubcull_server_ext.signals.gpu import GpuCounter
from hubcull_server_ext.signals.jobs import NOT_WORK
from hubcull_server_ext.signals.kernel_processes import kernel_processes
from hubcull_server_ext.signals.kernel_repair import processor_time
from hubcull_server_ext.signals.processes import ProcessTable
from hubcull_server_ext.signals.sockets import SocketBytes
from hubcull_server_ext.signals.ttys import Clocks
from tests.component.ext.kernel_watch import Held, Watch
from tests.component.ext.waiting import until

pytestmark = pytest.mark.timeout(120)
PROGRAMS = Path(__file__).parent / "programs"
NAME = "hubcull-faraway"


class Cluster:
    """The other machine, and the connection that keeps it."""

    def __init__(self, place: Path) -> None:
        subprocess.run([sys.executable, str(PROGRAMS / "cluster.py"), str(place)], check=True, timeout=30)
        asyncio.run(_appears(place))
        self.port = int(place.read_text())
        self._owner = self._ask(own=True)

    def answers(self, whether: bool) -> None:
        """Have it answer nobody any more, or again."""
        with self._ask(answers=whether) as connection:
            assert connection.recv(100)

    def kill(self, job: str) -> None:
        """Have a kernel die there, as for want of memory."""
        with self._ask(job=job, signal=9) as connection:
            assert connection.recv(100)

    def _ask(self, **request: Any) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.sendall(json.dumps(request).encode() + b"\n")
        return connection

    def end(self) -> None:
        """Let go of it."""
        self._owner.close()


async def _appears(place: Path) -> None:
    await until(place.exists)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Have another machine, which ends with the test."""
    cluster = Cluster(tmp_path / "port")
    yield cluster
    cluster.end()


@pytest.fixture
def far(
    cluster: Cluster, watch: Watch, tmp_path: Path, jp_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Watch:
    """Watch a server whose kernelspec names a provisioner, as a package's entry point has it."""
    package = tmp_path / "package"
    about = package / "hubcull_faraway-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: hubcull-faraway\nVersion: 1\n")
    group = KernelProvisionerFactory.GROUP_NAME
    (about / "entry_points.txt").write_text(f"[{group}]\n{NAME} = faraway:Faraway\n")
    shutil.copy(PROGRAMS / "faraway.py", package)
    monkeypatch.syspath_prepend(str(package))
    spec = jp_data_dir / "kernels" / "faraway"
    spec.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    where = {"provisioner_name": NAME, "config": {"port": cluster.port}}
    text = {"argv": command, "display_name": "Far away", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps({**text, "metadata": {"kernel_provisioner": where}}))
    watch.managers.default_kernel_name = "faraway"
    return watch


async def test_a_silent_cell_on_another_machine_is_work_until_it_ends(far: Watch, tmp_path: Path) -> None:
    """Its kernel is below nobody here, and has no number that we know."""
    cell = Held(tmp_path)
    kernel_id, client = await far.kernel()
    provisioner = far.managers.get_kernel(kernel_id).provisioner
    assert type(provisioner).__name__ == "Faraway"
    assert not any(hasattr(provisioner, name) for name in ("pid", "process"))
    pid = tmp_path / "pid"
    client.execute(f"import os; open({str(pid)!r}, 'w').write(str(os.getpid()))\n{cell.code}")
    await until(far.busy)
    await until(lambda: pid.exists() and pid.read_text())  # it is busy before its first line has run
    assert os.getpid() not in [parent.pid for parent in psutil.Process(int(pid.read_text())).parents()]
    await asyncio.sleep(1.0)
    await far.source.sample()
    assert far.busy() is not None
    ended = clock.monotonic()
    cell.end()
    over = await until(far.over)
    assert isinstance(over, wire.Signal)
    assert clock.monotonic() - (over.ended_ago or 0) >= ended
    assert far.doubt() is None


async def test_a_kernel_on_another_machine_that_nobody_used_is_idle(far: Watch) -> None:
    """As soon as it has answered."""
    await far.start_kernel()
    assert far.doubt() is not None
    await until(lambda: far.doubt() is None, 30.0)
    assert (far.busy(), far.over()) == (None, None)


async def test_a_death_on_another_machine_ends_its_cell(far: Watch, cluster: Cluster, tmp_path: Path) -> None:
    """Found out by asking; the kernel that takes its place is heard, too."""
    kernel_id, client = await far.kernel()
    job = far.managers.get_kernel(kernel_id).provisioner.job
    client.execute(Held(tmp_path).code)
    await until(far.busy)
    killed = clock.monotonic()
    cluster.kill(job)
    over = await until(far.over, 30.0)
    assert isinstance(over, wire.Signal)
    assert clock.monotonic() - (over.ended_ago or 0) >= killed
    await until(lambda: far.doubt() is None and far.busy() is None, 40.0)
    assert far.managers.get_kernel(kernel_id).provisioner.job != job


async def test_a_death_that_nobody_restarts_is_found_by_looking(
    far: Watch, cluster: Cluster, tmp_path: Path
) -> None:
    """We ask the provisioner ourselves."""
    kernel_id, client = await far.kernel()
    manager = far.managers.get_kernel(kernel_id)
    manager.stop_restarter()
    client.execute(Held(tmp_path).code)
    await until(far.busy)
    cluster.kill(manager.provisioner.job)
    for _ in range(50):
        await far.source.sample()
        if far.busy() is None:
            break
        await asyncio.sleep(0.1)
    assert far.over() is not None


async def test_a_machine_that_does_not_answer_holds_up_nothing(
    far: Watch, cluster: Cluster, tmp_path: Path
) -> None:
    """Nobody says whether its kernel lives: the cell goes on for all we know, and looks end in time."""
    kernel_id, client = await far.kernel()
    manager = far.managers.get_kernel(kernel_id)
    manager.stop_restarter()
    client.execute(Held(tmp_path).code)
    await until(far.busy)
    cluster.answers(False)
    try:
        for _ in range(3):
            await asyncio.wait_for(far.source.sample(), 5.0)
            assert far.busy() is not None
        assert far.doubt() is None
    finally:
        cluster.answers(True)
    cluster.kill(manager.provisioner.job)
    for _ in range(50):
        await far.source.sample()
        if far.busy() is None:
            break
        await asyncio.sleep(0.1)
    assert far.over() is not None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are watched on Linux")
async def test_who_looks_for_processes_finds_none_of_such_a_kernel(
    far: Watch, jp_serverapp: ServerApp, tmp_path: Path
) -> None:
    """Nor does that disturb any of them, in a cell and after it."""
    del jp_serverapp
    cell, table = Held(tmp_path), ProcessTable()
    clocks = Clocks(clock.monotonic, clock.wall, clock.boottime)
    around = Around(lambda: kernel_processes(far.managers, far.source.free_since), list)
    counters = (GpuCounter(table, lambda: True), SocketBytes(table, os.getpid(), os.geteuid()))
    background = BackgroundSource(table, clocks, around, os.environ, NOT_WORK, 0.2, counters=counters)
    kernel_id, client = await far.kernel()
    client.execute(cell.code)
    await until(far.busy)
    assert await processor_time(far.managers.get_kernel(kernel_id)) is None
    for over in (False, True):
        if over:
            cell.end()
        for _ in range(3):
            await asyncio.sleep(1.05)
            assert around.kernels() == []
            await far.source.sample()
            background.hurry()
            await background.sample()
            found = background.collect(clock.monotonic())  # raises where anything failed
            assert [s for s in found if s.going_on_for is not None] == []
    await until(far.over)
