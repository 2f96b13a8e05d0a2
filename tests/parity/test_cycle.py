"""Section 1c of the checklist, one cycle: what is asked of the Hub, in which order, to what end."""

from __future__ import annotations

import re

import pytest

from tests.parity.cullers import Pair, Process, Run, Scene, side_by_side, stop
from tests.parity.replay import ReplayHub, Reply, Request
from tests.parity.states import HOUR, LAST, naive, server, user


def crowd(options: tuple[str, ...] = (), **fields: object) -> Scene:
    """Three pages of the Hub's default size; every tenth user has an idle server."""
    return Scene(
        users=lambda: [user(f"u{n:03}", {"": server(idle=60 if n % 10 else 2 * HOUR)}) for n in range(110)],
        options=("--timeout=3600", *options),
        hub=fields,
    )


def small_pages() -> Scene:
    """Pages of seven, the second without anybody who has a ready server."""
    return Scene(
        users=lambda: [
            user(
                f"u{n:03}", {"": server(ready=not 7 <= n < 14, pending=None if n < 7 or n > 13 else "spawn")}
            )
            for n in range(30)
        ],
        options=("--timeout=3600", "--api-page-size=7"),
    )


def behind_tls() -> Scene:
    """Give the next page an address at which nobody is, as a Hub behind a proxy may."""

    def failed(process: Process) -> bool:
        return "127.0.0.1:9" in process.log and "Exception in callback" in process.log

    scene = crowd(("--api-page-size=50",), next_host="http://127.0.0.1:9")
    return Scene(users=scene.users, options=scene.options, hub=scene.hub, until_theirs=failed)


def listings(run: Run) -> list[str]:
    """Return the paths of the requests for a page of users."""
    return [each.path for each in run.hub.requests if each.path.startswith("/users?")]


def stopped(pair: Pair) -> list[Request]:
    """Return the DELETEs that both sent, which are the same."""
    assert pair.theirs.deletes == pair.ours.deletes
    return pair.ours.deletes


EXPECTED = [*(stop(f"u{n:03}") for n in range(0, 110, 10)), stop(LAST)]


@pytest.mark.parity("1c.1")
def test_the_hub_is_asked_for_its_version_first() -> None:
    pair = side_by_side(crowd)
    assert [run.hub.requests[0] for run in pair] == [Request("GET", "/")] * 2


@pytest.mark.parity("1c.4")
@pytest.mark.parity("1c.6")
def test_users_with_a_ready_server_are_listed_page_by_page() -> None:
    """Every page, whatever its size, is read, and the same servers are stopped."""
    pair = side_by_side(crowd)
    assert stopped(pair) == EXPECTED
    assert all("state=ready" in path for run in pair for path in listings(run))
    assert len(listings(pair.theirs)) == 3


@pytest.mark.parity(
    "1a.api_page_size",
    differs="L5",
    reason="200 by default, not the Hub's 50: fewer, larger pages cost it less",
)
def test_pages_are_large_by_default() -> None:
    """And the size is asked for."""
    pair = side_by_side(crowd)
    assert listings(pair.theirs)[0] == "/users?state=ready"
    assert [("limit=200" in path) for path in listings(pair.ours)] == [True]


@pytest.mark.parity("1a.api_page_size")
@pytest.mark.parity("1c.4")
def test_a_page_size_that_is_given_is_asked_for() -> None:
    """Page by page, a page that comes out empty included."""
    pair = side_by_side(small_pages)
    assert len(stopped(pair)) == 24
    for run in pair:
        assert ["limit=7" in path for path in listings(run)] == [True] * 5


@pytest.mark.parity("1c.5")
def test_all_pages_are_read_before_the_first_stop() -> None:
    """So that a stop never shifts the pages."""
    for run in side_by_side(small_pages):
        kinds = [each.method for each in run.hub.requests if each.method == "DELETE" or "?" in each.path]
        assert kinds == ["GET"] * 5 + ["DELETE"] * 24


@pytest.mark.parity(
    "1c.4",
    differs="L6",
    reason="the next page is asked for by offset; the address in the answer may be wrong",
)
def test_the_address_of_the_next_page_is_not_believed() -> None:
    """Theirs follows it to where nobody is, and stops nothing; ours comes to the end."""
    pair = side_by_side(behind_tls)
    assert pair.theirs.deletes == []
    assert pair.ours.deletes == EXPECTED


def returned() -> Scene:
    """Two idle servers whose users come back when the list is out: the first before anything is done."""

    def come_back(hub: ReplayHub, request: Request) -> None:
        if "?" in request.path or not request.path.startswith("/users/"):
            return
        for name, change in (("back", {}), ("again", {"started": naive(0)})):
            for model in hub.user(name)["servers"].values():
                model |= {"last_activity": naive(0), **change}

    return Scene(
        users=lambda: [user("first"), user("back"), user("again")],
        options=("--timeout=3600",),
        hub={"on_request": come_back},
    )


@pytest.mark.parity("1c.2", differs="D4", reason="each server is read again right before it is stopped")
def test_who_came_back_since_the_listing_is_spared() -> None:
    """Theirs stops a server in use, and one that has been started since."""
    pair = side_by_side(returned)
    assert pair.same("first") == [stop("first")]
    assert pair.differ("back") == ([stop("back")], [])
    assert pair.differ("again") == ([stop("again")], [])
    assert "cull server=back/ result=spared" in pair.ours.log
    assert "cull server=again/ result=replaced" in pair.ours.log


@pytest.mark.parity("1c.2", differs="L3", reason="one `GET /users/NAME` more for each stop: the second look")
def test_a_stop_costs_one_question_more() -> None:
    """Theirs asks nothing of a single user."""
    pair = side_by_side(returned)
    assert pair.theirs.hub.count("GET", "/users/") == 0
    assert pair.ours.hub.count("GET", "/users/") == 4


def no_hurry() -> Scene:
    """Fourteen users, each with a server whose stop takes half a second."""
    return Scene(
        users=lambda: [user(f"u{n:02}") for n in range(14)],
        options=("--timeout=3600",),
        hub={"script": {"DELETE *": Reply(after=0.5)}},
    )


@pytest.mark.parity("1a.concurrency", differs="D1", reason="that many stops are under way at once, not one")
def test_stops_are_under_way_at_once() -> None:
    """As many as `concurrency` allows, which is ten for both, and one in fact for theirs."""
    pair = side_by_side(no_hurry)
    assert len(stopped(pair)) == 15
    assert (pair.theirs.hub.peak["DELETE"], pair.ours.hub.peak["DELETE"]) == (1, 10)


def one_slow() -> Scene:
    """Let the first server take two seconds to stop."""
    return Scene(
        users=lambda: [user("slow"), *(user(f"u{n}") for n in range(5))],
        options=("--timeout=3600",),
        hub={"script": {"DELETE /users/slow/server": Reply(after=2.0)}},
    )


@pytest.mark.parity("1c.6", differs="D2", reason="a slow stop delays nobody else's")
def test_a_slow_stop_delays_nobody() -> None:
    """Theirs waits for it; with ours it is the last to end."""
    pair = side_by_side(one_slow)
    assert len(stopped(pair)) == 7
    order = [[each for each in run.hub.answered if each.method == "DELETE"] for run in pair]
    assert order[0][0] == stop("slow")
    assert order[1][-1] == stop("slow")


def many_named(option: str, takes: float = 2.0) -> Scene:
    """One user with 30 named servers whose stop takes a while."""
    return Scene(
        users=lambda: [user("ada", {f"s{n:02}": server() for n in range(30)})],
        options=("--timeout=3600", option),
        hub={"script": {"DELETE *": Reply(after=takes)}},
    )


def many_named_25() -> Scene:
    """With more at once than a client allows by itself."""
    return many_named("--concurrency=25")


def many_named_unbounded() -> Scene:
    """With no bound."""
    return many_named("--concurrency=0")


def many_named_3() -> Scene:
    """With a low bound."""
    return many_named("--concurrency=3", takes=0.3)


@pytest.mark.parity("1a.concurrency")
def test_the_bound_holds_for_one_users_servers() -> None:
    """The one case in which theirs stops several at once."""
    assert [run.hub.peak["DELETE"] for run in side_by_side(many_named_3)] == [3, 3]


@pytest.mark.parity("1a.concurrency", differs="D3", reason="a bound above 10, or none, is what it says")
def test_more_than_ten_at_once_are_possible() -> None:
    """Theirs warns that pycurl is missing, never uses it, and stays at ten connections."""
    pairs = side_by_side(many_named_25), side_by_side(many_named_unbounded)
    for pair in pairs:
        assert "pycurl is recommended" in pair.theirs.log
        assert pair.theirs.hub.peak["DELETE"] == 10
    assert pairs[0].ours.hub.peak["DELETE"] == 25
    assert pairs[1].ours.hub.peak["DELETE"] >= 30


ANSWERS = {
    "slow": Reply(202),
    "gone": Reply(404),
    "refused": Reply(403),
    "odd": Reply(400),
    "broken": Reply(500),
    "busy": Reply(503),
    "cut": Reply(0),
    "late": Reply(500, after=4.0),
}


def answers() -> Scene:
    """Make a user for each answer to a stop."""
    return Scene(
        users=lambda: [user(name) for name in ANSWERS],
        options=("--timeout=3600",),
        env={"JUPYTERHUB_REQUEST_TIMEOUT": "2"},
        hub={"script": {f"DELETE /users/{name}/server": reply for name, reply in ANSWERS.items()}},
    )


@pytest.mark.parity("1d.202")
@pytest.mark.parity("1d.errors")
def test_whatever_the_answer_a_stop_is_asked_for_once_and_the_others_follow() -> None:
    """Neither a refusal nor a broken line is met with a second DELETE in the same cycle."""
    pair = side_by_side(answers)
    assert stopped(pair) == sorted(stop(name) for name in (*ANSWERS, LAST))
    assert "Server slow is slow to stop" in pair.theirs.log
    assert "server slow/ is slow to stop" in pair.ours.log
    for name in set(ANSWERS) - {"slow"}:
        assert f"Error processing {name}" in pair.theirs.log
    results = dict(re.findall(r"cull server=(\w+)/ result=(\w+)", pair.ours.log))
    failed = dict.fromkeys(ANSWERS, "failed")
    assert results == {**failed, "slow": "stopped"}


@pytest.mark.parity("1a.request_timeout")
def test_a_request_to_the_hub_takes_no_longer_than_told() -> None:
    """Two seconds here, where the answer takes four."""
    pair = side_by_side(answers)
    assert "Timeout during request" in pair.theirs.log.partition("Error processing late")[2]
    assert re.search(r"server=late/ result=failed .* no answer from the Hub in 2 s", pair.ours.log)


@pytest.mark.parity(
    "1d.202", differs="L7", reason="a slow stop is followed until the server is gone, and told"
)
def test_a_slow_stop_is_followed() -> None:
    """Theirs leaves it to the next cycle."""
    pair = side_by_side(answers)
    assert pair.theirs.hub.count("GET", "/users/slow") == 0
    assert pair.ours.hub.count("GET", "/users/slow") >= 2
    assert re.search(r"server=slow/ result=stopped", pair.ours.log)
