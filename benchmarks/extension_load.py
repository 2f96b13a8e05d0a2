"""What the extension costs a server that has much going on, and one at rest in which much is open.

As in `extension_cost` three real servers run side by side, one of them with the extension. Each has 20
kernels and 10 terminals open, in all 300 processes, and rests. Then the three take turns, in which one alone
is at work: a kernel publishes 1,000 widget messages a second to a page, and the server is asked 200 times a
second. Where the servers without the extension do not get that much done, nothing is known of the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.children import children
from benchmarks.extension_cost import TOKEN, Server, Three, noise_of, start
from benchmarks.extension_turns import MESSAGES, REQUESTS, Loaded, execute_to_end, take_turns
from benchmarks.figures import Figure
from harness.calls import call

KERNELS, TERMINALS, PROCESSES = 20, 10, 300
"""Open in each server; the last counts kernels and shells, too."""
SETTLE = 45.0
"""Seconds after all is open: the kernels' own start is no rest, nor is it when the extension first meets each
process, whose environment it reads once, within 30 s."""
REST = 60.0
"""Seconds at rest: two full readings of all processes, whenever the first is."""
ENOUGH = 0.95
"""The share of these that the servers without the extension must get done."""
AIM_LATENCY, AIM_REST, AIM_BYTES = 1.0, 0.2, 4096
"""Percent; percent of a core; bytes of a report."""

Rounds = Sequence[Sequence[float]]
"""Of each round what was measured in it, in the order of its requests."""

_SLEEPERS = """
import subprocess
sleepers = [subprocess.Popen(['sleep', '100000']) for _ in range({count})]
"""


def run() -> list[Figure]:
    """Measure all of it, in about six minutes."""
    with children() as made:
        three = start(made)
        for server in three.all:
            _open(server)
        time.sleep(SETTLE)
        rest = _rest(three)
        loaded = [Loaded(server) for server in three.all]
        asyncio.run(take_turns(loaded))
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
    asyncio.run(execute_to_end(server, server.kernels[0], code))


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


def _under_load(loaded: list[Loaded]) -> list[Figure]:
    return [
        _compared("extension_load_latency", loaded, lambda one: one.waits[1:], sign=1.0),
        _compared("extension_load_throughput", loaded, lambda one: _alone(one.throughput), sign=-1.0),
        _compared("extension_load_cpu", loaded, lambda one: _alone(one.cpu), sign=None),
    ]


def _alone(values: Sequence[float]) -> Rounds:
    """Return what is one number a round as what is several, without the first, which only warms up."""
    return [[value] for value in values[1:]]


def _ratios(ones: Rounds, others: Rounds) -> list[list[float]]:
    """Return of each round how each value compares with the other server's at the same time of its turn."""
    return [[a / b for a, b in zip(one, other, strict=True)] for one, other in zip(ones, others, strict=True)]


def _compared(name: str, loaded: list[Loaded], of: Callable[[Loaded], Rounds], sign: float | None) -> Figure:
    """Compare round by round; ``sign``: whether more or less is worse, None where there is no aim.

    With each of the two without, and not with their mean: only of two that are the same is as often the one
    as the other ahead, whatever times are like.
    """
    extended, plain, twin = (of(one) for one in loaded)
    both = zip(_ratios(extended, plain), _ratios(extended, twin), strict=True)
    ratios = [median(one + other) for one, other in both]
    control = [median(one) for one in _ratios(twin, plain)]
    ratio, noise = median(ratios), noise_of(control)
    worse = None if sign is None else 100 * sign * (ratio - 1)
    why = _not_known(loaded) or _hidden(worse, 100 * noise)
    return Figure(
        name=name,
        figure=ratio,
        unit="times",
        ratio_to="without extension",
        aim=None if worse is None else f"within {AIM_LATENCY:g} %",
        met=None if worse is None or why else worse <= AIM_LATENCY,
        details={
            "noise": noise,
            "twin_ratio": median(control),
            "without": median(chain(*plain)),
            "with": median(chain(*extended)),
            "messages_per_s": [round(median(one.messages[1:])) for one in loaded],
            "answers_per_s": [round(median(one.throughput[1:])) for one in loaded],
            "rounds": len(ratios),
            **({"not_known": why} if why else {}),
        },
    )


def _hidden(worse: float | None, noise: float) -> str | None:
    """Return why it can not be told whether the aim is met, if so; in percent."""
    if worse is None or abs(worse - AIM_LATENCY) > noise:
        return None
    return f"{worse:.1f} % worse, and the noise is {noise:.1f} %"


def _not_known(loaded: list[Loaded]) -> str | None:
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
