"""Laws of what kernels and other programs leave behind, in a real server: named, counted, kept private."""

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
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_server.serverapp import ServerApp

from harness.ports import free_ports
from harness.processes import below, kill_all
from hubcull_server_ext import clock, wire
from hubcull_server_ext.app import about
from hubcull_server_ext.signals.background import Around, BackgroundSource
from hubcull_server_ext.signals.jobs import NOT_WORK
from hubcull_server_ext.signals.kernel_processes import kernel_processes
from hubcull_server_ext.signals.kernels import KernelsSource
from hubcull_server_ext.signals.processes import ProcessTable
from hubcull_server_ext.signals.terminals import TerminalsSource
from hubcull_server_ext.signals.ttys import Clocks
from hubcull_server_ext.signals.usage import COMPUTES
from hubcull_server_ext.snapshot import Boot, Collector, build_report
from tests.component.ext.waiting import until

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are watched on Linux"),
    pytest.mark.timeout(120),
]
PYTHON = sys.executable
THREAD = (
    "import threading\n"
    "stop = threading.Event()\n"
    "def compute():\n"
    "    while not stop.is_set(): sum(range(10_000))\n"
    "threading.Thread(target=compute).start()"
)
BURN = f"{PYTHON} -c 'while True: sum(range(10000))'"
SECRET = "moonshot"
INTERVAL = 0.2
WINDOW = 6 * INTERVAL
"""Seconds over which use is averaged."""
COUNTS = COMPUTES * WINDOW
"""Processor seconds within a window from which on they are work."""


class Workshop:
    """A real server with all sources that look at processes."""

    def __init__(self, app: ServerApp) -> None:
        settings = app.web_app.settings
        self.managers: Any = settings["kernel_manager"]
        self.terminal_manager: Any = settings["terminal_manager"]
        clocks, table = Clocks(clock.monotonic, clock.wall, clock.boottime), ProcessTable()
        self.kernels = KernelsSource(self.managers, settings["event_logger"], clock.monotonic)
        self.terminals = TerminalsSource(settings, clocks, processes=table)
        around = Around(
            lambda: kernel_processes(self.managers, self.kernels.free_since), self.terminals.shells
        )
        self.background = BackgroundSource(table, clocks, around, os.environ, NOT_WORK, INTERVAL)
        self.children: list[subprocess.Popen[bytes]] = []

    async def kernel(self) -> tuple[str, AsyncKernelClient]:
        """Start a kernel, as reports name it, with a client whose channels are open."""
        kernel_id = await self.managers.start_kernel()
        client = self.managers.get_kernel(kernel_id).client()
        client.start_channels()
        await client.wait_for_ready(timeout=30)
        await self.look(2)
        return f"kernel:{kernel_id[:8]}", client

    async def look(self, times: int = 1) -> list[wire.Signal]:
        """Look at everything so many times; return the work in the background that goes on."""
        for _ in range(times):
            await asyncio.sleep(1.05)
            self.kernels.reconcile()
            await self.kernels.sample()
            await self.terminals.sample()
            self.background.hurry()
            await self.background.sample()
        return [s for s in self.background.collect(clock.monotonic()) if s.going_on_for is not None]

    async def works(self, label: str | None = None) -> list[tuple[str, str | None]]:
        """Look until work goes on in the background, of one label if any; return source and label of all."""
        for _ in range(10):
            found = await self.look()
            if found and label in {None, *(s.label for s in found)}:
                return [(s.source, s.label) for s in found]
        return []

    async def rests(self) -> bool:
        """Look until no work goes on any more, and twice again."""
        for _ in range(10):
            if not await self.look():
                return not (await self.look() or await self.look())
        return False

    async def run(self, client: AsyncKernelClient, code: str) -> None:
        """Run a cell to its end."""
        reply = await client.execute_interactive(code, timeout=20, output_hook=lambda _: None)
        assert reply["content"]["status"] == "ok"

    async def end(self) -> None:
        """End every kernel, terminal and child."""
        doomed = psutil.Process().children(recursive=True)  # a shell that ends leaves orphans
        self.kernels.stop()
        await self.terminal_manager.terminate_all()
        for child in self.children:
            child.kill()
            child.wait()
        await self.managers.shutdown_all(now=True)
        kill_all(doomed)

    def start(self, command: list[str], **options: Any) -> None:
        """Start a child of the server, as an extension would."""
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.children.append(subprocess.Popen(command, **{**quiet, **options}))


@pytest.fixture
def shop(jp_serverapp: ServerApp, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[Workshop]:
    """Watch a real server; end everything after the test."""
    shop = Workshop(jp_serverapp)
    shop.kernels.start()
    yield shop
    jp_asyncio_loop.run_until_complete(shop.end())


async def test_a_thread_that_goes_on_after_its_cell_is_work_of_its_kernel(shop: Workshop) -> None:
    """An idle kernel is none, nor is a cell that computes: that is the kernels' to tell."""
    name, client = await shop.kernel()
    assert await shop.rests()
    await shop.run(client, THREAD)
    assert await shop.works() == [(name, "python")]
    await shop.run(client, "stop.set()")
    assert await shop.rests()
    client.execute("while True: pass")
    await until(lambda: shop.kernels.free_since(next(iter(shop.managers.list_kernel_ids()))) is None)
    (kernel,) = kernel_processes(shop.managers, shop.kernels.free_since)
    assert kernel.free_since is None
    before = psutil.Process(kernel.pid).cpu_times().user
    assert await shop.look(3) == []
    assert psutil.Process(kernel.pid).cpu_times().user - before > COUNTS
    client.stop_channels()


async def test_what_a_kernel_uses_for_its_start_is_nobodys_work(shop: Workshop) -> None:
    """Neither at first, nor after a crash in a cell, although it is more than work would use."""
    kernel_id = await shop.managers.start_kernel()
    assert [await shop.look() for _ in range(4)] == [[]] * 4
    client = shop.managers.get_kernel(kernel_id).client()
    client.start_channels()
    await client.wait_for_ready(timeout=30)
    client.execute("while True: pass")
    await until(lambda: shop.kernels.free_since(kernel_id) is None)
    (first,) = kernel_processes(shop.managers, shop.kernels.free_since)
    psutil.Process(first.pid).kill()
    found: list[wire.Signal] = []
    for _ in range(8):
        found += await shop.look()
    (second,) = kernel_processes(shop.managers, shop.kernels.free_since)
    assert second.pid != first.pid
    assert sum(psutil.Process(second.pid).cpu_times()[:2]) > COUNTS
    assert found == []
    client.stop_channels()


async def test_a_shell_in_the_background_of_a_cell_is_work_while_it_computes(shop: Workshop) -> None:
    """``%%bash --bg``, and a child that outlives its cell; one that only sleeps is none."""
    name, client = await shop.kernel()
    await shop.run(client, "%%bash --bg\nsleep 600")
    await shop.run(client, f"import subprocess; job = subprocess.Popen([{PYTHON!r}, '-c', 'input()'])")
    assert await shop.rests()
    await shop.run(client, f"%%bash --bg\n{BURN}")
    assert await shop.works() == [(name, "python")]
    client.stop_channels()


async def test_no_job_of_a_terminal_is_told_twice(shop: Workshop) -> None:
    """What the server's own terminals run is judged there, in whatever session it is."""
    made = shop.terminal_manager.create(shell_command=["bash", "--norc"])
    shop.terminal_manager.terminals[made["name"]].ptyproc.write(f"setsid --wait {BURN}\n")

    async def job() -> bool:
        await shop.look()
        found = shop.terminals.collect(clock.monotonic())
        return any(s.kind == wire.Kind.TERMINAL_JOB and s.going_on_for is not None for s in found)

    shell = psutil.Process(shop.terminal_manager.terminals[made["name"]].ptyproc.pid)
    try:
        for _ in range(10):
            if await job():
                break
        assert await job()
        assert await shop.look(2) == []
    finally:  # the end of its terminal does not reach another session
        kill_all(below(shell.pid))


async def test_a_session_over_ssh_below_the_server_is_a_terminal(shop: Workshop, tmp_path: Path) -> None:
    """As jupyter-sshd-proxy starts it: a prompt is none, a quiet script in it is work."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None or shutil.which("ssh") is None:
        pytest.skip("this machine has no sshd, or no ssh")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # noqa: ASYNC240 - where sshd wants to part privileges
    (port,) = free_ports(1)
    keys(tmp_path)
    options = {
        "HostKey": tmp_path / "key",
        "AuthorizedKeysFile": tmp_path / "key.pub",
        "StrictModes": "no",
        "PidFile": "none",
        "PermitRootLogin": "yes",
        "ListenAddress": "127.0.0.1",
    }
    words = [f"-o{name}={value}" for name, value in options.items()]
    shop.start(
        [sshd, "-D", "-e", "-f", "/dev/null", "-p", str(port), "-o", "ListenAddress=127.0.0.1", *words]
    )
    client = [
        *("ssh", "-tt", "-F", "/dev/null", "-i", str(tmp_path / "key"), "-p", str(port)),
        *("-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={tmp_path / 'known'}"),
        *("-o", "ConnectionAttempts=10", "127.0.0.1", "bash --norc"),
    ]
    keyboard, theirs = socket.socketpair()
    with keyboard, theirs:
        shop.start(client, stdin=theirs)
        for _ in range(10):
            await shop.look()
            if shop.background._ttys:
                break
        assert shop.background._ttys
        assert await shop.rests()
        keyboard.sendall(f"{PYTHON} -c 'import time; time.sleep(600)'\n".encode())
        ((source, label),) = await shop.works("python")
        assert (source[:4], label) == ("pts:", "python")


def keys(folder: Path) -> None:
    """Make a key that is the host's and the user's alike."""
    made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")]
    subprocess.run(made, check=True)


async def test_no_secret_of_a_job_is_in_the_report(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither arguments nor folders, names of files, of programs and of sessions, nor the environment."""
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", f"/user/ada/{os.getpid()}/")
    folder = tmp_path / SECRET
    folder.mkdir()
    env = {**os.environ, f"{SECRET.upper()}_TOKEN": SECRET}
    script = folder / f"{SECRET}.py"
    script.write_text("while True: sum(range(300_000))\n")
    shutil.copy("/usr/bin/yes", folder / SECRET)
    shop.start([PYTHON, str(script), f"--password={SECRET}"], cwd=folder, env=env)
    shop.start([str(folder / SECRET), SECRET], cwd=folder, env=env, start_new_session=True)
    code = f"import pty; pty.spawn(['{PYTHON}', '-c', 'import time; time.sleep(600)', '{SECRET}'])"
    shop.start([PYTHON, "-c", code], cwd=folder, env=env)
    for _ in range(10):
        if len(found := await shop.look()) == 3:
            break
    assert sorted((s.source[:4], s.label) for s in found) == [
        ("pts:", "python"),
        ("serv", "program"),
        ("serv", "python"),
    ]
    boot = Boot("b", clock.monotonic(), "ada/", about())
    collector = Collector((shop.kernels, shop.terminals, shop.background))
    sent = json.dumps(wire.to_json(build_report(boot, 1, collector, clock.monotonic())))
    assert SECRET in str(psutil.Process(shop.children[0].pid).cmdline())
    assert SECRET not in sent.lower()
    assert str(tmp_path) not in sent
    assert len(sent) < 4096
