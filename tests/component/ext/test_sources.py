"""Laws of all sources, in a real server: each fails alone, and each can be switched off alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from jupyter_server.serverapp import ServerApp

from hubcull_server_ext import sources as all_sources
from hubcull_server_ext import wire
from hubcull_server_ext.config import HubcullSettings
from hubcull_server_ext.signals.adapters import AdaptersSource
from hubcull_server_ext.signals.apps import AppsSource
from hubcull_server_ext.signals.background import BackgroundSource
from hubcull_server_ext.signals.collaboration import CollaborationSource
from hubcull_server_ext.signals.foreign import ForeignSource
from hubcull_server_ext.signals.gpu import GpuCounter
from hubcull_server_ext.signals.interplay import InterplaySource
from hubcull_server_ext.signals.keepalive import KeepaliveSource
from hubcull_server_ext.signals.kernels import KernelsSource
from hubcull_server_ext.signals.plugins import PluginsSource
from hubcull_server_ext.signals.requests import RequestsSource
from hubcull_server_ext.signals.sockets import SocketBytes
from hubcull_server_ext.signals.terminals import TerminalsSource
from tests.component.ext.test_app import WELL, FakeService, extension, hub_env, service, started
from tests.component.ext.test_kernel_input import Page
from tests.component.ext.waiting import until

__all__ = ["hub_env", "service"]  # fixtures

KINDS: dict[str, type] = {
    "kernels": KernelsSource,
    "terminals": TerminalsSource,
    "requests": RequestsSource,
    "apps": AppsSource,
    "collaboration": CollaborationSource,
    "background": BackgroundSource,
    "keepalive": KeepaliveSource,
    "plugins": PluginsSource,
    "adapters": AdaptersSource,
    "interplay": InterplaySource,
    "foreign": ForeignSource,
    "gpus": GpuCounter,
    "network": SocketBytes,
}
"""Each source, and where it may break."""
COUNTERS = ("gpus", "network")
WEAK = ("background", "interplay", *COUNTERS)
SWITCHES = {
    "watch_kernels": ["kernels"],
    "watch_terminals": ["terminals"],
    "watch_requests": ["requests"],
    "watch_apps": ["apps"],
    "watch_collaboration": ["collaboration"],
    "watch_background": ["background", *COUNTERS],
    "watch_gpus": ["gpus"],
    "watch_network": ["network"],
    "watch_keepalive": ["keepalive"],
    "watch_plugins": ["plugins"],
    "watch_app_files": ["adapters"],
    "watch_interplay": ["interplay"],
    "watch_foreign": ["foreign"],
}
COMPUTES = "import time\nend = time.time() + 60\nwhile time.time() < end: pass"
PATH = "/home/ada/plans.txt"
WORDS = {
    "__init__": "could not be made: RuntimeError",
    "start": "start: RuntimeError",
    "reconcile": "reconcile: RuntimeError",
    "sample": "sample: RuntimeError",
    "collect": "RuntimeError",
    "read": "can not be counted: RuntimeError",
    "check": "RuntimeError",
}
"""What of a source breaks -> what is said of it."""


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    """Enable the extension beside the terminals, with a culler of the server's own; it looks often."""
    extensions = {"hubcull_server_ext": True, "jupyter_server_terminals": True}
    return {
        "ServerApp": {"jpserver_extensions": extensions},
        "MappingKernelManager": {"cull_idle_timeout": 3600},
        "HubcullExtension": {"sample_interval": 0.5, "first_report_within": 0.0},
    }


async def begun_anew(app: ServerApp, service: FakeService) -> None:
    """Let the extension begin once more, as in a server that has just started, and wait until it reports.

    A report of before that is still on its way comes to nobody.
    """
    ours, before = extension(app), {report.boot_id for report in service.reports}
    await ours.stop_extension()
    ours._begun = False
    ours.begin()

    def others() -> list[wire.Report]:
        return [report for report in service.reports if report.boot_id not in before]

    await until(others)
    service.reports[:] = others()


def health_of(reports: list[wire.Report]) -> dict[str, wire.Source]:
    """Return how the sources do by the newest report."""
    return {source.name: source for source in reports[-1].sources} if reports else {}


def states(service: FakeService) -> dict[str, wire.Health]:
    """Return how each source does by the newest report."""
    return {name: source.health for name, source in health_of(service.reports).items()}


def said_of(name: str, service: FakeService) -> str:
    """Return what the newest report says of a source."""
    source = health_of(service.reports).get(name)
    return "" if source is None else source.detail or ""


def kinds(service: FakeService) -> set[str]:
    """Return the kinds of all signals of the newest report."""
    return {signal.kind for signal in service.reports[-1].signals} if service.reports else set()


def at_work(service: FakeService) -> set[str]:
    """Return the kinds of the work that goes on by the newest report."""
    newest = service.reports[-1].signals if service.reports else ()
    return {signal.kind for signal in newest if signal.going_on_for is not None}


def test_all_sources_are_here() -> None:
    """A source that is new is missing here until it is tried below."""
    assert set(KINDS) == set(WELL) == set(all_sources._SOURCES)


async def only_one_fails(
    monkeypatch: pytest.MonkeyPatch, service: FakeService, app: ServerApp, name: str, act: str
) -> None:
    """Begin anew with one act of one source broken; assert that this is said of it, and nothing of others."""

    def breaks(*_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError(PATH)

    with monkeypatch.context() as broken:
        broken.setattr(KINDS[name], act, breaks, raising=False)
        await begun_anew(app, service)
        await until(lambda: WORDS[act] in said_of(name, service))
        assert states(service) == {**WELL, name: wire.Health.FAILED}
        await extension(app).stop_extension()
    strength = wire.Strength.WEAK if name in WEAK else None
    assert health_of(service.reports)[name].strength is strength
    assert PATH not in repr(service.reports)


@pytest.mark.usefixtures("hub_env")
@pytest.mark.parametrize("act", ["__init__", "start", "reconcile", "sample", "collect"])
async def test_a_source_fails_alone(
    monkeypatch: pytest.MonkeyPatch, service: FakeService, jp_serverapp: ServerApp, act: str
) -> None:
    """Whatever breaks of whichever, it is said of this one, by a class's name; the others are well.

    A weak one stays weak: its failure is no reason to hold the server.
    """
    await started(jp_serverapp)
    await until(lambda: states(service) == WELL)
    for name in KINDS.keys() - COUNTERS:
        await only_one_fails(monkeypatch, service, jp_serverapp, name, act)


@pytest.mark.usefixtures("hub_env")
@pytest.mark.parametrize("act", ["__init__", "read", "check"])
async def test_a_counter_fails_alone(
    monkeypatch: pytest.MonkeyPatch, service: FakeService, jp_serverapp: ServerApp, act: str
) -> None:
    """What uses a GPU or the network can not be counted then, and what computes can."""
    await started(jp_serverapp)
    await until(lambda: states(service) == WELL)
    for name in COUNTERS:
        await only_one_fails(monkeypatch, service, jp_serverapp, name, act)


@pytest.mark.usefixtures("hub_env")
async def test_a_look_that_does_not_end_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, service: FakeService, jp_serverapp: ServerApp
) -> None:
    """The others and the reports go on without it, and it is not begun again until it has ended.

    What it saw before is no news then: the source is well again by a look that was begun afterwards.
    """
    monkeypatch.setattr("hubcull_server_ext.app.LONGEST_ACT", 5.0)  # the others are well, and need some time
    await started(jp_serverapp)
    extension(jp_serverapp).sample_interval = 3600.0  # only reports look after the first time
    begun: list[asyncio.Event] = []

    async def hangs(_source: object) -> None:
        begun.append(asyncio.Event())
        await begun[-1].wait()

    with monkeypatch.context() as broken:
        broken.setattr(TerminalsSource, "sample", hangs)
        await begun_anew(jp_serverapp, service)
        await until(lambda: len(service.reports) >= 3, 30)
        assert said_of("terminals", service) == "sample: TimeoutError"
        assert states(service) == {**WELL, "terminals": wire.Health.FAILED}
        assert len(begun) == 1
        count = len(service.reports)
        begun[0].set()
        await until(lambda: len(begun) == 2 and len(service.reports) >= count + 3, 30)
        assert {health_of([r])["terminals"].health for r in service.reports[count:]} == {wire.Health.FAILED}
    begun[1].set()
    await until(lambda: states(service) == WELL)


@pytest.mark.usefixtures("hub_env")
async def test_every_switch_switches_off_its_source_and_no_other(
    service: FakeService, jp_serverapp: ServerApp
) -> None:
    """Those of others' parts, too: what is counted in the background is off with the background."""
    await started(jp_serverapp)
    await until(lambda: states(service) == WELL)
    ours = extension(jp_serverapp)
    switches = {name for name in HubcullSettings.class_trait_names() if name.startswith("watch_")}
    assert SWITCHES.keys() == switches - {"watch_websockets"}  # no source of its own: below
    for switch, off in SWITCHES.items():
        assert getattr(ours, switch) is True
        setattr(ours, switch, False)
        await begun_anew(jp_serverapp, service)
        assert states(service) == {**WELL, **dict.fromkeys(off, wire.Health.OFF)}, switch
        setattr(ours, switch, True)


@pytest.mark.usefixtures("hub_env")
async def test_the_servers_own_cullers_are_told_only_if_wanted(
    capfd: pytest.CaptureFixture[str], service: FakeService, jp_serverapp: ServerApp
) -> None:
    """Neither in a report nor in the log."""
    await started(jp_serverapp)
    await until(lambda: wire.Kind.SERVER_CULLER in kinds(service))
    assert "MappingKernelManager.cull_idle_timeout" in capfd.readouterr().err
    extension(jp_serverapp).watch_interplay = False
    await begun_anew(jp_serverapp, service)
    assert wire.Kind.SERVER_CULLER not in kinds(service)
    assert "MappingKernelManager.cull_idle_timeout" not in capfd.readouterr().err


@pytest.mark.usefixtures("hub_env")
@pytest.mark.timeout(90)
async def test_browsers_are_counted_only_if_wanted(
    service: FakeService, jp_serverapp: ServerApp, jp_ws_fetch: Any
) -> None:
    """A kernel's question is heard on its websocket all the same."""
    await started(jp_serverapp)
    extension(jp_serverapp).watch_websockets = False
    await begun_anew(jp_serverapp, service)
    manager: Any = jp_serverapp.web_app.settings["kernel_manager"]
    kernel = await manager.start_kernel()
    socket = await jp_ws_fetch("api", "kernels", kernel, "channels")
    await until(lambda: wire.Kind.KERNEL_CONNECTIONS in kinds(service))
    await Page(socket, binary=False).execute("input('?')")
    await until(lambda: wire.Kind.KERNEL_INPUT in kinds(service), 30)
    assert wire.Kind.BROWSERS not in kinds(service)
    extension(jp_serverapp).watch_websockets = True
    await begun_anew(jp_serverapp, service)
    another = await jp_ws_fetch("api", "kernels", kernel, "channels")
    await until(lambda: wire.Kind.BROWSERS in kinds(service))
    for one in (socket, another):
        one.close()
    await manager.shutdown_all(now=True)


@pytest.mark.usefixtures("hub_env")
@pytest.mark.timeout(90)
async def test_with_kernels_off_a_cell_that_computes_is_work_in_the_background(
    service: FakeService, jp_serverapp: ServerApp
) -> None:
    """Nobody tells then that it is a cell; with kernels on it is one, and no work in the background."""
    await started(jp_serverapp)
    manager: Any = jp_serverapp.web_app.settings["kernel_manager"]
    client = manager.get_kernel(await manager.start_kernel()).client()
    client.start_channels()
    await client.wait_for_ready(timeout=30)
    client.execute(COMPUTES)
    await until(lambda: wire.Kind.KERNEL_BUSY in at_work(service), 30)
    assert wire.Kind.BACKGROUND_JOB not in at_work(service)
    extension(jp_serverapp).watch_kernels = False
    await begun_anew(jp_serverapp, service)
    await until(lambda: at_work(service) == {wire.Kind.BACKGROUND_JOB}, 30)
    assert health_of(service.reports)["kernels"].health is wire.Health.OFF
    client.stop_channels()
    await manager.shutdown_all(now=True)
