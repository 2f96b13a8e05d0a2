"""Made-up servers: what their reports hold, and a mixed Hub full of them."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Any

from hubcull_hub.model import Evidence, Instant, Policy, Received, ServerKey, ServerState, Watch
from hubcull_hub.reading import read_report
from hubcull_hub.receipt import receive
from hubcull_server_ext import wire

NOW = Instant(datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc), 1_000_000.0)
STARTED = NOW.utc - timedelta(hours=10)
HEARD = 500_000.0
INTERVAL = 150.0

_ABOUT = wire.About(
    hubcull="0.1.0",
    jupyter_server="2.21.1",
    python="3.11.7",
    image="registry.example/singleuser/lab:2026-05",
    mem_limit=2**32,
    mem_guarantee=2**30,
    cpu_limit=2.0,
    cpu_guarantee=0.5,
    gpus=0,
)
_SOURCES = tuple(
    wire.Source(name, wire.Health.OK) for name in ("kernels", "terminals", "requests", "foreign")
)


def user_name(number: int) -> str:
    """Return the name of a user."""
    return f"user{number:05d}"


def token_of(number: int) -> str:
    """Return the token of that user's default server, as long as JupyterHub's."""
    return f"token-of-{number:05d}".ljust(32, "0")


def typical_report(number: int) -> wire.Report:
    """Return the report of a server in use, about 2 kB: a notebook, a terminal and a visible tab."""
    presence, work, none = wire.Clock.PRESENCE, wire.Clock.WORK, wire.Clock.NONE
    kernel = f"kernel:{number:08x}"
    return wire.Report(
        boot_id=f"{number:032x}",
        sequence=0,
        uptime=30_000.125,
        server=f"{user_name(number)}/",
        sources=_SOURCES,
        signals=(
            wire.Signal("kernel_request", kernel, presence, age=40.25, label="execute_request"),
            wire.Signal("kernel_busy", kernel, work, ended_ago=38.5, lasted=1.75, label="execute_request"),
            wire.Signal("kernel_connections", kernel, none, count=1),
            wire.Signal("terminal_input", "terminal:1", presence, age=3600.5),
            wire.Signal("terminal_output", "terminal:1", none, age=12.125),
            wire.Signal("api_request", "requests", presence, age=75.0, label="ContentsHandler PUT"),
            wire.Signal(
                "visible_tab",
                "requests",
                presence,
                wire.Strength.WEAK,
                age=2.5,
                label="SessionRootHandler",
                actor=user_name(number),
            ),
        ),
        about=_ABOUT,
    )


def report_json(number: int) -> dict[str, Any]:
    """Return `typical_report` as the JSON object that is sent."""
    return wire.to_json(typical_report(number))


def received(policy: Policy, age: float, *signals: wire.Signal) -> Received:
    """Return what the service keeps of a report that came in ``age`` seconds ago: from bytes, as there."""
    report = wire.Report("boot", 7, 30_000.0, "somebody/", _SOURCES, signals, _ABOUT)
    return receive(
        read_report(wire.to_bytes(report)),
        STARTED,
        None,
        NOW.plus(-age),
        policy=policy,
        interval=INTERVAL,
        heard=HEARD - age,
        validated=True,
    )


def _signals(last_act: float) -> tuple[wire.Signal, ...]:
    """Return seven signals, like those of `typical_report`; the newest presence is ``last_act`` s old."""
    return (
        wire.Signal("kernel_request", "kernel:a", wire.Clock.PRESENCE, age=last_act, label="execute_request"),
        wire.Signal(
            "kernel_busy", "kernel:a", wire.Clock.WORK, ended_ago=last_act + 5, lasted=12.0, label="cell"
        ),
        wire.Signal("kernel_connections", "kernel:a", wire.Clock.NONE, count=1),
        wire.Signal("terminal_input", "terminal:1", wire.Clock.PRESENCE, age=last_act + 600),
        wire.Signal("terminal_output", "terminal:1", wire.Clock.NONE, age=2.0),
        wire.Signal(
            "api_request", "requests", wire.Clock.PRESENCE, age=last_act + 60, label="ContentsHandler PUT"
        ),
        wire.Signal("visible_tab", "requests", wire.Clock.PRESENCE, age=last_act),
    )


def mixed_hub(count: int, policy: Policy) -> list[Evidence]:
    """Return the evidence on ``count`` servers: 55 % in use, 20 % at work in silence, 10 % idle.

    Another 10 % have no extension, and 5 % stopped reporting. It is what a service with this ``policy`` would
    hold, and the same at every call.
    """
    dice = random.Random(20261121)  # noqa: S311 - a fixed mixture, no secret
    return [_one(number, policy, dice) for number in range(count)]


def _one(number: int, policy: Policy, dice: random.Random) -> Evidence:
    kind, age = dice.random(), dice.uniform(0.0, INTERVAL)
    server = ServerState(
        key=ServerKey(user_name(number), ""),
        started=STARTED,
        last_activity=NOW.utc - timedelta(seconds=dice.uniform(0.0, 3000.0)),
        ready=True,
    )
    evidence = Evidence(server=server, watch=Watch(since=0.0, heard=HEARD))
    if kind < 0.55:
        return evidence._replace(report=received(policy, age, *_signals(dice.uniform(1.0, 500.0))))
    if kind < 0.75:
        cell = wire.Signal(
            "kernel_busy", "kernel:a", wire.Clock.WORK, going_on_for=dice.uniform(1.0, 50_000.0)
        )
        return evidence._replace(report=received(policy, age, cell, *_signals(5000.0)))
    if kind < 0.85:
        return evidence._replace(report=received(policy, age, *_signals(dice.uniform(5000.0, 9000.0))))
    if kind < 0.95:
        return evidence
    return evidence._replace(report=received(policy, dice.uniform(1000.0, 5000.0), *_signals(2000.0)))
