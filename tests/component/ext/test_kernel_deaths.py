"""Laws of a kernel's end: nothing runs any more, and what may have run until then counts until then."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hubcull_server_ext import clock, wire
from hubcull_server_ext.signals.kernels import KernelsSource
from tests.component.ext.kernel_watch import SILENT, Held, Watch, deaf
from tests.component.ext.waiting import until


async def test_death_in_a_cell_that_nobody_heard_of_is_activity(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before our subscription joined, or its shell was suspected: idleness begins at the death."""
    monkeypatch.setattr("hubcull_server_ext.signals.kernel_probe._FREE_SHELL", 60.0)
    kernel_id, client, watched = await deaf(watch)
    client.execute(SILENT)
    await until(lambda: watch.managers.get_kernel(kernel_id).execution_state == "busy")
    assert watch.busy() is None
    assert watch.over() is None
    killed = clock.monotonic()
    await watch.kill(kernel_id)
    over = await until(watch.over)
    assert isinstance(over, wire.Signal)
    assert clock.monotonic() - (over.ended_ago or 0) >= killed
    assert watched.state.requests == {}, "the premise failed: the cell was heard"
    watched.stream.on_recv(lambda frames: watch.source._on_message(watched, frames))
    await until(lambda: watch.doubt() is None, 40.0)  # the next process is heard


async def test_a_proven_idle_kernels_death_is_nothing(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel known to have been silent leaves nothing behind, nor does the new process of it."""
    monkeypatch.setattr("hubcull_server_ext.signals.kernel_probe._FREE_SHELL", 60.0)
    kernel_id, client = await watch.kernel()
    await until(lambda: watch.doubt() is None)
    (watched,) = watch.source._watched.values()
    manager = watch.managers.get_kernel(kernel_id)
    pid = manager.provisioner.pid
    await manager.signal_kernel(9)
    await until(lambda: manager.provisioner.pid not in {pid, None})
    await until(lambda: watch.doubt() is None and watched.probe.proven, 40.0)
    assert watch.over() is None
    client.execute("1")
    assert await until(watch.over)


async def test_an_unproven_kernel_that_dies_where_nobody_restarts_it_holds_nothing(watch: Watch) -> None:
    """Its death is found by looking, counts once, and is no doubt for ever."""
    kernel_id, client, _ = await deaf(watch)
    manager = watch.managers.get_kernel(kernel_id)
    manager.stop_restarter()
    client.execute(SILENT)
    await until(lambda: manager.execution_state == "busy")
    await watch.kill(kernel_id)
    await watch.source.sample()
    first = watch.over()
    assert first is not None
    for _ in range(3):
        watch.source.reconcile()
        await watch.source.sample()
        await asyncio.sleep(0.1)
    later = watch.over()
    assert later is not None
    assert (later.ended_ago or 0) >= (first.ended_ago or 0) + 0.2
    assert watch.doubt() is None


async def test_crash_in_mid_cell_clears_busy(
    watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that dies in its cell runs nothing any more, also where stock state stays busy."""
    monkeypatch.setattr("hubcull_server_ext.signals.kernel_probe._FREE_SHELL", 60.0)
    cell, (kernel_id, client) = Held(tmp_path), await watch.kernel()
    await until(lambda: watch.doubt() is None)  # nothing that it says is lost; nothing is suspected
    client.execute(f"{cell.code}\nos._exit(1)")
    await until(watch.busy)
    cell.end()
    await until(watch.over)
    await watch.ready(kernel_id)
    assert watch.busy() is None
    await until(lambda: watch.doubt() is None, 40.0)
    assert watch.busy() is None


async def test_killed_kernel_clears_busy(watch: Watch) -> None:
    """Death by the memory limit's SIGKILL ends the work; a cell in the new process is work again."""
    kernel_id, client = await watch.kernel()
    client.execute(SILENT)
    await until(watch.busy)
    await watch.managers.get_kernel(kernel_id).signal_kernel(9)
    await until(watch.over)
    client = await watch.ready(kernel_id)
    client.execute(SILENT)
    await until(watch.busy)


async def test_restart_in_mid_cell_clears_busy(watch: Watch) -> None:
    """The user's restart ends the work at once."""
    kernel_id, client = await watch.kernel()
    client.execute(SILENT)
    await until(watch.busy)
    await watch.managers.restart_kernel(kernel_id)
    await until(watch.over)
    assert watch.busy() is None


async def test_a_restart_that_nobody_announces_is_noticed(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As before jupyter_server 2.6: an idle kernel stays idle, and what the next process does is work."""
    watch.events = None
    watch.source.stop()
    watch.source = KernelsSource(watch.managers, None, clock.monotonic)
    kernel_id, _ = await watch.kernel()
    await until(lambda: watch.doubt() is None)
    with monkeypatch.context() as patient:  # one that is long in answering is taken for busy, for it may be
        patient.setattr("hubcull_server_ext.signals.kernel_probe._FREE_SHELL", 60.0)
        await watch.managers.restart_kernel(kernel_id)
        await watch.ready(kernel_id)
        assert watch.doubt() == "a kernel has not answered yet"
        await until(lambda: watch.doubt() is None)
        assert (watch.busy(), watch.over()) == (None, None)
    watched = watch.source._watched[kernel_id]
    assert watched.stream is not None
    watched.stream.on_recv(lambda _: None)  # as until our subscription has joined the next process
    await watch.managers.restart_kernel(kernel_id)
    client = await watch.ready(kernel_id)
    client.execute(SILENT)
    await until(watch.busy)
    await watch.managers.restart_kernel(kernel_id)
    await until(watch.over)
    assert watch.busy() is None


async def test_end_of_work_outlives_its_kernel(watch: Watch) -> None:
    """A long run's end still counts after its kernel was shut down."""
    kernel_id, client = await watch.kernel()
    client.execute(SILENT)
    await until(watch.busy)
    await watch.managers.shutdown_kernel(kernel_id, now=True)
    await until(lambda: not watch.managers.list_kernel_ids())
    over = watch.over()
    assert over is not None
    assert over.source == f"kernel:{kernel_id[:8]}"
    assert [s.label for s in watch.signals(wire.Kind.KERNEL_REQUEST)] == ["execute_request"]
    assert watch.signals(wire.Kind.KERNEL_CONNECTIONS) == []


async def test_a_kernel_that_dies_unnoticed_runs_nothing(watch: Watch) -> None:
    """Where nobody restarts kernels, nobody tells us of their death."""
    kernel_id, client = await watch.kernel()
    manager = watch.managers.get_kernel(kernel_id)
    manager.stop_restarter()
    client.execute(SILENT)
    await until(watch.busy)
    await watch.source.sample()
    assert watch.busy() is not None
    await watch.kill(kernel_id)
    assert watch.busy() is not None
    await watch.source.sample()
    assert watch.over() is not None
    for _ in range(2):
        watch.source.reconcile()
        await watch.source.sample()
        await asyncio.sleep(0.1)
    assert watch.busy() is None
