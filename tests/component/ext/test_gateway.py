"""Laws of remote kernels, with a real gateway: a second jupyter_server that runs the kernels."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.serverapp import ServerApp

from harness.ports import free_ports
from hubcull_server_ext import clock, wire
from hubcull_server_ext.signals.gateway_kernels import GatewayKernels, are_remote
from hubcull_server_ext.signals.hook import RequestHook
from hubcull_server_ext.signals.requests import RequestsSource
from hubcull_server_ext.snapshot import SourceError
from tests.component.ext.kernel_watch import Held

pytestmark = pytest.mark.timeout(180)
Fetch = Callable[..., Awaitable[Any]]


def answers(url: str) -> bool:
    """Whether a server is up there."""
    try:
        with urllib.request.urlopen(f"{url}/api", timeout=2) as response:  # noqa: S310 - on loopback
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a server whose kernels others use; return its address."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    root = tmp_path_factory.mktemp("gateway")
    command += [f"--port={port}", "--IdentityProvider.token=", f"--ServerApp.root_dir={root}"]
    command += ["--ServerApp.port_retries=0", "--ServerApp.disable_check_xsrf=True"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url, end = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while not answers(url):
            assert time.monotonic() < end, "the gateway does not answer"
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


class Remote:
    """A server with a gateway, watched."""

    def __init__(self, app: ServerApp, ws_fetch: Fetch) -> None:
        settings = app.web_app.settings
        self.managers: Any = settings["kernel_manager"]
        assert are_remote(self.managers)
        self.source = GatewayKernels(self.managers, clock.monotonic)
        self.requests = RequestsSource(RequestHook(settings), clock.monotonic, kernels=self.source)
        self.requests.reconcile()
        self._ws_fetch = ws_fetch

    async def look(self) -> tuple[str | None, list[wire.Signal]]:
        """Ask the gateway; return what is in doubt, and the signals."""
        self.source.hurry()
        await self.source.sample()
        try:
            return None, self.source.collect(clock.monotonic())
        except SourceError as doubt:
            return str(doubt), list(doubt.signals)

    async def becomes(self, wanted: Callable[[str | None, list[wire.Signal]], bool]) -> list[wire.Signal]:
        """Look until what is wanted is seen."""
        for _ in range(150):
            doubt, signals = await self.look()
            if wanted(doubt, signals):
                return signals
            await asyncio.sleep(0.2)
        raise AssertionError(f"not seen: {doubt} {signals}")

    async def page(self, kernel_id: str) -> Any:
        """Open a page at a kernel."""
        return await self._ws_fetch("api", "kernels", kernel_id, "channels")

    async def started(self) -> tuple[str, Any]:
        """Start a kernel and open a page at it; return its id and the page once the gateway knows it to rest.

        The gateway's own subscription may join after the page's have: what is published before is lost to
        it, and it says that the kernel starts until somebody asks again.
        """
        kernel_id = str(await self.managers.start_kernel())
        page = await self.page(kernel_id)
        for _ in range(100):
            await self.send(page, "shell", "kernel_info_request")
            await asyncio.sleep(0.3)
            doubt, signals = await self.look()
            if doubt is None and not is_busy(doubt, signals):
                return kernel_id, page
        raise AssertionError(f"the gateway has not heard of its kernel: {doubt} {signals}")

    async def send(self, page: Any, channel: str, msg_type: str, **content: Any) -> None:
        """Send a message to the kernel."""
        header = {"msg_id": uuid.uuid4().hex, "msg_type": msg_type, "session": "s", "username": ""}
        header |= {"version": "5.3", "date": "2026-01-01T00:00:00Z"}
        parts = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        await page.write_message(json.dumps({**parts, "channel": channel, "buffers": []}))


@pytest.fixture
def jp_argv(gateway: str) -> list[str]:
    """Have the server's kernels there."""
    GatewayClient.clear_instance()
    return [f"--gateway-url={gateway}"]


@pytest.fixture
def remote(
    jp_serverapp: ServerApp, jp_asyncio_loop: asyncio.AbstractEventLoop, jp_ws_fetch: Fetch
) -> Iterator[Remote]:
    """Watch that server."""
    remote = Remote(jp_serverapp, jp_ws_fetch)
    yield remote
    remote.requests.stop()
    jp_asyncio_loop.run_until_complete(remote.managers.shutdown_all(now=True))
    GatewayClient.clear_instance()


def is_busy(_: str | None, signals: list[wire.Signal]) -> bool:
    """Whether work goes on."""
    return any(s.going_on_for is not None for s in signals)


def is_begun(doubt: str | None, signals: list[wire.Signal]) -> bool:
    """Whether work goes on and its page has heard of it: the gateway may say so a moment before."""
    return is_busy(doubt, signals) and any(s.kind == wire.Kind.KERNEL_REQUEST for s in signals)


def is_over(doubt: str | None, signals: list[wire.Signal]) -> bool:
    """Whether work ended, and nothing is in doubt."""
    return doubt is None and any(s.ended_ago is not None for s in signals) and not is_busy(doubt, signals)


async def test_a_remote_cell_is_work_with_its_page_open_or_closed(remote: Remote, tmp_path: Path) -> None:
    """Begun in a page that is closed then; the gateway's word ends it."""
    cell, (_, page) = Held(tmp_path), await remote.started()
    await remote.send(page, "shell", "execute_request", code=cell.code, silent=False)
    await remote.becomes(is_begun)
    seen = clock.monotonic()
    page.close()
    await asyncio.sleep(1.0)
    assert is_busy(*await remote.look())
    ran = clock.monotonic() - seen
    cell.end()
    signals = await remote.becomes(is_over)
    (work,) = [s for s in signals if s.kind == wire.Kind.KERNEL_BUSY]
    assert (work.lasted or 0) >= ran
    assert [s.label for s in signals if s.kind == wire.Kind.KERNEL_REQUEST] == ["execute_request"]


async def test_a_side_panels_question_does_not_end_a_remote_cell(remote: Remote) -> None:
    """The gateway then calls the kernel idle in mid-cell; what we heard tells that it is not."""
    kernel_id, page = await remote.started()
    await remote.send(page, "shell", "execute_request", code="import time; time.sleep(60)", silent=False)
    await remote.becomes(is_begun)
    await remote.send(page, "control", "usage_request")
    await remote.becomes(lambda *_: remote.managers.get_kernel(kernel_id).execution_state == "idle")
    page.close()
    for _ in range(4):
        await asyncio.sleep(0.7)
        doubt, signals = await remote.look()
        assert is_busy(doubt, signals)


async def test_a_remote_cell_that_waits_for_a_person_is_no_work(remote: Remote) -> None:
    """Its question goes over the same websocket."""
    _, page = await remote.started()
    await remote.send(page, "shell", "execute_request", code="input()", silent=False, allow_stdin=True)
    await remote.becomes(lambda _, signals: any(s.kind == wire.Kind.KERNEL_INPUT for s in signals))
    doubt, signals = await remote.look()
    assert doubt is None
    assert not is_busy(doubt, signals)
    await remote.send(page, "stdin", "input_reply", value="x", status="ok")
    await remote.becomes(is_over)
    page.close()


async def test_a_remote_kernel_that_nobody_used_is_idle_after_its_start(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started over REST it says that it starts for ever."""
    kernel_id = await remote.managers.start_kernel()
    doubt, _ = await remote.look()
    assert doubt == "a kernel starts"
    monkeypatch.setattr("hubcull_server_ext.signals.gateway_state._STARTS", 0.1)
    await remote.becomes(lambda doubt, signals: doubt is None and not is_busy(doubt, signals))
    assert remote.managers.get_kernel(kernel_id).execution_state == "starting"
