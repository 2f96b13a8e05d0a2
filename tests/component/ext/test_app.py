"""Laws of the extension in a real server: it reports with the server's token, or does nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tornado.httpserver
import tornado.netutil
import tornado.web
from jupyter_server.serverapp import ServerApp

from hubcull_server_ext import wire
from hubcull_server_ext.app import HubcullExtension
from hubcull_server_ext.signals.background import BackgroundSource
from hubcull_server_ext.signals.counters import CounterSource
from hubcull_server_ext.signals.gpu import GpuCounter
from hubcull_server_ext.signals.sockets import SocketBytes
from tests.component.ext.kernel_watch import heard
from tests.component.ext.waiting import until

TOKEN = "made-up-token"
SOURCES = (
    *("kernels", "terminals", "requests", "apps", "collaboration", "background"),
    *("gpus", "network", "keepalive", "plugins", "adapters", "interplay", "foreign"),
)


WELL = dict.fromkeys(SOURCES, wire.Health.OK)
if not Path("/dev/nvidiactl").exists():
    WELL["gpus"] = wire.Health.UNAVAILABLE


@dataclass
class FakeService:
    """A service that keeps what it is sent."""

    url: str = ""
    reports: list[wire.Report] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    redirect: str = ""


@pytest.fixture
def service(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[FakeService]:
    """Serve the reports' address on a free port of the loopback."""
    fake = FakeService()

    class Reports(tornado.web.RequestHandler):
        def post(self) -> None:
            fake.tokens.append(self.request.headers.get("Authorization", ""))
            if fake.redirect:
                self.redirect(fake.redirect)
                return
            fake.reports.append(wire.report_from_json(json.loads(self.request.body)))
            self.finish(wire.to_json(wire.Reply("keep", "active", "text", "default", 1.0)))

    async def opened() -> tornado.httpserver.HTTPServer:
        (socket,) = tornado.netutil.bind_sockets(0, "127.0.0.1")
        server = tornado.httpserver.HTTPServer(
            tornado.web.Application([(r"/services/hubcull/api/v1/reports", Reports)])
        )
        server.add_sockets([socket])
        fake.url = f"http://127.0.0.1:{socket.getsockname()[1]}/services/hubcull/"
        return server

    server = jp_asyncio_loop.run_until_complete(opened())
    yield fake
    server.stop()


@pytest.fixture
def hub_env(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what a Hub's spawner sets."""
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", TOKEN)
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")
    monkeypatch.setenv("JUPYTERHUB_SERVER_NAME", "gpu")
    monkeypatch.setenv("HUBCULL_URL", service.url)
    monkeypatch.setenv("HUBCULL_FIRST_REPORT_WITHIN", "0.5")
    monkeypatch.setenv("MEM_LIMIT", "1073741824")


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    """Enable the extension beside the terminals."""
    extensions = {"hubcull_server_ext": True, "jupyter_server_terminals": True}
    return {"ServerApp": {"jpserver_extensions": extensions}}


def extension(app: ServerApp) -> HubcullExtension:
    """Return the extension in a server."""
    (found,) = app.extension_manager.extension_apps["hubcull_server_ext"]
    assert isinstance(found, HubcullExtension)
    return found


async def started(app: Any) -> None:
    """Run the server's start hooks, which the test fixtures leave out; jupyter_server < 2.15 has none."""
    if hasattr(app, "_post_start"):
        await app._post_start()
    await until(lambda: extension(app)._begun)


@pytest.mark.usefixtures("hub_env")
async def test_server_reports_itself_with_its_own_token(
    service: FakeService, jp_serverapp: ServerApp
) -> None:
    """From its start on the server sends small, readable reports and goes on at the asked interval."""
    await started(jp_serverapp)
    await until(lambda: len(service.reports) >= 2)
    first, second = service.reports[:2]
    assert set(service.tokens) == {f"Bearer {TOKEN}"}
    assert (first.server, first.boot_id, second.sequence) == ("ada/gpu", second.boot_id, first.sequence + 1)
    assert {s.name: s.health for s in second.sources} == WELL
    assert (first.about.mem_limit, first.can) == (1073741824, ("deadline",))
    assert len(json.dumps(wire.to_json(second))) < 4096
    assert extension(jp_serverapp).current_activity() is None  # type: ignore[func-returns-value]


@pytest.mark.usefixtures("hub_env")
async def test_start_works_without_the_late_hook_and_only_once(
    service: FakeService, jp_serverapp: ServerApp
) -> None:
    """On a jupyter_server older than 2.15 the loop alone starts it; the hook does not start a second."""
    await until(lambda: service.reports)
    await started(jp_serverapp)
    assert len(extension(jp_serverapp)._tasks) == 2
    assert len({report.boot_id for report in service.reports}) == 1


@pytest.mark.usefixtures("hub_env")
async def test_silent_cell_and_typed_request_reach_the_service(
    service: FakeService, jp_serverapp: ServerApp, jp_fetch: Any
) -> None:
    """What happens in the server is in the next report: a cell as work, a save as presence."""
    managers: Any = jp_serverapp.web_app.settings["kernel_manager"]
    kernel_id = await managers.start_kernel()
    client = managers.get_kernel(kernel_id).client()
    client.start_channels()
    await client.wait_for_ready(timeout=30)
    await until(lambda: heard(service.reports))
    client.execute("import time; time.sleep(60)")
    await jp_fetch(
        "api",
        "contents",
        "a.txt",
        method="PUT",
        body=json.dumps({"type": "file", "format": "text", "content": ""}),
    )

    def kinds() -> set[str]:
        return (
            {s.kind for s in service.reports[-1].signals if s.ended_ago is None} if service.reports else set()
        )

    wanted = {wire.Kind.KERNEL_BUSY, wire.Kind.KERNEL_REQUEST, wire.Kind.API_REQUEST}
    await until(lambda: wanted <= kinds())
    client.stop_channels()
    await managers.shutdown_all(now=True)


@pytest.mark.usefixtures("hub_env")
async def test_redirect_is_not_followed(service: FakeService, jp_serverapp: ServerApp) -> None:
    """The token goes to the configured address and to no other."""
    service.redirect = service.url + "api/v1/reports?again=1"
    await until(lambda: service.tokens)
    await asyncio.sleep(0.5)
    assert len(service.tokens) == 1
    assert not service.reports
    assert extension(jp_serverapp)._tasks


@pytest.mark.usefixtures("hub_env")
async def test_token_is_never_logged(
    capsys: pytest.CaptureFixture[str], service: FakeService, jp_serverapp: ServerApp
) -> None:
    """Neither success nor trouble writes the token anywhere."""
    await until(lambda: service.reports)
    service.redirect = "/elsewhere"
    await until(lambda: len(service.tokens) >= 2)
    printed: list[str] = []

    def told() -> bool:
        printed.extend(capsys.readouterr())
        return "hubcull could not report: HTTP 302" in "".join(printed)

    await until(told)
    assert TOKEN not in "".join(printed)
    assert extension(jp_serverapp)._tasks


@pytest.mark.usefixtures("hub_env")
async def test_stop_ends_everything(service: FakeService, jp_serverapp: ServerApp) -> None:
    """After the stop no task runs and no report is sent."""
    await until(lambda: service.reports)
    tasks = list(extension(jp_serverapp)._tasks)
    await extension(jp_serverapp).stop_extension()
    assert all(task.done() for task in tasks)
    count = len(service.reports)
    await asyncio.sleep(1.2)
    assert len(service.reports) == count


@pytest.mark.usefixtures("service", "hub_env")
async def test_the_background_is_counted_by_what_the_process_table_does_not_know(
    jp_serverapp: ServerApp,
) -> None:
    """GPUs and the network, at each look of the source that is at work."""
    await started(jp_serverapp)
    background = extension(jp_serverapp)._sources["background"]
    assert isinstance(background, BackgroundSource)
    counters = [counter for counter in background._counters if isinstance(counter, CounterSource)]
    assert [type(counter._counter) for counter in counters] == [GpuCounter, SocketBytes]


async def test_outside_a_hub_it_does_nothing_and_says_so_once(
    capsys: pytest.CaptureFixture[str], jp_serverapp: ServerApp
) -> None:
    """Without a Hub the extension is one log line."""
    await started(jp_serverapp)
    await asyncio.sleep(0.05)
    assert extension(jp_serverapp)._tasks == []
    said = [line for line in capsys.readouterr().err.splitlines() if "HubcullExtension" in line]
    assert [line.partition("] ")[2] for line in said] == [
        "hubcull does nothing: this server was not started by a JupyterHub"
    ]


@pytest.mark.usefixtures("hub_env")
async def test_without_a_service_it_does_nothing_and_names_the_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, jp_configurable_serverapp: Any
) -> None:
    """A Hub without an address of the service is one log line that says what to set."""
    monkeypatch.delenv("HUBCULL_URL")
    app = jp_configurable_serverapp()
    await started(app)
    assert extension(app)._tasks == []
    said = [line for line in capsys.readouterr().err.splitlines() if "HubcullExtension" in line]
    assert len(said) == 1
    assert "HUBCULL_URL" in said[0]
