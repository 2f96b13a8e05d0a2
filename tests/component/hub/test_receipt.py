"""What is kept of a report decides as the report itself would, and is stored as it always was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubcull_hub.database import Database
from hubcull_hub.model import Action, Fact, Instant, Policy, Reason, Received, ServerKey
from hubcull_hub.packing import Packed
from hubcull_hub.policy import decide
from hubcull_hub.reading import Report, pack, read_report
from hubcull_hub.receipt import STRONG_SOURCES, receive
from hubcull_hub.rows import evidence_row
from hubcull_hub.standing import standing
from tests.unit.hub.builders import INTERVAL, KEY, NOW, POLICY, STARTED, evidence, state, watch

seconds = st.one_of(st.floats(0, 20_000), st.sampled_from([0.0, 300.0, 600.0, 3600.0]))
times = st.one_of(
    st.fixed_dictionaries({"age": seconds}),
    st.fixed_dictionaries({"going_on_for": seconds}),
    st.fixed_dictionaries({"ended_ago": seconds}, optional={"lasted": seconds}),
)
signals = st.builds(
    lambda said, time: {**said, **time},
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["kernel_request", "kernel_busy", "visible_tab"]),
            "source": st.sampled_from(["kernel:a", "kernel:b", "requests"]),
            "clock": st.sampled_from(["presence", "work", "none"]),
        },
        optional={
            "strength": st.sampled_from(["strong", "weak"]),
            "label": st.sampled_from(["cell", 'a "cell"', "Zelle für Zoë"]),
            "actor": st.just("zoë"),
            "count": st.integers(0, 2**53),
        },
    ),
    times,
)
reports = st.fixed_dictionaries(
    {
        "schema": st.just(1),
        "boot_id": st.sampled_from(["one", "two"]),
        "sequence": st.integers(0, 5),
        "uptime": seconds,
        "server": st.just("alice/"),
        "sources": st.lists(
            st.sampled_from(STRONG_SOURCES).map(lambda name: {"name": name, "health": "ok"}), max_size=2
        ).map(lambda some: some if len(some) < 2 else [{"name": n, "health": "ok"} for n in STRONG_SOURCES]),
        "signals": st.lists(signals, max_size=8),
    }
)
policies = st.builds(
    Policy,
    timeout=st.sampled_from([60.0, 600.0]),
    max_busy=st.sampled_from([0.0, 1000.0]),
    visible_tab_grace=st.sampled_from([0.0, 900.0]),
)


def read(report: dict[str, Any]) -> Report:
    """Read a report as it comes in; a name that is not ASCII takes the close reading."""
    return read_report(json.dumps(report, ensure_ascii=False).encode())


def take(report: Report, previous: Received | None, now: Instant, policy: Policy = POLICY) -> Received:
    """Return what is kept of a report."""
    return receive(
        report, STARTED, previous, now, policy=policy, interval=INTERVAL, heard=5000.0, validated=True
    )


def unpacked(received: Received, report: Report) -> Received:
    """Return the same with the signals as they were read, and nothing found of them yet."""
    return received._replace(signals=report.signals, standing=None)


@settings(deadline=None, max_examples=300)
@given(st.lists(reports, min_size=1, max_size=3), policies, st.floats(0, 500))
def test_what_was_found_at_receipt_decides_as_what_is_found_later(
    come_in: list[dict[str, Any]], policy: Policy, since: float
) -> None:
    """Report after report, of one run and the next, with and without faults; under another policy too."""
    kept: Received | None = None
    plain: Received | None = None
    for number, report in enumerate(map(read, come_in)):
        at = NOW.plus(100.0 * number)
        kept = take(report, kept, at, policy)
        plain = unpacked(take(report, plain, at, policy), report)
        assert kept.standing is not None
        assert standing(kept, policy) is kept.standing
        assert standing(plain, policy) == kept.standing
        assert tuple(map(Fact.of, kept.carried)) == tuple(map(Fact.of, plain.carried))
        later = at.plus(since)
        for asked in (policy, POLICY, Policy(timeout=30.0, max_busy=10.0)):
            verdicts = [decide(evidence(r, watch=watch(heard=5000.0)), asked, later) for r in (kept, plain)]
            assert verdicts[0] == verdicts[1]
            assert verdicts[0].rule == asked.rule


def test_another_policy_is_not_answered_with_what_was_found_under_this_one() -> None:
    """An act of 400 s ago keeps the server by a timeout of 600 s, and not by one of 300 s."""
    signal = {"kind": "kernel_request", "source": "kernel:a", "clock": "presence", "age": 400.0}
    sources = [{"name": name, "health": "ok"} for name in STRONG_SOURCES]
    said = {"schema": 1, "boot_id": "b", "sequence": 1, "uptime": 9000.0, "server": "alice/"}
    received = take(read({**said, "sources": sources, "signals": [signal]}), None, NOW)
    assert received.standing is not None
    found = evidence(received, server=state())
    kept, culled = (decide(found, policy, NOW.plus(1.0)) for policy in (POLICY, Policy(timeout=300.0)))
    assert (kept.action, kept.reason) == (Action.KEEP, Reason.ACTIVE)
    assert (culled.action, culled.reason) == (Action.CULL, Reason.IDLE)


@settings(deadline=None)
@given(reports)
def test_packed_signals_are_the_signals(report: dict[str, Any]) -> None:
    """Whichever way they are looked at."""
    found = read(report)
    packed = pack(found.signals)
    assert tuple(packed) == found.signals
    assert len(packed) == len(found.signals)
    assert packed[:2] == found.signals[:2]
    assert [packed[place] for place in range(len(packed))] == list(found.signals)
    assert packed == pack(found.signals)
    assert (packed == pack(found.signals[1:])) is (not found.signals)


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """Open a database in memory."""
    with closing(Database.open("sqlite://")) as opened:
        yield opened


@settings(deadline=None)
@given(report=reports)
def test_packed_signals_are_stored_as_signals_are(report: dict[str, Any], database: Database) -> None:
    """In the very words of one that was never packed, which every version reads; and they come back."""
    found = read(report)
    received = take(found, None, NOW)
    assert isinstance(received.signals, Packed)
    assert evidence_row((KEY, received)) == evidence_row((KEY, unpacked(received, found)))
    database.write_evidence([(KEY, received)])
    ((key, loaded),) = database.load_evidence()
    assert key == ServerKey("alice", "")
    assert loaded.signals == tuple(map(Fact.of, found.signals))
    assert loaded.standing is None
    assert standing(loaded, POLICY) == received.standing


def test_nothing_is_kept_of_a_report_but_what_we_know() -> None:
    """Whatever else a sender puts there, and as often as it likes."""
    signal = {"kind": "k", "source": "s", "clock": "presence", "age": 1, "mood": "x" * 9000, "label": None}
    said = {"schema": 1, "boot_id": "b", "sequence": 1, "uptime": 1.0, "server": "alice/", "sources": []}
    received = take(read({**said, "signals": [signal]}), None, NOW)
    assert isinstance(received.signals, Packed)
    assert received.signals.json == b'[{"kind":"k","source":"s","clock":"presence","age":1.0}]'
    assert [s.age for s in received.signals] == [1.0]
