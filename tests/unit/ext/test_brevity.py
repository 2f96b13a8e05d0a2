"""Laws of short reports: the decision stays what it was, what keeps a server alive is named, and the size."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hubcull_hub.model import Policy
from hubcull_hub.reading import read_report
from hubcull_hub.standing import carry, standing, still_at_work
from hubcull_server_ext import wire
from hubcull_server_ext.brevity import LIMIT, brief
from tests.unit.hub.builders import report as received

KERNELS, TERMINALS = 20, 10
SOURCES = ("kernels", "terminals", "requests", "apps", "collaboration", "background", "keepalive", "plugins")
PRESENCE, WORK, NONE = wire.Clock.PRESENCE, wire.Clock.WORK, wire.Clock.NONE
NAME = "1bfff6965bde470bb149797cf4a34bfa"


def made(signals: list[wire.Signal]) -> wire.Report:
    """Return a report with these signals, of a server with all limits set."""
    about = wire.About(
        "0.1.0", "2.21.1", "3.11.7", "registry.example/group/lab:2026.11", 2**33, 2**32, 4.0, 0.5, 1
    )
    weak = [
        wire.Source(name, wire.Health.OK, strength=wire.Strength.WEAK) for name in ("background", "interplay")
    ]
    sources = (*(wire.Source(name, wire.Health.OK) for name in (*SOURCES, "adapters", "foreign")), *weak)
    return wire.Report(
        "5f0c3c0a9d1e4b7f8a6b2c3d4e5f6a7b",
        123456,
        1234567.891,
        "someone@example/gpu",
        sources,
        tuple(signals),
        about,
    )


def kernel(number: int, *, busy: bool) -> list[wire.Signal]:
    """Return what a kernel says in which cells and widgets ran, for as long as it happens."""
    source, ago = f"kernel:{number:08x}", 1000.127 + 60 * number
    times: dict[str, Any] = (
        {"going_on_for": ago} if busy else {"ended_ago": ago, "lasted": 7919.125 * (number + 3) % 600}
    )
    return [
        wire.Signal(wire.Kind.KERNEL_BUSY, source, WORK, **times),
        wire.Signal(wire.Kind.KERNEL_REQUEST, source, PRESENCE, age=ago, label="execute_request"),
        wire.Signal(wire.Kind.KERNEL_COMM, source, PRESENCE, age=ago + 1, label="comm_msg"),
        wire.Signal(wire.Kind.KERNEL_CONNECTIONS, source, NONE, count=number % 3),
    ]


def terminal(number: int, *, busy: bool) -> list[wire.Signal]:
    """Return what a terminal says in which somebody typed and a program ran."""
    source, ago = f"terminal:{number}", 10_000.129 + 60 * number
    times: dict[str, Any] = (
        {"going_on_for": ago} if busy else {"ended_ago": ago, "lasted": 7919.125 * (number + 5) % 600}
    )
    return [
        wire.Signal(wire.Kind.TERMINAL_INPUT, source, PRESENCE, age=ago),
        wire.Signal(wire.Kind.TERMINAL_OUTPUT, source, NONE, age=ago),
        wire.Signal(wire.Kind.TERMINAL_JOB, source, WORK, label="python", **times),
    ]


def requests() -> list[wire.Signal]:
    """Return what pages and people ask of a server, as many of each as a report ever carries."""
    labels = {wire.Kind.API_REQUEST: 10, wire.Kind.API_READ: 5, wire.Kind.FOREIGN: 20}
    found = [
        wire.Signal(
            kind, "requests", PRESENCE, age=100.5 + number, label=f"SomeHandlerOf{number} GET", actor=NAME
        )
        for kind, most in labels.items()
        for number in range(most)
    ]
    tab = wire.Signal(
        wire.Kind.VISIBLE_TAB, "requests", PRESENCE, wire.Strength.WEAK, age=3.125, label="SessionHandler"
    )
    return [*found, tab, wire.Signal(wire.Kind.BROWSERS, "websockets", NONE, age=2.0, count=3)]


def population(busy: bool) -> list[wire.Signal]:
    """Return the signals of 20 kernels and 10 terminals, all idle or all at work."""
    kernels = [signal for number in range(KERNELS) for signal in kernel(number, busy=busy)]
    terminals = [signal for number in range(TERMINALS) for signal in terminal(number, busy=busy)]
    return [*kernels, *terminals, *requests()]


@pytest.mark.parametrize("busy", [True, False])
def test_twenty_kernels_and_ten_terminals_take_less_than_4096_bytes(busy: bool) -> None:
    """At work all at once, which is all named, or idle after runs of all lengths."""
    full = made(population(busy))
    short = brief(full)
    assert len(wire.to_bytes(full)) > 2 * LIMIT  # or it would not be a test
    assert len(wire.to_bytes(short)) < LIMIT
    going_on = [signal for signal in full.signals if signal.going_on_for is not None]
    assert len(going_on) == (KERNELS + TERMINALS if busy else 0)
    assert set(going_on) <= set(short.signals)


def test_what_has_room_is_named_and_the_others_are_counted() -> None:
    """One of each kind, and how many are not; nothing is lost without a trace, or without need."""
    full = made(population(busy=False))
    *named, told = brief(full).signals
    others = [signal for signal in full.signals if signal not in named]
    assert set(named) < set(full.signals)
    assert {signal.kind for signal in named} == {signal.kind for signal in full.signals}
    assert (told.kind, told.clock, told.count) == (wire.Kind.OTHERS, NONE, len(others))
    sorts = Counter(signal.source.partition(":")[0] for signal in others)
    assert told.label == ", ".join(f"{number} {sort}" for sort, number in sorts.most_common())
    assert LIMIT - len(wire.to_bytes(brief(full))) < 200


def test_the_number_of_the_others_is_never_too_long_itself() -> None:
    """However many sorts there are, and however they are called."""
    sorts = [wire.Signal("k", f"{place}{'x' * 150}", PRESENCE, age=5.0 + place) for place in range(100)]
    *_, told = brief(made(sorts)).signals
    assert told.kind == wire.Kind.OTHERS
    assert len(told.label or "") < 200


def test_a_report_of_few_signals_names_them_all() -> None:
    """Two kernels and a terminal are not a crowd."""
    full = made([*kernel(1, busy=True), *kernel(2, busy=False), *terminal(1, busy=False)])
    assert brief(full) is full


def test_all_the_work_of_a_crowd_is_named() -> None:
    """The size gives way, not the work."""
    crowd = [replace(kernel(number, busy=True)[0]) for number in range(200)]
    short = brief(made([*crowd, *requests()]))
    assert set(crowd) <= set(short.signals)
    assert len(wire.to_bytes(short)) > LIMIT


seconds = st.one_of(st.sampled_from([0.0, 1.0, 2.0, 3.0]), st.floats(0, 1000).map(lambda s: round(s, 3)))
times = st.one_of(
    st.builds(lambda s: {"age": s}, seconds),
    st.builds(lambda s: {"going_on_for": s}, seconds),
    st.builds(lambda s, lasted: {"ended_ago": s, "lasted": lasted}, seconds, seconds),
    st.builds(lambda s: {"ended_ago": s}, seconds),
)
any_signals = st.builds(
    lambda kind, clock, strength, time, number: wire.Signal(
        kind, "kernel:0", clock, strength, count=number, **time
    ),
    st.sampled_from([wire.Kind.KERNEL_BUSY, wire.Kind.API_REQUEST, "brain_waves"]),
    st.sampled_from(list(wire.Clock)),
    st.sampled_from(list(wire.Strength)),
    times,
    st.sampled_from([None, 0, 7]),
)
tabs = st.builds(
    lambda age: wire.Signal(wire.Kind.VISIBLE_TAB, "requests", PRESENCE, age=age, label="Handler"), seconds
)
policies = st.builds(
    lambda timeout, busy, grace: Policy(timeout=timeout, max_busy=busy, visible_tab_grace=grace),
    st.floats(1, 500),
    st.sampled_from([0.0, 0.5, 2.5, 100.0]),
    st.sampled_from([0.0, 2.0, 600.0]),
)


def cell(**time: Any) -> wire.Signal:
    """Return what a kernel did."""
    return wire.Signal(wire.Kind.KERNEL_BUSY, "kernel:0", wire.Clock.WORK, **time)


@settings(deadline=None, max_examples=500)
@example(
    [cell(ended_ago=0.0, lasted=1.0), cell(age=0.0), cell(ended_ago=0.0, lasted=0.0)],
    Policy(timeout=1.0, max_busy=0.0, visible_tab_grace=0.0),
    0,
    0.0,
    0.0,
)
@given(st.lists(any_signals | tabs, max_size=25), policies, st.sampled_from([0, 300, 1200]), seconds, seconds)
def test_no_policy_decides_otherwise(
    signals: list[wire.Signal], policy: Policy, limit: int, uptime: float, elapsed: float
) -> None:
    """Whatever was seen, and however short it has to be: idle, its end, what is carried on are the same."""
    full = made([replace(signal, source=f"kernel:{place}") for place, signal in enumerate(signals)])
    short = brief(full, limit)
    read = [read_report(wire.to_bytes(report)).signals for report in (full, short)]
    before, after = (received(uptime=uptime)._replace(signals=found) for found in read)
    one, other = standing(before, policy), standing(after, policy)
    assert (one.ends, one.idle, one.reason) == (other.ends, other.idle, other.reason)
    assert other.source == "started" or other.source in {signal.source for signal in short.signals}
    assert len(still_at_work(before, elapsed)) == len(still_at_work(after, elapsed))
    carried = [before._replace(signals=(), carried=carry(r, uptime, elapsed)) for r in (before, after)]
    one, other = (standing(r, policy) for r in carried)
    assert (one.ends, one.idle, one.reason) == (other.ends, other.idle, other.reason)


def test_a_short_report_is_read_as_any_other() -> None:
    """By the close reading and by the fast one, with nothing guessed but what is always taken for granted."""
    short = brief(made(population(busy=False)))
    raw = wire.to_bytes(short)
    assert b'"strong"' not in raw
    assert wire.report_from_json(json.loads(raw)) == short
    assert len(read_report(raw).signals) == len(short.signals)
