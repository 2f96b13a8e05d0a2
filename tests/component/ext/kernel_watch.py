"""A kernels source on a real server, with clients of real kernels."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_server.serverapp import ServerApp

from hubcull_server_ext import clock, wire
from hubcull_server_ext.signals.kernels import KERNEL_ACTIONS, KernelsSource
from hubcull_server_ext.snapshot import SourceError

SILENT = "import time; time.sleep(60)"


def heard(reports: Sequence[wire.Report], kernels: int = 1) -> bool:
    """Whether the newest report tells of so many kernels, and that all are heard.

    A cell begun before that is work by its silent shell alone, and nobody's request: jupyter_server before
    2.6 does not say that a kernel was started, and the next look finds it.
    """
    if not reports:
        return False
    known = [s for s in reports[-1].signals if s.kind == wire.Kind.KERNEL_CONNECTIONS]
    well = {s.name for s in reports[-1].sources if s.health is wire.Health.OK}
    return len(known) == kernels and "kernels" in well


class Held:
    """Silent work that goes on until the test ends it, so that no test has to be quick to see it."""

    def __init__(self, folder: Path) -> None:
        self._end = folder / "end"
        self.code = f"import os, time\nwhile not os.path.exists({str(self._end)!r}): time.sleep(0.02)"

    def end(self) -> None:
        """Let it end, soon."""
        self._end.touch()


class Watch:
    """A source on a real server, with a client of one kernel."""

    def __init__(self, app: ServerApp) -> None:
        self.managers: Any = app.web_app.settings["kernel_manager"]
        self.events: Any = app.web_app.settings["event_logger"]
        self.source = KernelsSource(self.managers, self.events, clock.monotonic)
        self.clients: list[AsyncKernelClient] = []

    async def begin(self) -> None:
        """Start to watch."""
        self.source.start()

    async def end(self) -> None:
        """Close every socket and kernel."""
        for client in self.clients:
            client.stop_channels()
        self.source.stop()
        await self.managers.shutdown_all(now=True)

    async def start_kernel(self) -> str:
        """Start a kernel and return its id.

        jupyter_server before 2.6 publishes no actions of kernels: there the next look, every few seconds,
        finds it.
        """
        kernel_id = str(await self.managers.start_kernel())
        if self.events is None or KERNEL_ACTIONS not in self.events.schemas:
            self.source.reconcile()
        return kernel_id

    async def kernel(self) -> tuple[str, AsyncKernelClient]:
        """Start a kernel; return its id and a client whose channels are open."""
        kernel_id = await self.start_kernel()
        return kernel_id, await self.ready(kernel_id)

    async def ready(self, kernel_id: str) -> AsyncKernelClient:
        """Wait until a kernel answers, and return a new client.

        An old one may have answers of the last process, and is not to get those to the new one: so that one
        has a session of its own, as each page has.
        """
        manager = self.managers.get_kernel(kernel_id)
        session = manager.session.clone()
        session.session = uuid4().hex
        client: AsyncKernelClient = manager.client(session=session)
        client.start_channels()
        self.clients.append(client)
        await client.wait_for_ready(timeout=30)
        return client

    async def kill(self, kernel_id: str) -> None:
        """Kill a kernel's process and wait until it is dead, or another has its place.

        On a busy machine that is a while later: its parent learns of it when its last thread has ended.
        """
        manager = self.managers.get_kernel(kernel_id)
        pid = manager.provisioner.pid
        await manager.signal_kernel(9)
        for _ in range(300):
            if not await manager.is_alive() or manager.provisioner.pid != pid:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the kernel's process lives on")

    def signals(self, kind: str) -> list[wire.Signal]:
        """Return what the source says now of one kind, in doubt or not."""
        self.source.reconcile()
        try:
            found = self.source.collect(clock.monotonic())
        except SourceError as doubt:
            found = list(doubt.signals)
        return [s for s in found if s.kind == kind]

    def doubt(self) -> str | None:
        """Return what the source is in doubt about."""
        self.source.reconcile()
        try:
            self.source.collect(clock.monotonic())
        except SourceError as doubt:
            return str(doubt)
        return None

    def busy(self) -> wire.Signal | None:
        """Return the work under way, or None."""
        return next((s for s in self.signals(wire.Kind.KERNEL_BUSY) if s.going_on_for is not None), None)

    def over(self) -> wire.Signal | None:
        """Return the work that ended, if none goes on."""
        return next((s for s in self.signals(wire.Kind.KERNEL_BUSY) if s.ended_ago is not None), None)


async def deaf(watch: Watch) -> tuple[str, AsyncKernelClient, Any]:
    """Return a kernel that we can not hear, as before our subscription joins, and what we know of it."""
    kernel_id = await watch.start_kernel()
    client = watch.managers.get_kernel(kernel_id).client()
    watch.clients.append(client)
    watched = watch.source._watched[kernel_id]
    assert watched.stream is not None
    watched.stream.on_recv(lambda _: None)
    client.start_channels()
    await client.wait_for_ready(timeout=30)
    return kernel_id, client, watched
