"""Section 1d of the checklist: which servers are stopped. Both cullers, the same recorded states."""

from __future__ import annotations

import pytest

from tests.parity.cullers import Pair, Scene, side_by_side, stop
from tests.parity.states import HOUR, LAST, at_offset, naive, server, user


def everybody() -> Scene:
    """One user for each case of a server decision, under a timeout of an hour, far from Greenwich.

    Where nothing of a user is to be stopped, a second server that is due shows that the user was looked at.
    """
    due = {"due": server()}
    return Scene(
        users=lambda: [
            user("idle"),
            user("active", {"": server(idle=60), **due}),
            user("at-limit", {"": server(idle=HOUR + 1)}),
            user("below-limit", {"": server(idle=HOUR - 300), **due}),
            user("spawning", {"": server(ready=False, pending="spawn", started=None, idle=None), **due}),
            user("stopping", {"": server(ready=False, pending="stop"), **due}),
            user("checking", {"": server(pending="check"), **due}),
            user("unready", {"": server(ready=False), **due}),
            user("stopped", {"": server(ready=False, stopped=True, url=None), **due}),
            user("no-activity", {"": server(idle=None)}),
            user("no-activity-young", {"": server(idle=None, started=60), **due}),
            user("naive", {"": server(idle=naive(2 * HOUR), started=naive(3 * HOUR))}),
            user("naive-active", {"": server(idle=naive(60), started=naive(3 * HOUR)), **due}),
            user("offset", {"": server(idle=at_offset(2 * HOUR, 5), started=at_offset(3 * HOUR, -7))}),
            user("offset-active", {"": server(idle=at_offset(60, 5)), **due}),
            user("future", {"": server(idle=-HOUR), **due}),
            user("unreadable", {"": server(idle="the day before"), **due}),
            user("unreadable-start", {"": server(started="last week"), **due}),
            user("no-key", {"": server(without=("last_activity",)), **due}),
            user("named", {"": server(idle=60), "gpu": server()}),
            user("all-idle", {"": server(), "a": server(), "b": server(idle=60), "c": server()}),
            user("zoë s@x!y=z~", {"": server(), "größe 2+1": server()}),
            user("no-start", {"": server(started=None), **due}),
            user("future-start", {"": server(started=-HOUR), **due}),
            user("no-times", {"": server(started=None, idle=None), **due}),
        ],
        options=("--timeout=3600",),
        env={"TZ": "Asia/Tokyo"},
    )


def aged() -> Scene:
    """Do the same under ``max_age``; a server of 10,000 s is too old however busy it is."""
    due = {"due": server()}
    return Scene(
        users=lambda: [
            user("old-active", {"": server(started=10_001, idle=1)}),
            user("young-active", {"": server(started=9_700, idle=1), **due}),
            user("young-idle", {"": server(started=9_000, idle=2 * HOUR)}),
            user("old-without-activity", {"": server(started=20_000, idle=None)}),
            user("old-in-the-future", {"": server(started=20_000, idle=-HOUR)}),
            user("old-named", {"": server(idle=1, started=60), "gpu": server(started=20_000, idle=1)}),
            user("old-pending", {"": server(started=20_000, idle=1, pending="check"), **due}),
            user("old-unready", {"": server(started=20_000, idle=1, ready=False), **due}),
            user("no-start", {"": server(started=None, idle=1), **due}),
        ],
        options=("--timeout=3600", "--max-age=10000"),
    )


def slashes() -> Scene:
    """Have a named server whose name holds a slash, and a default server beside it."""
    return Scene(users=lambda: [user("ada", {"": server(), "a/b": server()})], options=("--timeout=3600",))


@pytest.fixture
def pair() -> Pair:
    """Both at `everybody`; the last user's server is stopped by both, so each has seen all the others."""
    found = side_by_side(everybody)
    assert found.same(LAST) == [stop(LAST)]
    return found


def only_due(pair: Pair, name: str) -> bool:
    """Tell whether of this user both stop the server that is due, and nothing else."""
    return pair.same(name) == [stop(name, "due")]


@pytest.mark.parity("1a.timeout")
@pytest.mark.parity("1d.6")
@pytest.mark.parity("1d.8")
def test_idle_is_stopped_and_active_is_not(pair: Pair) -> None:
    """At the limit it is stopped, below it is not."""
    assert pair.same("idle") == [stop("idle")]
    assert pair.same("at-limit") == [stop("at-limit")]
    assert only_due(pair, "active")
    assert only_due(pair, "below-limit")
    assert "Not culling server active (age: 03:0" in pair.theirs.log


@pytest.mark.parity("1d.1")
def test_pending_is_left_alone(pair: Pair) -> None:
    """Whatever is pending, and however idle the server is."""
    for name in ("spawning", "stopping", "checking"):
        assert only_due(pair, name)
        assert f"Not culling server {name} with pending" in pair.theirs.log


@pytest.mark.parity("1d.2")
def test_what_is_not_ready_is_left_alone(pair: Pair) -> None:
    """Also where it has stopped."""
    assert only_due(pair, "unready")
    assert only_due(pair, "stopped")


@pytest.mark.parity("1d.4")
def test_without_activity_the_start_counts(pair: Pair) -> None:
    """A server that nobody has used yet is idle since it started."""
    assert pair.same("no-activity") == [stop("no-activity")]
    assert only_due(pair, "no-activity-young")


@pytest.mark.parity("1d.dates")
def test_times_without_a_zone_are_utc(pair: Pair) -> None:
    """And those with one are taken by it, on a machine nine hours away."""
    assert pair.same("naive") == [stop("naive")]
    assert only_due(pair, "naive-active")
    assert pair.same("offset") == [stop("offset")]
    assert only_due(pair, "offset-active")


@pytest.mark.parity("1d.unreadable")
def test_what_can_not_be_read_is_not_stopped(pair: Pair) -> None:
    """Nor what is not shown at all; the same user's other server is."""
    for name in ("unreadable", "unreadable-start", "no-key"):
        assert only_due(pair, name)
        assert f"Error processing {name}" in pair.theirs.log
    assert "Traceback" not in pair.ours.log


@pytest.mark.parity("1d.future")
def test_activity_in_the_future_keeps(pair: Pair) -> None:
    assert only_due(pair, "future")


@pytest.mark.parity("1d.named")
def test_default_and_named_servers_have_a_fate_of_their_own(pair: Pair) -> None:
    assert pair.same("named") == [stop("named", "gpu")]
    assert pair.same("all-idle") == [stop("all-idle"), stop("all-idle", "a"), stop("all-idle", "c")]


@pytest.mark.parity("1d.urls")
def test_names_are_quoted_alike(pair: Pair) -> None:
    """Byte by byte, with an empty body."""
    ada, gpu = "zo%C3%AB%20s%40x%21y%3Dz~", "gr%C3%B6%C3%9Fe%202%2B1"
    assert pair.same(ada) == [stop(ada), stop(ada, gpu)]


@pytest.mark.parity(
    "1d.urls", differs="D7", reason="a slash in a server's name is quoted, so that the server is found"
)
def test_a_slash_in_a_name_is_quoted() -> None:
    """Theirs asks for a server that is none, which the Hub does not find; ours is stopped."""
    pair = side_by_side(slashes)
    theirs, ours = pair.differ("ada")
    assert theirs == [stop("ada"), stop("ada", "a/b")]
    assert ours == [stop("ada"), stop("ada", "a%2Fb")]
    assert "HTTP 404" in pair.theirs.log
    assert list(pair.theirs.hub.user("ada")["servers"]) == ["a/b"]
    assert pair.ours.hub.empty


@pytest.mark.parity(
    "1d.3", differs="L2", reason="without a readable start it is held: nothing tells it from its successor"
)
def test_without_a_start_it_is_held(pair: Pair) -> None:
    """Theirs stops it by `last_activity`; the same holds for a start that lies in the future."""
    for name in ("no-start", "future-start"):
        theirs, ours = pair.differ(name)
        assert theirs == [stop(name), stop(name, "due")]
        assert ours == [stop(name, "due")]
    assert "undated:" in pair.ours.log


@pytest.mark.parity("1d.5", differs="D5", reason="a server without any time is held, and is no error")
def test_a_server_without_any_time_is_no_error(pair: Pair) -> None:
    """Theirs fails on it, and with it on all that was to be done for this user after its servers."""
    assert only_due(pair, "no-times")
    error = pair.theirs.log.partition("Error processing no-times")[2].partition("\n[")[0]
    assert "'NoneType' object has no attribute 'total_seconds'" in error
    assert "no-times/ " not in pair.ours.log


@pytest.mark.parity("1a.max_age")
@pytest.mark.parity("1d.7")
def test_max_age_stops_what_is_in_use() -> None:
    """From the start alone; what is pending or not ready stays."""
    pair = side_by_side(aged)
    assert pair.same(LAST) == [stop(LAST)]
    for name in ("old-active", "young-idle", "old-without-activity", "old-in-the-future"):
        assert pair.same(name) == [stop(name)]
    assert pair.same("old-named") == [stop("old-named", "gpu")]
    for name in ("young-active", "old-pending", "old-unready", "no-start"):
        assert only_due(pair, name)


def cold() -> Scene:
    """As operators start it, with its warm-up; one server is beyond ``max_age``."""
    return Scene(
        users=lambda: [user("idle"), user("old", {"": server(started=20_000)})],
        options=("--timeout=3600", "--max-age=15000"),
        ours=("--warm-up=660",),
    )


@pytest.mark.parity(
    "1d.6",
    differs="L1",
    reason="by `last_activity` only once all have been up for `warm_up`, 11 minutes by default",
)
def test_before_the_warm_up_is_over_last_activity_condemns_nobody() -> None:
    """Of two servers ours stops the one that is too old, and holds the idle one."""
    pair = side_by_side(cold)
    assert pair.same("old") == [stop("old")]
    assert pair.differ("idle") == ([stop("idle")], [])
    assert "held=2(warming_up:2)" in pair.ours.log
