"""The turns under load of `extension_load`: one server at a time, messages of a widget and requests.

It knows how a server is put under load and what is noted of it, and nothing of what is made of that.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import psutil

from benchmarks.extension_cost import PATH, TOKEN, Server

ROUNDS, SECONDS, LEAD, BEFORE, AFTER = 100, 0.5, 0.1, 0.25, 0.05
"""Rounds of load; the seconds of each turn, those until its load begins, and of load before and after it.

The first round only warms up.

What disturbs a machine lasts for seconds: short turns that follow each other are met by it alike.
"""
REQUESTS, MESSAGES = 200, 1000
"""A second, in each server."""
_SERVES, _ASKS = 1, 2
"""How urgent it is that a server or kernel runs, and who asks it; above all that is not in real time."""
_PACE = 20_000
"""What the times of requests are made from; in a round they are the same for all three."""
_WIDGET = """
import asyncio, time
from ipykernel.comm import Comm
async def chat(comm):
    for tick in range(int(100 * {seconds})):
        await asyncio.sleep(max(0.0, {begin} + tick / 100 - time.monotonic()))
        for sent in range({rate} // 100):
            comm.send({{'method': 'update', 'state': {{'value': sent}}}})
chatter = asyncio.get_running_loop().create_task(chat(Comm(target_name='jupyter.widget')))
"""
"""Bursts at times told before, by the clock of all processes; so they meet requests alike in all three."""


@dataclass
class Loaded:
    """One server under load: of each round the waits (s) in order, answers and messages a second, CPU (%)."""

    server: Server
    socket: aiohttp.ClientWebSocketResponse = field(init=False)
    waits: list[list[float]] = field(default_factory=list)
    throughput: list[float] = field(default_factory=list)
    messages: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    came: int = 0
    """Messages of the widget that have come to the page."""
    begins: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when one comes."""

    async def read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Count what comes to the page, until cancelled."""
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT and '"comm_msg"' in message.data:
                self.came += 1
                self.begins.set()


def open_socket(session: aiohttp.ClientSession, server: Server, kernel: str) -> Any:
    """Return a page's websocket to a kernel, to be entered."""
    url = f"{server.child.url}/api/kernels/{kernel}/channels"
    return session.ws_connect(url, headers={"Authorization": f"token {TOKEN}"}, max_msg_size=0, compress=0)


async def execute(socket: aiohttp.ClientWebSocketResponse, code: str) -> None:
    """Send a cell, and wait for nothing."""
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": uuid.uuid4().hex}
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
    message = {"header": {**header, "username": "", "version": "5.3"}, "parent_header": {}, "metadata": {}}
    await socket.send_json({**message, "content": content, "channel": "shell", "buffers": []})


async def execute_to_end(server: Server, kernel: str, code: str) -> None:
    """Run a cell to its end.

    Raises:
        RuntimeError: when it fails.

    """
    async with aiohttp.ClientSession() as session, open_socket(session, server, kernel) as socket:
        await execute(socket, code)
        async for message in socket:
            found = json.loads(message.data) if message.type is aiohttp.WSMsgType.TEXT else {}
            if found.get("msg_type") == "execute_reply":
                if found["content"]["status"] != "ok":
                    raise RuntimeError(f"a cell failed: {found['content']}")
                return


async def take_turns(loaded: Sequence[Loaded]) -> None:
    """Let each server have its turn under load, round by round, in another order each time."""
    paces = random.Random(_PACE)  # noqa: S311 - no secret
    async with aiohttp.ClientSession() as session, AsyncExitStack() as stack:
        for one in loaded:
            socket = await stack.enter_async_context(open_socket(session, one.server, one.server.kernels[1]))
            stack.push_async_callback(_end, asyncio.create_task(one.read(socket)))
            one.socket = socket
        stack.enter_context(_apart([one.server.child.pid for one in loaded]))
        for number in range(ROUNDS):
            # Requests at equal distances would meet a widget's bursts always, or never, for a whole turn.
            pace = [(place + paces.random()) / REQUESTS for place in range(int(REQUESTS * SECONDS))]
            for one in _order(loaded, number):
                await _turn(session, one, pace)


def _order(loaded: Sequence[Loaded], number: int) -> list[Loaded]:
    """Return all in another order each round; what drifts meets each as often before the others as after."""
    start = number // 2 % len(loaded)
    order = [*loaded[start:], *loaded[:start]]
    return order if number % 2 else order[::-1]


@contextmanager
def _apart(servers: Iterable[int]) -> Iterator[None]:
    """Give the servers the first processor, and all others to kernels and to us, who ask and read.

    Who comes first would decide the wait, where all of them share all processors. Where we may (as root, or
    with CAP_SYS_NICE) they also go before whatever else runs on the machine, and we before kernels.
    """
    processors, policy, level = os.sched_getaffinity(0), os.sched_getscheduler(0), os.sched_getparam(0)
    first, *others = sorted(processors)
    _place(os.getpid(), others or [first], _ASKS)
    for server in servers:
        _place(server, [first], _SERVES)
        for child in psutil.Process(server).children(recursive=True):
            _place(child.pid, others or [first], _SERVES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, processors)
        with suppress(PermissionError):
            os.sched_setscheduler(0, policy, level)


def _place(pid: int, processors: Iterable[int], level: int) -> None:
    """Let all threads of a process, and whatever they start, run on these processors alone, and at once."""
    for name in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - names are what is wanted
        with suppress(ProcessLookupError, PermissionError):
            os.sched_setaffinity(int(name), processors)
            os.sched_setscheduler(int(name), os.SCHED_RR, os.sched_param(level))


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _turn(session: aiohttp.ClientSession, one: Loaded, pace: Sequence[float]) -> None:
    """Let a widget chat and ask the server meanwhile, from its first message on."""
    one.begins.clear()
    begin = time.monotonic() + LEAD
    await execute(one.socket, _WIDGET.format(rate=MESSAGES, seconds=BEFORE + SECONDS, begin=begin))
    await asyncio.wait_for(one.begins.wait(), 10.0)
    await asyncio.sleep(max(0.0, begin + BEFORE - time.monotonic()))
    came, before, begun = one.came, one.server.child.cpu(), time.monotonic()
    await _ask(session, one, pace, begin + BEFORE)
    seconds = time.monotonic() - begun
    one.cpu.append(100 * (one.server.child.cpu() - before) / seconds)
    one.messages.append((one.came - came) / seconds)
    await asyncio.sleep(AFTER)


async def _ask(session: aiohttp.ClientSession, one: Loaded, pace: Sequence[float], begun: float) -> None:
    """Ask so many seconds after ``begun`` (monotonic), whatever is not answered yet, and note each wait."""

    async def ask() -> float:
        sent = time.monotonic()
        headers = {"Authorization": f"token {TOKEN}"}
        async with session.get(one.server.child.url + PATH, headers=headers) as answer:
            await answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{one.server.child.url}{PATH} answers {answer.status}")
        return time.monotonic() - sent

    asking = []
    for at in pace:
        await asyncio.sleep(max(0.0, begun + at - time.monotonic()))
        asking.append(asyncio.create_task(ask()))
    one.waits.append(list(await asyncio.gather(*asking)))
    one.throughput.append(len(pace) / (time.monotonic() - begun))
