"""The hook of idle-culler 2.0, unchanged, in both: who is asked, with what, and what the answer means."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from tests.parity.cullers import Pair, Run, Scene, side_by_side, stop
from tests.parity.states import LAST, server, user

OLD = 20_000
HOOK = """
import asyncio, concurrent.futures, json, time
from datetime import timedelta

def hook(inactive, inactive_limit, server):
    name = server["full_name"].split("/")[0]
    told = {
        "name": server["full_name"], "limit": inactive_limit, "limit_type": type(inactive_limit).__name__,
        "inactive": None if inactive is None else round(inactive.total_seconds(), -2),
        "inactive_type": type(inactive).__name__, "server": sorted(server),
    }
    print("ASKED", json.dumps(told), flush=True)
    if name == "hangs":
        time.sleep(1000)
    if name == "raises":
        raise RuntimeError("no idea")
    if name == "future":
        future = concurrent.futures.Future()
        future.set_result(True)
        return future
    if name.startswith("no"):
        return False
    if name.startswith("yes"):
        return 1
    return inactive is not None and inactive.total_seconds() >= inactive_limit

async def slow(inactive, inactive_limit, server):
    await asyncio.sleep(0.01)
    return hook(inactive, inactive_limit, server)
"""


def with_hook(choice: str, *options: str) -> Scene:
    """Have users named by what the hook says of them."""
    due = {"due": server()}
    young = server(idle=60, started=300)
    return Scene(
        users=lambda: [
            user("idle"),
            user("active", {"": server(idle=60), **due}),
            user("no", {"": server()}),
            user("no-old", {"": server(started=OLD)}),
            user("yes", {"": young}),
            user("yes-pending", {"": server(pending="check"), **due}),
            user("raises"),
            user("future", {"": young}),
        ],
        options=("--timeout=3600", "--config=culler.py", *options),
        files={"culler.py": f"{HOOK}\nc.IdleCuller.cull_arbiter_hook = {choice}\n"},
    )


def plain() -> Scene:
    """Take a plain function."""
    return with_hook("hook")


def asynchronous() -> Scene:
    """Take a coroutine function."""
    return with_hook("slow")


def beside_max_age() -> Scene:
    """Limit the age, too."""
    return with_hook("hook", f"--max-age={OLD - 1000}")


def beside_a_switch() -> Scene:
    """Leave named servers alone."""
    return with_hook("hook", "--cull-named-servers=false")


@pytest.fixture(params=[plain, asynchronous])
def pair(request: pytest.FixtureRequest) -> Pair:
    """Both with the hook, as a function and as a coroutine."""
    found = side_by_side(request.param)
    assert found.same(LAST) == [stop(LAST)]
    return found


@pytest.mark.parity("1a.cull_arbiter_hook")
@pytest.mark.parity("1d.hook")
def test_the_hook_decides(pair: Pair) -> None:
    """Instead of the timeout, either way; any true value means yes, and a future is waited for."""
    assert pair.same("idle") == [stop("idle")]
    assert pair.same("active") == [stop("active", "due")]
    assert pair.same("no") == []
    assert pair.same("yes") == [stop("yes")]
    assert pair.same("future") == [stop("future")]


@pytest.mark.parity("1d.hook")
def test_the_hook_does_not_decide_about_what_is_pending(pair: Pair) -> None:
    assert pair.same("yes-pending") == [stop("yes-pending", "due")]


def asked(run: Run) -> dict[str, object]:
    """Return what the hook was given, by server."""
    told = (json.loads(line) for line in re.findall(r"^ASKED (.*)$", run.log, re.MULTILINE))
    return {each["name"]: each for each in told}


@pytest.mark.parity("1d.hook")
def test_the_hook_is_given_the_same(pair: Pair) -> None:
    """The same three arguments of the same types, the Hub's model with all that it shows."""
    theirs, ours = (asked(run) for run in pair)
    assert set(theirs) == set(ours) >= {"idle/", "active/", "active/due", "no/", "yes/", f"{LAST}/"}
    assert theirs == ours


def hanging() -> Scene:
    """Have a hook that hangs on one server, the first."""
    scene = with_hook("hook")
    return replace(
        scene,
        users=lambda: [user("hangs"), *scene.users()],
        ours=("--hook-timeout=1",),
        until_theirs=lambda process: "ASKED" in process.log,
    )


@pytest.mark.parity(
    "1d.hook_error", differs="L13", reason="an answer has a time limit; without one the server stays"
)
def test_a_hook_that_hangs_holds_up_nobody_else() -> None:
    """Theirs waits for it for ever, and stops nothing any more."""
    pair = side_by_side(hanging)
    assert pair.theirs.deletes == []
    assert pair.ours.of("hangs") == []
    assert pair.ours.of("idle") == [stop("idle")]
    assert pair.ours.of(LAST) == [stop(LAST)]


@pytest.mark.parity("1d.hook_error")
def test_a_hook_that_raises_keeps_the_server(pair: Pair) -> None:
    """And the next one is asked."""
    assert pair.same("raises") == []
    assert "no idea" in pair.theirs.log
    assert "no idea" in pair.ours.log


@pytest.mark.parity("1d.7", differs="D6", reason="it does not override a hook that says no")
def test_max_age_does_not_override_the_hook() -> None:
    """Theirs stops it all the same, so that the example in its own help protects nobody."""
    pair = side_by_side(beside_max_age)
    assert pair.differ("no-old") == ([stop("no-old")], [])
    assert pair.same("no") == []
    assert pair.same("idle") == [stop("idle")]


@pytest.mark.parity("1d.hook")
def test_the_hook_does_not_override_a_switch() -> None:
    pair = side_by_side(beside_a_switch)
    assert pair.same("active") == []
    assert pair.same("yes") == [stop("yes")]
