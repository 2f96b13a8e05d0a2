"""Laws of foreign activity: what other extensions claim protects, by name."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from hubcull_server_ext import wire
from hubcull_server_ext.signals.foreign import ForeignSource
from hubcull_server_ext.snapshot import SourceError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def ago(seconds: float) -> datetime:
    """Return the time so many seconds before now."""
    return NOW - timedelta(seconds=seconds)


def claims(settings: dict[str, Any]) -> dict[str | None, float | None]:
    """Return label -> age of everything claimed in these settings."""
    return {s.label: s.age for s in ForeignSource(settings, lambda: NOW).collect(0.0)}


def test_both_conventions_count() -> None:
    """Settings by their suffix and items of the shared dictionary are presence under their own names."""
    settings = {
        "lsp_last_activity": ago(5),
        "last_activity_times": {"jupyter-server-proxy": ago(7)},
        "other": 1,
    }
    assert claims(settings) == {"lsp_last_activity": 5.0, "jupyter-server-proxy": 7.0}


def test_servers_own_and_ours_are_left_out() -> None:
    """Polls move the server's own times, and our own words must not come back to us."""
    own = {
        "api_last_activity": ago(1),
        "terminal_last_activity": ago(1),
        "last_activity_times": {"hubcull": ago(1)},
    }
    assert claims(own) == {}


def test_future_is_now() -> None:
    """A time in the future protects as this moment does, and no longer."""
    assert claims({"x_last_activity": ago(-3600)}) == {"x_last_activity": 0.0}


@pytest.mark.parametrize("value", ["2026-01-01", None, datetime(2026, 1, 1), 5])  # noqa: DTZ001 - the case
def test_unreadable_claim_is_a_failure_that_names_the_key(value: object) -> None:
    """A value that is no aware time makes the source failed; the others' claims stay."""
    source = ForeignSource({"bad_last_activity": value, "good_last_activity": ago(2)}, lambda: NOW)
    with pytest.raises(SourceError, match="bad_last_activity") as failure:
        source.collect(0.0)
    assert failure.value.signals == (
        wire.Signal(
            wire.Kind.FOREIGN,
            "setting:good_last_activity",
            wire.Clock.PRESENCE,
            age=2.0,
            label="good_last_activity",
        ),
    )


def test_what_another_source_sees_better_is_left_to_it() -> None:
    """A claim that is covered is not taken, whatever it is; others are."""
    times = {"theirs": NOW, "other": NOW}
    source = ForeignSource(
        {"last_activity_times": times, "their_last_activity": 7},
        lambda: NOW,
        ["theirs", "their_last_activity"],
    )
    assert [signal.label for signal in source.collect(0.0)] == ["other"]


def test_no_claims_is_no_failure() -> None:
    """A server without such extensions has nothing to say."""
    assert claims({}) == {}
