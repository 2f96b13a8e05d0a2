"""An idle server that would be culled, and ways to change one thing about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from hubcull_hub.model import (
    Clock,
    Evidence,
    Fact,
    Instant,
    Policy,
    Received,
    ServerKey,
    ServerState,
    Signal,
    Watch,
)

NOW = Instant(datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc), 100_000.0)
STARTED = NOW.utc - timedelta(hours=10)
KEY = ServerKey("alice", "")
POLICY = Policy(timeout=600)
INTERVAL = 150.0


def ago(seconds: float) -> datetime:
    """Return the time `seconds` before now."""
    return NOW.utc - timedelta(seconds=seconds)


def request(age: float, **changes: Any) -> Fact:
    """Return a cell executed `age` seconds ago."""
    signal = Fact(
        kind="kernel_request", source="kernel:a", clock=Clock.PRESENCE, age=age, label="execute_request"
    )
    return signal._replace(**changes)


def busy(going_on_for: float, **changes: Any) -> Fact:
    """Return a cell that has been running."""
    signal = Fact(kind="kernel_busy", source="kernel:a", clock=Clock.WORK, going_on_for=going_on_for)
    return signal._replace(**changes)


def worked(ended_ago: float, lasted: float) -> Fact:
    """Return a cell that has ended."""
    return Fact(kind="kernel_busy", source="kernel:a", clock=Clock.WORK, ended_ago=ended_ago, lasted=lasted)


def tab(age: float) -> Fact:
    """Return the poll of a visible tab."""
    return Fact(kind="visible_tab", source="requests", clock=Clock.PRESENCE, age=age)


def report(*signals: Signal, received_ago: float = 10.0, **changes: Any) -> Received:
    """Return a report received `received_ago` seconds ago, by default one of long idleness."""
    made = Received(
        started=STARTED,
        boot_id="boot",
        sequence=7,
        uptime=36_000.0,
        utc=ago(received_ago),
        mono=NOW.mono - received_ago,
        interval=INTERVAL,
        heard=5000.0,
        signals=signals or (request(5000.0),),
        validated=True,
    )
    return made._replace(**changes)


def state(**changes: Any) -> ServerState:
    """Return a running server, by the Hub's last_activity long idle."""
    made = ServerState(key=KEY, started=STARTED, last_activity=ago(9000), ready=True)
    return replace(made, **changes)


def watch(**changes: Any) -> Watch:
    """Return a service that has watched for long."""
    return Watch(since=0.0, heard=5000.0)._replace(**changes)


def evidence(received: Received | None = None, **changes: Any) -> Evidence:
    """Return evidence that leads to a cull by the report; `changes` are fields of Evidence."""
    made = Evidence(server=state(), watch=watch(), report=received or report(), first_heard=0.0)
    return made._replace(**changes)


def hub_only(**changes: Any) -> Evidence:
    """Return evidence of a server that never reported; by the Hub it is long idle."""
    return Evidence(server=state(), watch=watch(), report=None)._replace(**changes)
