"""Laws of what survives when only the server's process begins anew."""

from __future__ import annotations

from hubcull_hub.standing import age_carried, carry, standing
from tests.unit.hub.builders import POLICY, busy, report, request, worked


def test_what_was_seen_before_goes_on_ageing() -> None:
    """A keystroke 20 s before the old run's last report is 80 s old a minute later."""
    (kept,) = carry(report(request(20)), uptime=5.0, elapsed=60.0)
    assert kept.age == 80.0


def test_work_under_way_ended_when_the_new_process_began() -> None:
    """The idle clock starts there, and the run keeps the length that was seen."""
    (kept,) = carry(report(busy(100)), uptime=5.0, elapsed=60.0)
    assert (kept.going_on_for, kept.ended_ago, kept.lasted) == (None, 5.0, 155.0)


def test_an_uptime_longer_than_the_silence_is_not_believed() -> None:
    """The old run reported `elapsed` seconds ago, so its work had not ended before that."""
    (kept,) = carry(report(busy(100)), uptime=5000.0, elapsed=60.0)
    assert kept.ended_ago == 60.0


def test_restarts_in_a_row_do_not_pile_up() -> None:
    """Only the newest of each kind is carried on."""
    earlier = report(request(20), request(10), worked(30, 5))
    carried = carry(earlier, uptime=1.0, elapsed=10.0)
    assert sorted((s.kind, s.age or s.ended_ago) for s in carried) == [
        ("kernel_busy", 40.0),
        ("kernel_request", 20.0),
    ]
    again = carry(report(request(500), carried=carried), uptime=1.0, elapsed=10.0)
    assert [s.age for s in again if s.kind == "kernel_request"] == [30.0]


def test_carried_signals_count_in_the_next_reports() -> None:
    """They protect like the report's own, and age with each report of the same run."""
    new = report(request(4000), carried=carry(report(request(20)), uptime=1.0, elapsed=10.0))
    assert standing(new, POLICY).idle == 30.0
    assert [s.age for s in age_carried(new, 15.0)] == [45.0]
