"""What the extension costs a server that has much going on, and one at rest in which much is open.

As in `extension_cost` three real servers run side by side, one of them with the extension. Each has 20
kernels and 10 terminals open, in all 300 processes, and rests. Then the three take turns, in which one alone
is at work: a kernel publishes 1,000 widget messages a second to a page, and the server is asked 200 times a
second. Where the servers without the extension do not get that much done, nothing is known of the other.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from benchmarks.children import children
from benchmarks.extension_cost import PATH, TOKEN, Server, Three, noise_of, start
from benchmarks.figures import Figure
from harness.calls import call

KERNELS, TERMINALS, PROCESSES = 20, 10, 300
"""Open in each server; the last counts kernels and shells, too."""
SETTLE = 45.0
"""Seconds after all is open: the kernels' own start is no rest, nor is it when the extension first meets each
process, whose environment it reads once, within 30 s."""
REST = 60.0
"""Seconds at rest: two full readings of all processes, whenever the first is."""
ROUNDS, SECONDS, BEFORE, AFTER = 50, 0.5, 0.1, 0.05
"""Rounds of load, the seconds of each server's turn, and those before and after it; the first only warms up.

What disturbs a machine lasts for seconds: short turns that follow each other are met by it alike.
"""
PACE = 20_000
"""What the times of requests are made from; in a round they are the same for all three."""
REQUESTS, MESSAGES = 200, 1000
"""A second, in each server."""
ENOUGH = 0.95
"""The share of these that the servers without the extension must get done."""
AIM_LATENCY, AIM_REST, AIM_BYTES = 1.0, 0.2, 4096
"""Percent above noise; percent of a core; bytes of a report."""

_SLEEPERS = """
import subprocess
sleepers = [subprocess.Popen(['sleep', '100000']) for _ in range({count})]
"""
_WIDGET = """
import asyncio, time
from ipykernel.comm import Comm
async def chat(comm):
    begun, sent = time.monotonic(), 0
    while (spent := time.monotonic() - begun) < {seconds} + {before}:
        for sent in range(sent + 1, int(spent * {rate}) + 1):
            comm.send({{'method': 'update', 'state': {{'value': sent}}}})
        await asyncio.sleep(0.01)
chatter = asyncio.get_running_loop().create_task(chat(Comm(target_name='jupyter.widget')))
"""


@dataclass
class _Loaded:
    """One server under load: of each round the median wait (s), answers and messages a second, CPU (%)."""

    server: Server
    socket: aiohttp.ClientWebSocketResponse = field(init=False)
    latency: list[float] = field(default_factory=list)
    throughput: list[float] = field(default_factory=list)
    messages: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    came: int = 0
    """Messages of the widget that have come to the page."""

    async def read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Count what comes to the page, until cancelled."""
        async for message in socket:
            self.came += message.type is aiohttp.WSMsgType.TEXT and '"comm_msg"' in message.data


def run() -> list[Figure]:
    """Measure all of it, in about four and a half minutes."""
    with children() as made:
        three = start(made)
        for server in three.all:
            _open(server)
        time.sleep(SETTLE)
        rest = _rest(three)
        loaded = [_Loaded(server) for server in three.all]
        asyncio.run(_load(loaded))
        sizes = three.sizes()
        return [rest, *_under_load(loaded), _report(sizes)]


def _must(server: Server, method: str, path: str, body: object = None) -> Any:
    answer = call(method, f"{server.child.url}/api/{path}", token=TOKEN, body=body, timeout=120)
    if not answer.ok:
        raise RuntimeError(f"{server.child.url}/api/{path} answers {answer.status}")
    return answer.json()


def _open(server: Server) -> None:
    """Open the kernels and terminals, and let the first kernel start what else there is."""
    server.kernels = [_must(server, "POST", "kernels", {})["id"] for _ in range(KERNELS)]
    for _ in range(TERMINALS):
        _must(server, "POST", "terminals", {})
    code = _SLEEPERS.format(count=PROCESSES - KERNELS - TERMINALS)
    asyncio.run(_execute(server, server.kernels[0], code))


async def _execute(server: Server, kernel: str, code: str) -> None:
    """Run a cell to its end."""
    async with aiohttp.ClientSession() as session, _socket(session, server, kernel) as socket:
        await _send(socket, code)
        async for message in socket:
            found = json.loads(message.data) if message.type is aiohttp.WSMsgType.TEXT else {}
            if found.get("msg_type") == "execute_reply":
                if found["content"]["status"] != "ok":
                    raise RuntimeError(f"a cell failed: {found['content']}")
                return


def _socket(session: aiohttp.ClientSession, server: Server, kernel: str) -> Any:
    url = f"{server.child.url}/api/kernels/{kernel}/channels"
    return session.ws_connect(url, headers={"Authorization": f"token {TOKEN}"}, max_msg_size=0, compress=0)


async def _send(socket: aiohttp.ClientWebSocketResponse, code: str) -> None:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": uuid.uuid4().hex}
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
    message = {"header": {**header, "username": "", "version": "5.3"}, "parent_header": {}, "metadata": {}}
    await socket.send_json({**message, "content": content, "channel": "shell", "buffers": []})


def _rest(three: Three) -> Figure:
    """Let all three rest through the same seconds with all of it open."""
    before = [server.child.cpu() for server in three.all]
    begun, reports = time.monotonic(), sum(three.reports().values())
    time.sleep(REST)
    seconds = time.monotonic() - begun
    spent = [100 * (s.child.cpu() - b) / seconds for s, b in zip(three.all, before, strict=True)]
    share = spent[0] - (spent[1] + spent[2]) / 2
    return Figure(
        name="extension_load_rest",
        figure=share,
        unit="% of a core",
        ratio_to="added to one without",
        aim=f"< {AIM_REST:g} %",
        met=share < AIM_REST,
        details={
            "noise": abs(spent[1] - spent[2]),
            "without_percent": spent[1],
            "kernels": KERNELS,
            "terminals": TERMINALS,
            "processes": PROCESSES,
            "processes_of_the_machine": sum(path.name.isdigit() for path in Path("/proc").iterdir()),
            "seconds": seconds,
            "reports_meanwhile": sum(three.reports().values()) - reports,
        },
    )


async def _load(loaded: list[_Loaded]) -> None:
    """Let each server have its turn under load, round by round, in another order each time."""
    paces = random.Random(PACE)  # noqa: S311 - no secret
    async with aiohttp.ClientSession() as session, AsyncExitStack() as stack:
        for one in loaded:
            socket = await stack.enter_async_context(_socket(session, one.server, one.server.kernels[1]))
            stack.push_async_callback(_end, asyncio.create_task(one.read(socket)))
            one.socket = socket
        for number in range(ROUNDS):
            # Requests at equal distances would meet a widget's bursts always, or never, for a whole turn.
            pace = [(place + paces.random()) / REQUESTS for place in range(int(REQUESTS * SECONDS))]
            for place in range(len(loaded)):
                await _turn(session, loaded[(number + place) % len(loaded)], pace)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _turn(session: aiohttp.ClientSession, one: _Loaded, pace: Sequence[float]) -> None:
    """Let a widget chat and ask the server meanwhile."""
    await _send(one.socket, _WIDGET.format(rate=MESSAGES, seconds=SECONDS, before=BEFORE))
    await asyncio.sleep(BEFORE)
    came, before, begun = one.came, one.server.child.cpu(), time.monotonic()
    await _ask(session, one, pace)
    seconds = time.monotonic() - begun
    one.cpu.append(100 * (one.server.child.cpu() - before) / seconds)
    one.messages.append((one.came - came) / seconds)
    await asyncio.sleep(AFTER)


async def _ask(session: aiohttp.ClientSession, one: _Loaded, pace: Sequence[float]) -> None:
    """Ask at these times (s), whether or not earlier answers are there, and note how long they took."""
    waits: list[float] = []
    begun = time.perf_counter()

    async def ask() -> None:
        sent = time.perf_counter()
        headers = {"Authorization": f"token {TOKEN}"}
        async with session.get(one.server.child.url + PATH, headers=headers) as answer:
            await answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{one.server.child.url}{PATH} answers {answer.status}")
        waits.append(time.perf_counter() - sent)

    asking = []
    for at in pace:
        await asyncio.sleep(max(0.0, begun + at - time.perf_counter()))
        asking.append(asyncio.create_task(ask()))
    await asyncio.gather(*asking)
    one.latency.append(median(waits))
    one.throughput.append(len(pace) / (time.perf_counter() - begun))


def _under_load(loaded: list[_Loaded]) -> list[Figure]:
    return [
        _compared("extension_load_latency", loaded, lambda one: one.latency[1:], sign=1.0),
        _compared("extension_load_throughput", loaded, lambda one: one.throughput[1:], sign=-1.0),
        _compared("extension_load_cpu", loaded, lambda one: one.cpu[1:], sign=None),
    ]


def _compared(
    name: str, loaded: list[_Loaded], of: Callable[[_Loaded], list[float]], sign: float | None
) -> Figure:
    """Compare round by round; ``sign``: whether more or less is worse, None where there is no aim."""
    extended, plain, twin = (of(one) for one in loaded)
    # Against the mean of the two without: both halves of what can be known of a server without.
    ratios = [e / ((p + t) / 2) for e, p, t in zip(extended, plain, twin, strict=True)]
    control = [t / p for p, t in zip(plain, twin, strict=True)]
    ratio, noise = median(ratios), noise_of(control)
    worse = None if sign is None else 100 * sign * (ratio - 1)
    why = _not_known(loaded)
    return Figure(
        name=name,
        figure=ratio,
        unit="times",
        ratio_to="without extension",
        aim=None if worse is None else f"within {AIM_LATENCY:g} %, and noise",
        met=None if worse is None or why else worse <= AIM_LATENCY + 100 * noise,
        details={
            "noise": noise,
            "without": median(plain),
            "with": median(extended),
            "messages_per_s": [round(median(one.messages[1:])) for one in loaded],
            "answers_per_s": [round(median(one.throughput[1:])) for one in loaded],
            "rounds": len(ratios),
            **({"not_known": why} if why else {}),
        },
    )


def _not_known(loaded: list[_Loaded]) -> str | None:
    """Return why nothing can be told, if so: the servers without the extension did not get the load done."""
    for what, wanted, done in (
        ("messages", MESSAGES, [median(one.messages[1:]) for one in loaded[1:]]),
        ("requests", REQUESTS, [median(one.throughput[1:]) for one in loaded[1:]]),
    ):
        if min(done) < ENOUGH * wanted:
            return f"without the extension {min(done):.0f} of {wanted} {what} a second came through"
    return None


def _report(sizes: dict[str, int]) -> Figure:
    largest = sizes["alice/"]
    return Figure(
        name="extension_load_report",
        figure=float(largest),
        unit="bytes",
        ratio_to="the largest report",
        aim=f"< {AIM_BYTES} bytes",
        met=largest < AIM_BYTES,
    )
