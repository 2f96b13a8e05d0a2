"""Section 1f of the checklist: both as processes, over several cycles, with a Hub that fails now and then."""

from __future__ import annotations

import re
import signal

import pytest

from tests.parity.cullers import Process, Scene, Until, side_by_side, stop
from tests.parity.replay import TOKEN, ReplayHub, Reply, Request
from tests.parity.states import HOUR, LAST, ago, server, user


def seen(method: str, path: str, times: int) -> Until:
    """Wait until the Hub was asked so often."""
    return lambda process: process.hub.count(method, path) >= times


def cycles(number: int) -> Until:
    """Wait until hubcull has written down that many cycles."""
    return lambda process: f"cycle={number} " in process.log


def all_gone(process: Process) -> bool:
    """Wait until no server runs, and every request is answered."""
    return process.hub.idle


def ended(process: Process) -> bool:
    """Wait until the process has ended by itself."""
    return process.popen.poll() is not None


def rest() -> Scene:
    """Nothing to do but one server, at once."""
    return Scene(options=("--timeout=3600",))


@pytest.mark.parity("1f.at_once")
def test_the_first_cycle_is_at_once() -> None:
    """Whatever the period, which is 50 minutes here."""
    assert side_by_side(rest).same(LAST) == [stop(LAST)]


@pytest.mark.parity("1f.signals", differs="L8", reason="it waits for stops under way, then exits with 0")
def test_it_ends_in_order_when_told() -> None:
    """Theirs is killed by SIGTERM where it stands."""
    assert [run.code for run in side_by_side(rest)] == [-15, 0]


def later() -> Scene:
    """Let a server fall due while both are at work, some seconds after the first listing of each."""

    def used(hub: ReplayHub, request: Request) -> None:
        if request.path.startswith("/users?") and hub.count("GET", "/users?") == 1:
            hub.user("ada")["servers"][""]["last_activity"] = ago(HOUR - 3)

    return Scene(
        users=lambda: [user("ada")],
        options=("--timeout=3600",),
        every=1,
        hub={"on_request": used},
        until_theirs=all_gone,
        until_ours=all_gone,
    )


@pytest.mark.parity("1a.cull_every")
@pytest.mark.parity("1f.periodic")
def test_cycles_follow_each_other() -> None:
    """What falls due is stopped in a later cycle, once."""
    pair = side_by_side(later)
    assert pair.same("ada") == [stop("ada")]
    assert [run.hub.deletes[0] for run in pair] == [stop(LAST)] * 2
    assert pair.theirs.hub.count("GET", "/users?") >= 3


def overlapping() -> Scene:
    """Eight servers, half a second each, and a cycle every second."""
    return Scene(
        users=lambda: [user(f"u{n}") for n in range(8)],
        options=("--timeout=3600", "--concurrency=1"),
        every=1,
        hub={"script": {"DELETE *": Reply(after=0.5)}},
        until_theirs=all_gone,
        until_ours=all_gone,
    )


@pytest.mark.parity("1f.periodic", differs="D9", reason="a stop under way is never begun a second time")
def test_no_server_is_stopped_twice() -> None:
    """Theirs begins a second round while the first is at work, and asks again for what is waiting there."""
    pair = side_by_side(overlapping)
    theirs, ours = pair.theirs.deletes, pair.ours.deletes
    assert set(theirs) == set(ours)
    assert len(theirs) > len(set(theirs))
    assert len(ours) == len(set(ours)) == 9


def failing() -> Scene:
    """Let the Hub fail at first, in several ways, and be well then."""
    return Scene(
        options=("--timeout=3600",),
        every=1,
        hub={
            "script": {
                "GET /": Reply(500, times=2),
                "GET /users?*": Reply(503, times=1),
            }
        },
        until_theirs=all_gone,
        until_ours=all_gone,
    )


@pytest.mark.parity("1f.hub_down")
def test_a_failing_hub_is_tried_again() -> None:
    """Neither ends for it; the server is stopped once the Hub is well."""
    pair = side_by_side(failing)
    assert pair.same(LAST) == [stop(LAST)]
    for run in pair:
        assert run.hub.count("GET", "/users?") >= 2


@pytest.mark.parity("1f.log", differs="D8", reason="the token is in no log")
def test_the_token_is_in_no_log() -> None:
    """Theirs writes it down with every cycle that fails."""
    pair = side_by_side(failing)
    assert f"api_token='{TOKEN}'" in pair.theirs.log
    assert TOKEN not in pair.ours.log
    assert "the servers could not be listed" in pair.ours.log


def refusing() -> Scene:
    """One server that the Hub can not stop, tried every second."""
    return Scene(
        users=lambda: [user("ada")],
        options=("--timeout=3600",),
        every=1,
        hub={"script": {"DELETE /users/ada/server": Reply(500)}},
        until_theirs=seen("DELETE", "/users/ada", 7),
        until_ours=cycles(8),
    )


@pytest.mark.parity(
    "1f.retry", differs="D11", reason="a failed stop is tried again after a pause that doubles, up to an hour"
)
def test_a_failed_stop_is_tried_again_more_and_more_seldom() -> None:
    """Theirs asks in every cycle, however often the Hub failed."""
    pair = side_by_side(refusing)
    assert pair.theirs.hub.count("DELETE", "/users/ada") >= 7
    assert 2 <= pair.ours.hub.count("DELETE", "/users/ada") <= 4
    assert "back_off:1" in pair.ours.log


@pytest.mark.parity(
    "1f.cost", differs="L9", reason="cycles are frequent, full listings rare: every half of the timeout"
)
def test_the_hub_is_listed_seldom() -> None:
    """Once in eight cycles here, where theirs lists in each."""
    pair = side_by_side(refusing)
    assert pair.theirs.hub.count("GET", "/users?") >= 7
    assert pair.ours.hub.count("GET", "/users?") == 1


def heavy(kilobytes: int) -> Scene:
    """Two thousand users with a server each; how much a page holds is another matter than how many."""
    padding = {"note": "x" * 1024 * kilobytes}
    return Scene(
        users=lambda: [user(f"u{n:04}", {"": server(idle=60, user_options=padding)}) for n in range(2000)],
        options=("--timeout=3600", "--api-page-size=50"),
    )


def light_models() -> Scene:
    """Models of the usual size."""
    return heavy(0)


def heavy_models() -> Scene:
    """Models of twenty kilobytes, forty megabytes in all."""
    return heavy(20)


@pytest.mark.parity("1c.5", differs="D12", reason="of each page only what is needed is kept")
def test_models_are_not_kept() -> None:
    """Theirs holds every model of every page until the cycle is over."""
    light, heavy = side_by_side(light_models), side_by_side(heavy_models)
    growth = [(h.memory - small.memory) / 2**20 for small, h in zip(light, heavy, strict=True)]
    assert all(len(run.hub.requests) >= 40 for run in (*light, *heavy))
    assert growth[0] > 35
    assert growth[1] < 15


def without_token() -> Scene:
    """No token in the environment."""
    return Scene(
        options=("--timeout=3600",),
        env={"JUPYTERHUB_API_TOKEN": ""},
        until_theirs=lambda process: bool(process.hub.strangers),
        until_ours=ended,
    )


@pytest.mark.parity("1a.token", differs="D10", reason="without one it does not start, and says what to do")
def test_without_a_token_it_does_not_start() -> None:
    """An empty token starts theirs all the same; the Hub refuses it everything."""
    pair = side_by_side(without_token)
    assert set(pair.theirs.hub.strangers) == {"token"}
    assert (pair.ours.code, pair.ours.hub.requests) == (2, [])
    assert "set JUPYTERHUB_API_TOKEN" in pair.ours.log


def interrupted() -> Scene:
    """Interrupt both, as Ctrl-C does, when they have done one cycle."""
    return Scene(options=("--timeout=3600",), ends_by=signal.SIGINT)


@pytest.mark.parity("1f.signals")
def test_ctrl_c_ends_it() -> None:
    """With exit code 0, either."""
    pair = side_by_side(interrupted)
    assert pair.same(LAST) == [stop(LAST)]
    assert [run.code for run in pair] == [0, 0]


def without_url() -> Scene:
    """Nobody says where the Hub is."""
    return Scene(
        every=1,
        env={"JUPYTERHUB_API_URL": ""},
        until_theirs=lambda process: "Exception in callback" in process.log,
        until_ours=ended,
    )


@pytest.mark.parity("1a.url", differs="D10", reason="without a URL it does not start, and says what to do")
def test_without_a_url_it_does_not_start() -> None:
    """Theirs runs on for ever and fails in every cycle."""
    pair = side_by_side(without_url)
    assert "Traceback" in pair.theirs.log
    assert pair.ours.code == 2
    assert "set JUPYTERHUB_API_URL" in pair.ours.log
    assert [run.hub.requests for run in pair] == [[], []]


def wrong_timeout() -> Scene:
    """Give a time limit that is no number."""
    return Scene(
        every=1,
        env={"JUPYTERHUB_REQUEST_TIMEOUT": "abc"},
        until_theirs=lambda process: "ValueError" in process.log,
        until_ours=ended,
    )


@pytest.mark.parity(
    "1a.request_timeout", differs="D10", reason="one that is no number is an error at the start"
)
def test_a_wrong_time_limit_is_an_error_at_the_start() -> None:
    """Theirs runs on, fails in every cycle, and stops nothing ever."""
    pair = side_by_side(wrong_timeout)
    assert pair.theirs.deletes == []
    assert pair.ours.code == 2
    assert "JUPYTERHUB_REQUEST_TIMEOUT = 'abc'" in pair.ours.log


def standalone() -> Scene:
    """Start it by hand, with the URL and the token in the environment."""
    return Scene(options=("--timeout=3600",), managed=False)


@pytest.mark.parity("1a.token")
def test_it_runs_outside_of_the_hub() -> None:
    """With a token of the Hub in the environment, which every request shows."""
    pair = side_by_side(standalone)
    assert pair.same(LAST) == [stop(LAST)]
    assert [run.hub.strangers for run in pair] == [[], []]
    assert all(run.hub.requests for run in pair)


def nobody() -> Scene:
    """Nobody has a server."""
    return Scene(
        last=False,
        options=("--timeout=3600",),
        until_theirs=seen("GET", "/users?", 1),
        until_ours=cycles(1),
    )


def test_nothing_is_stopped_where_nothing_runs() -> None:
    pair = side_by_side(nobody)
    assert [run.deletes for run in pair] == [[], []]
    assert re.search(r"cycle=1 listed=0 ", pair.ours.log)


def old_hub() -> Scene:
    """Meet a JupyterHub 3.1."""
    return Scene(options=("--timeout=3600",), hub={"version": "3.1.1"}, until_ours=cycles(1))


def without_scope() -> Scene:
    """Have a role without the right to stop servers."""
    scopes = ("list:users", "read:users:activity", "read:servers")
    return Scene(
        options=("--timeout=3600",),
        hub={"scopes": scopes, "script": {"DELETE *": Reply(403)}},
        until_ours=cycles(1),
    )


@pytest.mark.parity("1g.scopes")
def test_the_scopes_of_the_readme_are_enough() -> None:
    """The state was recorded with them, and the token says that it holds them and no more."""
    pair = side_by_side(rest)
    assert pair.ours.hub.scopes == (
        "delete:servers",
        "list:users",
        "read:servers",
        "read:users:activity",
        "read:users:name",
    )
    assert pair.same(LAST) == [stop(LAST)]


@pytest.mark.parity(
    "1g.scopes", differs="L4", reason="a scope that is missing is named before anything is tried"
)
def test_a_missing_scope_is_named() -> None:
    """Theirs asks for every stop, and is refused."""
    pair = side_by_side(without_scope)
    assert pair.differ(LAST) == ([stop(LAST)], [])
    assert "scope delete:servers is missing" in pair.ours.log


@pytest.mark.parity("1c.1", differs="L4", reason="a Hub older than 4.0 is named; nothing is stopped there")
def test_nothing_is_stopped_on_an_old_hub() -> None:
    """Such a Hub's tokens do not tell which server they belong to."""
    pair = side_by_side(old_hub)
    assert pair.differ(LAST) == ([stop(LAST)], [])
    assert "the Hub is 3.1.1; hubcull needs JupyterHub 4.0 or newer" in pair.ours.log
