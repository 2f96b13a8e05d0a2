"""Laws of other cullers, on a real server: our watching is no activity to them, unless we are asked."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.serverapp import ServerApp

from hubcull_server_ext import clock, wire
from hubcull_server_ext.signals.keepalive import CLAIM, KeepaliveSource
from tests.component.ext.kernel_watch import heard
from tests.component.ext.test_app import (
    FakeService,
    hub_env,
    service,
    started,
)
from tests.component.ext.waiting import until

__all__ = ["hub_env", "service"]  # fixtures


APP_CHECKS = [{"app": "simulation", "command": ["cat", "computes"], "means": "work"}]
"""What an operator would write; without the file it fails, and says nothing."""


@pytest.fixture
def published() -> bool:
    """Whether our clock of work is shown; a test may ask for another."""
    return False


@pytest.fixture
def jp_server_config(published: bool) -> dict[str, Any]:
    """Enable the extension, keepalive and terminals, with cullers that would take their time."""
    names = ("hubcull_server_ext", "jupyter_server_terminals", "jupyter_keepalive")
    return {
        "ServerApp": {
            "jpserver_extensions": dict.fromkeys(names, True),
            "shutdown_no_activity_timeout": 7200,
        },
        "MappingKernelManager": {"cull_idle_timeout": 3600, "cull_connected": True},
        "TerminalManager": {"cull_inactive_timeout": 1800},
        "HubcullExtension": {"publish_work": published, "sample_interval": 0.5, "app_checks": APP_CHECKS},
    }


async def last_activity(jp_fetch: Any) -> datetime:
    """Return what the server says of itself, as the Hub and other cullers are told."""
    answer = json.loads((await jp_fetch("api", "status")).body)
    return datetime.fromisoformat(answer["last_activity"].replace("Z", "+00:00"))


async def silent_cell(app: ServerApp) -> Any:
    """Run a cell that says nothing for a minute, and let its first messages pass; return the client."""
    manager: Any = app.web_app.settings["kernel_manager"]
    kernel_id = await manager.start_kernel()
    client = manager.get_kernel(kernel_id).client()
    client.start_channels()
    await client.wait_for_ready(timeout=30)
    client.execute("import time; time.sleep(60)")
    await until(lambda: manager.get_kernel(kernel_id).execution_state == "busy")
    await asyncio.sleep(1.0)
    return client


def busy(service: FakeService) -> bool:
    """Whether the newest report tells of a cell that runs."""
    newest = service.reports[-1].signals if service.reports else ()
    return any(s.kind == wire.Kind.KERNEL_BUSY and s.going_on_for is not None for s in newest)


@pytest.mark.usefixtures("hub_env")
@pytest.mark.parametrize("published", [False, True])
async def test_a_silent_cell_is_activity_to_others_only_if_we_are_asked(
    service: FakeService, jp_serverapp: ServerApp, jp_fetch: Any, published: bool
) -> None:
    """The server's last_activity advances while it runs with the option, and stands still without."""
    await started(jp_serverapp)
    client = await silent_cell(jp_serverapp)
    await until(lambda: busy(service))
    before = await last_activity(jp_fetch)
    await asyncio.sleep(3.0)
    reports = len(service.reports)
    await until(lambda: len(service.reports) > reports + 1)  # one of them looked after that time
    after = await last_activity(jp_fetch)
    assert busy(service)
    assert ((after - before).total_seconds() > 2.0) is published
    assert not any(s.kind == wire.Kind.FOREIGN for s in service.reports[-1].signals)
    client.stop_channels()


@pytest.mark.usefixtures("hub_env")
async def test_watching_is_no_activity(service: FakeService, jp_serverapp: ServerApp, jp_fetch: Any) -> None:
    """A kernel and a terminal are watched and reported, and neither the server nor they seem active by it."""
    await started(jp_serverapp)
    manager: Any = jp_serverapp.web_app.settings["kernel_manager"]
    kernel = manager.get_kernel(await manager.start_kernel())
    client = kernel.client()
    client.start_channels()
    await client.wait_for_ready(timeout=30)
    await jp_fetch("api", "terminals", method="POST", body="{}")
    terminals = jp_serverapp.web_app.settings["terminal_manager"]
    (terminal,) = terminals.terminals.values()
    await until(lambda: heard(service.reports))

    async def seen() -> tuple[datetime, datetime, datetime]:
        return await last_activity(jp_fetch), kernel.last_activity, terminal.last_activity

    before, rested = await seen(), 0
    while rested < 30:  # what the kernel and the prompt say of their own start takes a while
        await asyncio.sleep(0.1)
        now = await seen()
        before, rested = now, rested + 1 if now == before else 0
    reports = len(service.reports)
    await until(lambda: len(service.reports) >= reports + 3)
    assert await seen() == before
    client.stop_channels()
    await terminals.terminate_all()


@pytest.mark.usefixtures("hub_env")
async def test_the_servers_own_cullers_are_reported_and_logged(
    capfd: pytest.CaptureFixture[str], service: FakeService, jp_serverapp: ServerApp
) -> None:
    """Each with its seconds; a kernel's with what else it ends. What is printed at the start is read, too."""
    await started(jp_serverapp)
    await until(lambda: service.reports)
    told = [s for s in service.reports[-1].signals if s.kind == wire.Kind.SERVER_CULLER]
    assert {(s.source, s.label, s.count) for s in told} == {
        ("MappingKernelManager", "cull_idle_timeout, cull_connected", 3600),
        ("TerminalManager", "cull_inactive_timeout", 1800),
        ("ServerApp", "shutdown_no_activity_timeout", 7200),
    }
    assert "TerminalManager.cull_inactive_timeout = 1800 s" in capfd.readouterr().err


async def test_a_wish_is_work_until_it_ends(jp_serverapp: ServerApp, jp_fetch: Any) -> None:
    """With the real jupyter-keepalive: it goes on, another wish begins anew, and the end is known."""
    source = KeepaliveSource(jp_serverapp.web_app.settings, clock.monotonic)

    def seen() -> list[wire.Signal]:
        source.sample()
        return source.collect(clock.monotonic())

    assert seen() == []
    first = clock.monotonic()
    await jp_fetch("ext-keepalive", method="POST", body=json.dumps({"seconds": 3600}))
    seen()
    await asyncio.sleep(0.5)
    (wish,) = seen()
    assert (wish.clock, wish.label, wish.source) == (wire.Clock.WORK, CLAIM, "keepalive")
    assert 0.5 <= (wish.going_on_for or 0) <= clock.monotonic() - first
    second = clock.monotonic()
    await jp_fetch("ext-keepalive", method="POST", body=json.dumps({"seconds": 7200}))
    (wish,) = seen()
    assert wish.going_on_for is not None
    assert wish.going_on_for <= clock.monotonic() - second
    deleted = clock.monotonic()
    await jp_fetch("ext-keepalive", method="DELETE")
    (ended,) = seen()
    assert ended.going_on_for is None
    assert ended.ended_ago is not None
    assert ended.ended_ago <= clock.monotonic() - deleted


@pytest.mark.usefixtures("hub_env")
@pytest.mark.parametrize("published", [False, True])
async def test_work_that_an_operators_command_tells_of_is_shown_like_any_other(
    service: FakeService,
    jp_serverapp: ServerApp,
    jp_fetch: Any,
    published: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others see it go on only if we are asked; it is in the reports in both cases."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "computes").write_text("true")
    await started(jp_serverapp)

    def told() -> bool:
        newest = service.reports[-1].signals if service.reports else ()
        return any(s.source == "app:simulation" and s.going_on_for is not None for s in newest)

    await until(told)
    before = await last_activity(jp_fetch)
    await asyncio.sleep(3.0)
    assert told()
    after = await last_activity(jp_fetch)
    assert ((after - before).total_seconds() > 2.0) is published
