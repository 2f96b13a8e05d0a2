"""Laws of `input`, with real kernels and real websockets: who waits for a person does not work."""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from jupyter_server.auth.identity import User
from jupyter_server.serverapp import ServerApp

from hubcull_server_ext import clock, wire
from hubcull_server_ext.signals.background import Around, BackgroundSource
from hubcull_server_ext.signals.hook import RequestHook
from hubcull_server_ext.signals.kernel_processes import kernel_processes
from hubcull_server_ext.signals.processes import ProcessTable
from hubcull_server_ext.signals.requests import RequestsSource
from hubcull_server_ext.signals.ttys import Clocks
from tests.component.ext.kernel_watch import Held, Watch
from tests.component.ext.waiting import until

Fetch = Callable[..., Awaitable[Any]]
BINARY = "v1.kernel.websocket.jupyter.org"


class Page:
    """A page with one kernel's websocket, in either form of the protocol."""

    def __init__(self, socket: Any, binary: bool) -> None:
        self._socket, self._binary = socket, binary
        self._session = uuid.uuid4().hex

    async def send(self, channel: str, msg_type: str, content: dict[str, Any]) -> str:
        """Send a message; return its id."""
        message_id = uuid.uuid4().hex
        header = {
            "msg_id": message_id,
            "msg_type": msg_type,
            "session": self._session,
            "username": "",
            "version": "5.3",
            "date": "2026-01-01T00:00:00Z",
        }
        if self._binary:
            parts = [channel.encode(), *(json.dumps(p).encode() for p in (header, {}, {}, content))]
            offsets = [8 * (len(parts) + 2)]
            for part in parts:
                offsets.append(offsets[-1] + len(part))
            numbers = [len(offsets), *offsets]
            body = b"".join(n.to_bytes(8, "little") for n in numbers) + b"".join(parts)
            await self._socket.write_message(body, binary=True)
        else:
            message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
            await self._socket.write_message(json.dumps({**message, "channel": channel, "buffers": []}))
        return message_id

    async def execute(self, code: str) -> str:
        """Begin a cell that may ask."""
        return await self.send("shell", "execute_request", {"code": code, "allow_stdin": True})

    async def answer(self, text: str) -> None:
        """Answer a cell's question."""
        await self.send("stdin", "input_reply", {"value": text, "status": "ok"})

    def close(self) -> None:
        """Close the page."""
        self._socket.close()


class Room:
    """A server whose kernels and websockets are watched."""

    def __init__(self, watch: Watch, app: ServerApp, ws_fetch: Fetch) -> None:
        self.watch, self._ws_fetch = watch, ws_fetch
        self.requests = RequestsSource(
            RequestHook(app.web_app.settings), clock.monotonic, kernels=watch.source
        )
        self.requests.reconcile()

    async def page(self, binary: bool = False, kernel_id: str | None = None) -> tuple[str, Page]:
        """Open a page at a new kernel, or at one that runs, and of which we are known to hear all.

        A cell of one that we do not hear yet is only suspected, and stays work.
        """
        kernel_id = kernel_id or await self.watch.start_kernel()
        await until(lambda: self.watch.doubt() is None)
        headers = {"Sec-WebSocket-Protocol": BINARY} if binary else {}
        socket = await self._ws_fetch("api", "kernels", kernel_id, "channels", headers=headers)
        assert socket.selected_subprotocol == (BINARY if binary else None)
        return kernel_id, Page(socket, binary)

    def is_quiet(self) -> bool:
        """Whether no work ended within the last second, such as a start: it would be one with the next."""
        over = self.watch.over()
        return self.watch.busy() is None and (over is None or (over.ended_ago or 0) > 1)

    def waits(self) -> list[wire.Signal]:
        """Return which cells wait for input."""
        return self.watch.signals(wire.Kind.KERNEL_INPUT)

    def browsers(self) -> list[wire.Signal]:
        """Return what is said of websockets."""
        return [s for s in self.requests.collect(clock.monotonic()) if s.kind == wire.Kind.BROWSERS]

    def heard_at(self) -> float:
        """Return when something last went over one of them (monotonic s), minus infinite for never."""
        now = clock.monotonic()
        found = [s for s in self.requests.collect(now) if s.kind == wire.Kind.BROWSERS]
        return max((now - s.age for s in found if s.age is not None), default=-math.inf)


def _two_held(folder: Path) -> tuple[Held, Held]:
    """Return two pieces of work, one after the other."""
    for name in ("first", "second"):
        (folder / name).mkdir()
    return Held(folder / "first"), Held(folder / "second")


@pytest.fixture
def room(watch: Watch, jp_serverapp: ServerApp, jp_ws_fetch: Fetch) -> Iterator[Room]:
    """Watch kernels and websockets of one server."""
    room = Room(watch, jp_serverapp, jp_ws_fetch)
    yield room
    room.requests.stop()


@pytest.mark.parametrize("binary", [True, False])
async def test_a_cell_that_waits_for_a_person_is_no_work_until_the_answer(
    room: Room, binary: bool, tmp_path: Path
) -> None:
    """Its idleness begins with the question; the answer is a person, and then the cell works again."""
    (before, after), (_, page) = _two_held(tmp_path), await room.page(binary)
    await until(room.is_quiet)
    sent = clock.monotonic()
    await page.execute(f"{before.code}\nprint('hello'); x = input('name? ')\n{after.code}")
    await until(room.watch.busy)
    seen = clock.monotonic()
    assert room.waits() == []
    await asyncio.sleep(0.5)
    ran = clock.monotonic() - seen
    before.end()
    await until(room.waits)
    over = room.watch.over()
    assert over is not None
    assert ran <= (over.lasted or 0) <= clock.monotonic() - sent
    await asyncio.sleep(1.0)
    (waiting,) = room.waits()
    assert (waiting.clock, (waiting.age or 0) > 0.9) == (wire.Clock.NONE, True)
    assert room.watch.busy() is None
    assert room.watch.doubt() is None
    (asked,) = room.watch.signals(wire.Kind.KERNEL_REQUEST)
    assert asked.label == "execute_request"
    await page.answer("Ada")
    await until(room.watch.busy)
    seen = clock.monotonic()
    assert room.waits() == []
    (answered,) = room.watch.signals(wire.Kind.KERNEL_REQUEST)
    assert answered.label == "input_reply"
    await asyncio.sleep(0.5)
    ran = clock.monotonic() - seen
    after.end()
    ended = await until(room.watch.over)
    assert isinstance(ended, wire.Signal)
    assert (ended.lasted or 0) >= ran
    page.close()


async def test_a_question_after_the_page_was_closed_is_found(room: Room, tmp_path: Path) -> None:
    """Where the server keeps it for the page's return, it is known; so is that the cell waits."""
    cell, (kernel_id, page) = Held(tmp_path), await room.page()
    await page.execute(f"{cell.code}\nx = input()")
    await until(room.watch.busy)
    page.close()
    await until(lambda: room.watch.managers.kernel_model(kernel_id)["connections"] == 0)
    assert room.watch.busy() is not None
    cell.end()
    await until(room.waits)
    assert room.watch.busy() is None
    assert room.watch.managers.get_kernel(kernel_id).execution_state == "busy"


async def test_a_question_that_nobody_can_see_leaves_the_cell_at_work(room: Room, tmp_path: Path) -> None:
    """Without the kept messages it is not known that the cell waits, and unknown is never idle."""
    room.watch.managers.buffer_offline_messages = False
    cell, asks, (kernel_id, page) = Held(tmp_path), tmp_path / "asks", await room.page()
    await page.execute(f"{cell.code}\nopen({str(asks)!r}, 'w').close()\nx = input()")
    await until(room.watch.busy)
    page.close()
    await until(lambda: room.watch.managers.kernel_model(kernel_id)["connections"] == 0)
    assert room.watch.busy() is not None
    cell.end()
    await until(asks.exists)
    await asyncio.sleep(2.0)
    assert room.watch.busy() is not None
    assert room.waits() == []


async def test_a_waiting_cell_whose_thread_prints_is_work(room: Room, tmp_path: Path) -> None:
    """What speaks after its question has more to do than to wait."""
    quiet, (_, page) = Held(tmp_path), await room.page()
    code = f"""
import threading
def train():
{indent(quiet.code, "    ")}
    for i in range(100):
        print(i, flush=True)
        time.sleep(0.2)
threading.Thread(target=train).start()
input("press enter to stop")
"""
    await page.execute(code)
    await until(room.waits)
    quiet.end()
    await until(room.watch.busy)
    assert room.waits() == []
    page.close()


async def test_interrupt_and_death_end_the_waiting(room: Room) -> None:
    """Nothing waits in a cell that is over, nor in a process that is gone."""
    kernel_id, page = await room.page()
    await page.execute("input()")
    await until(room.waits)
    await room.watch.managers.interrupt_kernel(kernel_id)
    await until(lambda: not room.waits() and not room.watch.busy())
    await page.execute("input()")
    await until(room.waits)
    await room.watch.managers.restart_kernel(kernel_id)
    await until(lambda: not room.waits() and not room.watch.busy())
    page.close()


@pytest.mark.parametrize("binary", [True, False])
async def test_a_console_that_is_closed_leaves_no_work_behind(room: Room, binary: bool) -> None:
    """Its subshell is deleted in mid-cell, and the kernel never says that the cell ended."""
    kernel_id, client = await room.watch.kernel()
    _, page = await room.page(binary, kernel_id)
    create = client.session.msg("create_subshell_request")
    client.control_channel.send(create)
    subshell = (await client.get_control_msg(timeout=30))["content"]["subshell_id"]
    cell = client.session.msg("execute_request", {"code": "import asyncio; await asyncio.sleep(600)"})
    cell["header"]["subshell_id"] = subshell
    client.shell_channel.send(cell)
    await until(room.watch.busy)
    await page.send("control", "usage_request", {})
    assert room.watch.busy() is not None
    await page.send("control", "delete_subshell_request", {"subshell_id": subshell})
    await until(room.watch.over)
    assert room.watch.busy() is None
    page.close()


async def test_browsers_are_counted_and_their_silence_is_worth_nothing(
    room: Room, jp_serverapp: ServerApp
) -> None:
    """Two websockets of one browser are one; what goes over any of them ends the silence."""
    who = ["ada"]
    provider: Any = jp_serverapp.identity_provider
    provider.generate_anonymous_user = lambda _handler: User(username=who[0])
    assert room.browsers() == []
    kernel_id, page = await room.page()
    _, other = await room.page(kernel_id=kernel_id)
    who[0] = "bob"
    _, guest = await room.page(kernel_id=kernel_id)
    assert [s.count for s in room.browsers()] == [2]
    guest.close()
    await until(lambda: room.browsers()[0].count == 1)
    await page.send("control", "kernel_info_request", {})
    await until(lambda: room.browsers() and room.browsers()[0].age is not None)
    (signal,) = room.browsers()
    assert (signal.count, signal.clock, signal.source) == (1, wire.Clock.NONE, "websockets")
    await until(lambda: (room.browsers()[0].age or 0) > 1.0)
    before = clock.monotonic()
    assert room.heard_at() < before - 1.0
    await page.send("control", "kernel_info_request", {})
    await until(lambda: room.heard_at() > before)
    page.close()
    other.close()
    await until(lambda: room.browsers()[0].count == 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are watched on Linux")
@pytest.mark.parametrize("computes", [True, False])
async def test_what_a_thread_computes_while_its_cell_waits_is_work_in_the_background(
    room: Room, computes: bool
) -> None:
    """A cell may train in a thread and ask when to stop; the waiting itself uses next to nothing."""
    source, managers = room.watch.source, room.watch.managers
    around = Around(lambda: kernel_processes(managers, source.free_since), list)
    clocks = Clocks(clock.monotonic, clock.wall, clock.boottime)
    background = BackgroundSource(ProcessTable(), clocks, around, os.environ, (), 0.2)
    kernel_id, page = await room.page()
    burn = "stop = False\ndef burn():\n    while not stop: sum(range(10_000))\n"
    start = "import threading; threading.Thread(target=burn, daemon=True).start()\n" if computes else ""
    await page.execute(f"{burn}{start}input()")
    await until(room.waits)
    found: list[wire.Signal] = []
    for _ in range(8):
        await asyncio.sleep(1.05)
        background.hurry()
        await background.sample()
        found = [s for s in background.collect(clock.monotonic()) if s.going_on_for is not None]
        if found:
            break
    assert room.waits()
    assert [s.source for s in found] == ([f"kernel:{kernel_id[:8]}"] if computes else [])
    page.close()
