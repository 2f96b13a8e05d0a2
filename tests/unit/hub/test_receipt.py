"""Laws of what a report says of its sources: doubt is a strong one's alone, the rest is shown."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from hubcull_hub.model import Instant, Policy, Received, SourceFault, SourceRemark
from hubcull_hub.reading import read_report
from hubcull_hub.receipt import STRONG_SOURCES, receive
from hubcull_server_ext import wire
from hubcull_server_ext.wire import Health, Source, Strength

NOW = Instant(datetime(2026, 1, 1, tzinfo=timezone.utc), 500.0)
WELL = tuple(Source(name, Health.OK) for name in STRONG_SOURCES)


def received(*sources: Source) -> Received:
    """Return what is kept of a report with these sources, the way that it travels."""
    raw = wire.to_bytes(wire.Report("b1", 1, 100.0, "alice/", sources, ()))
    return receive(
        read_report(raw),
        NOW.utc - timedelta(seconds=110),
        None,
        NOW,
        policy=Policy(),
        interval=60.0,
        heard=0.0,
        validated=False,
    )


@pytest.mark.parametrize(
    ("source", "remarks"),
    [
        (Source("gpus", Health.OK), ()),
        (Source("gpus", Health.OK, ""), ()),
        (Source("gpus", Health.OK, "device 1 left out"), (SourceRemark("gpus", detail="device 1 left out"),)),
        (Source("gpus", Health.OFF), (SourceRemark("gpus", off=True),)),
        (Source("gpus", Health.UNAVAILABLE, "no NVIDIA GPU here"), ()),
    ],
)
def test_what_is_off_or_remarked_is_kept_and_puts_nothing_in_doubt(
    source: Source, remarks: tuple[SourceRemark, ...]
) -> None:
    """What is not there, as on most servers, is no news."""
    kept = received(*WELL, source)
    assert (kept.remarks, kept.faults, kept.weak_faults) == (remarks, (), ())


def test_a_strong_source_that_is_off_is_remarked_and_no_doubt() -> None:
    """Its operator wants it so; one that is not named at all is in doubt."""
    kept = received(*WELL[1:], Source("kernels", Health.OFF))
    assert (kept.remarks, kept.faults) == ((SourceRemark("kernels", off=True),), ())
    kept = received(*WELL[1:])
    assert (kept.remarks, kept.faults) == ((), (SourceFault("kernels", 100.0, "not in the report"),))


def test_remarks_are_kept_beside_faults() -> None:
    """A failed source does not hide what others say."""
    failed = Source("background", Health.FAILED, "OSError", 5.0, Strength.WEAK)
    kept = received(*WELL, Source("network", Health.OFF), failed)
    assert kept.remarks == (SourceRemark("network", off=True),)
    assert (kept.faults, kept.weak_faults) == ((), (SourceFault("background", 5.0, "OSError"),))
