"""Laws of kernels, with real ones: a silent cell is work, whatever jupyter_server makes of it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from jupyter_server.serverapp import ServerApp

from hubcull_server_ext import clock, wire
from hubcull_server_ext.signals.kernel_messages import KernelMessage
from hubcull_server_ext.snapshot import SourceError
from tests.component.ext.kernel_watch import SILENT, Held, Watch, deaf
from tests.component.ext.waiting import until


async def test_silent_cell_is_work_while_stock_activity_ages(watch: Watch, tmp_path: Path) -> None:
    """A cell that prints nothing is work from its begin; the server's own last activity stands still."""
    kernel_id, client = await watch.kernel()
    assert watch.busy() is None
    assert not watch.signals(wire.Kind.KERNEL_REQUEST)
    cell, sent = Held(tmp_path), clock.monotonic()
    client.execute(cell.code)
    await until(watch.busy)
    seen = clock.monotonic()
    stock = watch.managers.get_kernel(kernel_id).last_activity
    await until(lambda: (signal := watch.busy()) is not None and (signal.going_on_for or 0) > 1.0)
    assert watch.managers.get_kernel(kernel_id).last_activity == stock
    ran = clock.monotonic() - seen
    cell.end()
    over = await until(watch.over)
    assert isinstance(over, wire.Signal)
    assert over.source == f"kernel:{kernel_id[:8]}"
    assert ran <= (over.lasted or 0) <= clock.monotonic() - sent
    request = watch.signals(wire.Kind.KERNEL_REQUEST)
    assert [s.label for s in request] == ["execute_request"]
    assert (request[0].age or 0) >= (over.ended_ago or 0)


async def test_usage_request_during_a_cell_changes_nothing(watch: Watch) -> None:
    """The resource panel's question turns stock state to idle in mid-cell; our cell stays busy."""
    kernel_id, client = await watch.kernel()
    client.execute(SILENT)
    await until(watch.busy)
    client.control_channel.send(client.session.msg("usage_request", {}))
    await until(lambda: watch.managers.get_kernel(kernel_id).execution_state == "idle")
    assert watch.busy() is not None
    assert [s.label for s in watch.signals(wire.Kind.KERNEL_REQUEST)] == ["execute_request"]


async def test_kernel_already_busy_at_first_sight_is_protected(
    jp_serverapp: ServerApp, tmp_path: Path
) -> None:
    """A source that begins in mid-cell takes the kernel's word until it knows better."""
    watch, cell = Watch(jp_serverapp), Held(tmp_path)
    kernel_id, client = await watch.kernel()
    client.execute(cell.code)
    await until(lambda: watch.managers.get_kernel(kernel_id).execution_state == "busy")
    watch.source.start()
    assert watch.busy() is not None
    cell.end()
    await until(watch.over)
    await watch.end()


async def test_a_kernel_is_in_doubt_until_it_is_heard(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started over REST, with no client: first unknown, then known to be idle, and never busy for it.

    Not for being long in starting either, on a machine that has others to run.
    """
    monkeypatch.setattr("hubcull_server_ext.signals.kernel_probe._FREE_SHELL", 60.0)
    kernel_id = await watch.start_kernel()
    assert watch.doubt() == "a kernel has not answered yet"
    await until(lambda: watch.doubt() is None, 40.0)
    assert watch.busy() is None
    (watched,) = watch.source._watched.values()
    await watch.managers.restart_kernel(kernel_id)
    await until(lambda: watch.doubt() is None and watched.probe.proven, 40.0)
    assert watch.busy() is None


@pytest.mark.parametrize("join_late", [0.0, 1.0])
async def test_a_cell_begun_before_we_hear_the_kernel_is_work(
    watch: Watch, tmp_path: Path, join_late: float
) -> None:
    """What was published before our subscription joined is lost; the silent shell tells all the same."""
    cell = Held(tmp_path)
    _, client, watched = await deaf(watch)
    client.execute(cell.code)
    await asyncio.sleep(join_late)
    watched.probe.reset()
    watched.stream.on_recv(lambda frames: watch.source._on_message(watched, frames))
    assert watch.busy() is None
    await until(watch.busy)
    assert watch.doubt() is None
    cell.end()
    await until(watch.over)


async def test_connections_are_a_number_and_no_clock(watch: Watch) -> None:
    """How many websockets a kernel has is shown and worth nothing."""
    kernel_id, _ = await watch.kernel()
    watch.managers.notify_connect(kernel_id)
    (signal,) = watch.signals(wire.Kind.KERNEL_CONNECTIONS)
    assert (signal.clock, signal.count) == (wire.Clock.NONE, 1)


async def test_unreadable_messages_are_a_failure(watch: Watch) -> None:
    """A kernel whose messages are not JSON is in doubt, and doubt is said."""
    kernel_id, _ = await watch.kernel()
    watch.source.reconcile()
    (watched,) = watch.source._watched.values()
    watch.source._on_message(watched, [b"<IDS|MSG>", b"", b"\x81\xa1", b"\x80"])
    with pytest.raises(SourceError, match="can not be read"):
        watch.source.collect(clock.monotonic())
    assert kernel_id in watch.managers.list_kernel_ids()


WIDGET = """
from ipykernel.comm import Comm
slow = Comm(target_name="x", comm_id="w")
slow.on_msg(lambda _: exec(code))
"""


async def test_a_widgets_callback_is_work(watch: Watch, tmp_path: Path) -> None:
    """A button that trains a model for hours runs no cell."""
    callback = Held(tmp_path)
    _, client = await watch.kernel()
    client.execute(f"code = {callback.code!r}{WIDGET}")
    await until(watch.over)
    client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": "w", "data": {}}))
    await until(watch.busy)
    busy = watch.busy()
    assert busy is not None
    assert busy.label == "comm_msg"
    callback.end()
    ended = await until(watch.over)
    assert isinstance(ended, wire.Signal)
    assert (ended.lasted or 0) >= (busy.going_on_for or 0) > 0


async def test_a_flood_loses_nothing_while_the_server_is_busy(watch: Watch) -> None:
    """What a kernel publishes waits for us, far beyond a thousand messages."""
    _, client = await watch.kernel()
    client.execute("import sys\nfor i in range(5000):\n    print('x' * 5000); sys.stdout.flush()")
    await asyncio.sleep(0)
    time.sleep(6)  # noqa: ASYNC251 - the server's loop stands still
    await until(watch.over, 40.0)


CHATTER = """
import asyncio
from ipykernel.comm import Comm
async def chat(comm):
    for number in range(100_000):
        comm.send({"method": "update", "state": {"value": number}})
        await asyncio.sleep(0.001)
chatter = asyncio.get_running_loop().create_task(chat(Comm(target_name="jupyter.widget")))
"""


async def test_what_a_widget_pours_out_is_left_out_and_nothing_else_is(
    watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells are seen to begin and to end meanwhile, and so is the kernel's next process."""
    monkeypatch.setattr("hubcull_server_ext.signals.kernel_flow._WITHOUT", 600.0)
    cell = Held(tmp_path)
    kernel_id, client = await watch.kernel()
    await until(lambda: watch.doubt() is None)
    (watched,) = watch.source._watched.values()
    client.execute(CHATTER)
    await until(lambda: watched.flow is not None and watched.flow._heard == b"kernel.")
    await until(watch.over)
    client.execute(cell.code)
    await until(watch.busy)
    cell.end()
    await until(watch.over)
    await watch.managers.restart_kernel(kernel_id)
    client = await watch.ready(kernel_id)
    await until(lambda: watch.doubt() is None)
    client.execute(SILENT)
    await until(watch.busy)
    assert [s.label for s in watch.signals(wire.Kind.KERNEL_REQUEST)] == ["execute_request"]
    assert watched.flow is not None
    assert watched.flow._heard == b"kernel."


async def test_a_flood_that_was_left_out_is_heard_again(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left out for a while only: who goes on printing is known to do so, and what comes after it is heard."""
    monkeypatch.setattr("hubcull_server_ext.signals.kernel_flow._WITHOUT", 0.3)
    _, client = await watch.kernel()
    await until(lambda: watch.doubt() is None)
    (watched,) = watch.source._watched.values()
    client.execute(CHATTER)
    for _ in range(3):
        await until(lambda: watched.flow is not None and watched.flow._heard == b"kernel.")
        left_out_at = clock.monotonic()

        def is_heard(since: float = left_out_at) -> bool:
            return watched.repair._heard_at > since

        await until(is_heard)
    client.execute("chatter.cancel()")
    await until(lambda: watched.flow is not None and watched.flow._heard == b"")
    client.execute("print('after the flood')")
    await until(lambda: watched.state.newest is not None and watched.state.newest.msg_type == "stream")


async def test_after_a_flood_a_kernel_is_heard_anew(watch: Watch, tmp_path: Path) -> None:
    """A cell whose begin went under in it is found by the shell that does not answer."""
    cell = Held(tmp_path)
    kernel_id, client = await watch.kernel()
    await until(lambda: watch.doubt() is None)
    (watched,) = watch.source._watched.values()
    assert watched.stream is not None
    watched.stream.on_recv(lambda _: None)  # lost
    client.execute(cell.code)
    await until(lambda: watch.managers.get_kernel(kernel_id).execution_state == "busy")
    watched.stream.on_recv(lambda frames: watch.source._on_message(watched, frames))
    for _ in range(1001):
        watched.repair.heard(clock.monotonic(), tells=True)
    assert watch.busy() is None
    await until(watch.busy)
    cell.end()
    await until(watch.over)
    assert watch.doubt() is None


@pytest.mark.parametrize("free", [True, False])
async def test_a_lost_end_is_made_good(watch: Watch, monkeypatch: pytest.MonkeyPatch, free: bool) -> None:
    """After a flood a quiet kernel is asked: a free shell ends what seemed in flight, a busy one does not."""
    monkeypatch.setattr("hubcull_server_ext.signals.kernel_repair._LONG", 0.5)
    monkeypatch.setattr("hubcull_server_ext.signals.kernel_repair._QUIET", 1.0)
    _, client = await watch.kernel()
    await until(lambda: watch.doubt() is None)
    (watched,) = watch.source._watched.values()
    if free:  # its end was lost
        watched.state.observe(KernelMessage("status", "execute_request", "x", "", "busy"), clock.monotonic())
    else:
        client.execute(SILENT)
    await until(watch.busy)
    for _ in range(1001):
        watched.repair.heard(clock.monotonic(), tells=True)
    for _ in range(50):
        await watch.source.sample()
        over = watch.over()
        if over is not None:
            break
        await asyncio.sleep(0.1)
    assert (over is not None) is free
    assert free or watched.repair.wanted
