"""Laws of all sources, in a real server: each fails alone, and each can be switched off alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from jupyter_server.serverapp import ServerApp

from hubcull_server_ext import sources as all_sources
from hubcull_server_ext import wire
from hubcull_server_ext.signals.adapters import AdaptersSource
from hubcull_server_ext.signals.apps import AppsSource
from hubcull_server_ext.signals.background import BackgroundSource
from hubcull_server_ext.signals.collaboration import CollaborationSource
from hubcull_server_ext.signals.foreign import ForeignSource
from hubcull_server_ext.signals.interplay import InterplaySource
from hubcull_server_ext.signals.keepalive import KeepaliveSource
from hubcull_server_ext.signals.kernels import KernelsSource
from hubcull_server_ext.signals.plugins import PluginsSource
from hubcull_server_ext.signals.requests import RequestsSource
from hubcull_server_ext.signals.terminals import TerminalsSource
from tests.component.ext.test_app import SOURCES, FakeService, extension, hub_env, service, started
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
}
COMPUTES = "import time\nend = time.time() + 60\nwhile time.time() < end: pass"
PATH = "/home/ada/plans.txt"
WORDS = {
    "__init__": "could not be made: RuntimeError",
    "start": "start: RuntimeError",
    "reconcile": "reconcile: RuntimeError",
    "sample": "sample: RuntimeError",
    "collect": "RuntimeError",
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


async def begun_anew(app: ServerApp) -> None:
    """Let the extension begin once more, as in a server that has just started."""
    ours = extension(app)
    await ours.stop_extension()
    ours._begun = False
    ours.begin()


def health_of(reports: list[wire.Report]) -> dict[str, wire.Source]:
    """Return how the sources do by the newest report."""
    return {source.name: source for source in reports[-1].sources} if reports else {}


def is_said(words: str, name: str, service: FakeService) -> bool:
    """Whether the newest report says this of a source."""
    source = health_of(service.reports).get(name)
    return source is not None and words in (source.detail or "")


def at_work(service: FakeService) -> set[str]:
    """Return the kinds of the work that goes on by the newest report."""
    newest = service.reports[-1].signals if service.reports else ()
    return {signal.kind for signal in newest if signal.going_on_for is not None}


def test_all_sources_are_here() -> None:
    """A source that is new is missing here until it is tried below."""
    assert set(KINDS) == set(SOURCES) == set(all_sources._SOURCES)


@pytest.mark.usefixtures("hub_env")
@pytest.mark.parametrize("act", WORDS)
async def test_a_source_fails_alone(
    monkeypatch: pytest.MonkeyPatch, service: FakeService, jp_serverapp: ServerApp, act: str
) -> None:
    """Whatever breaks of whichever, it is said of this one, by a class's name; the others are well.

    A weak one stays weak: its failure is no reason to hold the server.
    """
    await started(jp_serverapp)
    await until(lambda: service.reports)
    assert {source.health for source in health_of(service.reports).values()} == {wire.Health.OK}
    for name, kind in KINDS.items():
        with monkeypatch.context() as broken:

            def breaks(*_args: Any, **_kwargs: Any) -> None:
                raise RuntimeError(PATH)

            broken.setattr(kind, act, breaks, raising=False)
            service.reports.clear()
            await begun_anew(jp_serverapp)
            await until(partial(is_said, WORDS[act], name, service))
            found = health_of(service.reports)
            await extension(jp_serverapp).stop_extension()
        assert found.keys() == KINDS.keys(), name
        assert {n for n, source in found.items() if source.health is not wire.Health.OK} == {name}
        assert found[name].health is wire.Health.FAILED
        assert found[name].strength == getattr(kind, "strength", None)
        assert PATH not in repr(service.reports)


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
    await begun_anew(jp_serverapp)
    await until(lambda: at_work(service) == {wire.Kind.BACKGROUND_JOB}, 30)
    assert health_of(service.reports)["kernels"].health is wire.Health.OFF
    client.stop_channels()
    await manager.shutdown_all(now=True)
