"""Section 1e of the checklist: which users are deleted, where that is asked for."""

from __future__ import annotations

import re

import pytest

from tests.parity.cullers import Pair, Process, Scene, remove, side_by_side, stop
from tests.parity.replay import Reply
from tests.parity.states import ADMIN_SCOPES, HOUR, LAST, Age, Model, server, user


def record(name: str, *, idle: Age = 2 * HOUR, created: Age = 3 * HOUR, **fields: object) -> Model:
    """Return a user without a server, long inactive, as a culler with ``admin:users`` sees one."""
    servers = fields.pop("servers", {})
    return user(name, servers, idle=idle, created=created, **fields)  # type: ignore[arg-type]


def last_deleted(process: Process) -> bool:
    """Wait until the last user, with the last server, is deleted: idle-culler is through then."""
    return remove(LAST) in process.hub.answered


def users_done(process: Process) -> bool:
    """Wait until hubcull has written down what came of everything its first cycle began."""
    said = re.search(r"cycle=1 .* stopping=(\d+)", process.log)
    users = re.search(r"users_deleting=(\d+)", process.log)
    if said is None or users is None:
        return False
    return process.log.count(" result=") >= int(said[1]) + int(users[1])


def everybody() -> Scene:
    """One user for each case of a decision about users."""
    busy = {"": server(idle=60)}
    return Scene(
        users=lambda: [
            record("inactive"),
            record("active", idle=60),
            record("never-seen", idle=None),
            record("never-seen-young", idle=None, created=60),
            record("no-times", idle=None, created=None),
            record("admin", admin=True),
            record("unreadable", idle="the day before"),
            record("at-work", servers=busy),
            record("stopping", servers={"": server(ready=False, pending="stop")}),
            record("half", servers={"": server(), "gpu": server(idle=60)}),
            record("a b"),
            record("q", idle=60),
            record("q?x#y"),
            record("refused"),
            record("idle-server", servers={"": server()}),
            record("slow-server", servers={"": server()}),
            record("stuck-server", servers={"": server()}),
            record(LAST, servers={"": server()}),
        ],
        options=("--timeout=3600", "--cull-users=true"),
        last=False,
        hub={
            "scopes": ADMIN_SCOPES,
            "script": {
                "DELETE /users/refused": Reply(400),
                "DELETE /users/slow-server/server": Reply(202),
                "DELETE /users/stuck-server/server": Reply(500),
            },
        },
        until_theirs=last_deleted,
        until_ours=users_done,
    )


def old_ones() -> Scene:
    """Limit the age of records to 10,000 s, and protect admins."""
    return Scene(
        users=lambda: [
            record("old", idle=60, created=20_000),
            record("young", idle=60, created=9_000),
            record("inactive", created=9_000),
            record("unknown-age", idle=60, created=None),
            record("admin", created=9_000, admin=True),
            record("old-admin", created=20_000, admin=True),
            record("old-at-work", created=20_000, servers={"": server(idle=60, started=9_000)}),
            record(LAST, servers={"": server()}),
        ],
        options=("--timeout=3600", "--max-age=10000", "--cull-users=true", "--cull-admin-users=false"),
        last=False,
        hub={"scopes": ADMIN_SCOPES},
        until_theirs=last_deleted,
        until_ours=users_done,
    )


def hooked() -> Scene:
    """Have a hook that says no to everybody but the last user."""
    hook = (
        "def hook(inactive, inactive_limit, server):\n"
        f"    return server['full_name'] == '{LAST}/'\n"
        "c.IdleCuller.cull_arbiter_hook = hook\n"
    )
    return Scene(
        users=lambda: [record("inactive"), record(LAST, servers={"": server()})],
        options=("--timeout=3600", "--cull-users=true", "--config=culler.py"),
        files={"culler.py": hook},
        last=False,
        hub={"scopes": ADMIN_SCOPES},
        until_theirs=last_deleted,
        until_ours=users_done,
    )


@pytest.fixture
def pair() -> Pair:
    """Both at `everybody`, each through with all of it."""
    return side_by_side(everybody)


@pytest.mark.parity("1a.cull_users")
@pytest.mark.parity("1e.2")
@pytest.mark.parity("1e.3")
def test_inactive_users_are_deleted(pair: Pair) -> None:
    """Without activity, since their record was made; without any time never."""
    for name in ("inactive", "never-seen"):
        assert pair.same(name) == [remove(name)]
    for name in ("active", "never-seen-young", "no-times"):
        assert pair.same(name) == []


@pytest.mark.parity("1a.cull_admin_users")
@pytest.mark.parity("1e.3")
def test_admins_are_users() -> None:
    """Unless they are protected."""
    assert side_by_side(everybody).same("admin") == [remove("admin")]
    protected = side_by_side(old_ones)
    assert protected.same("admin") == []
    assert protected.same("inactive") == [remove("inactive")]


@pytest.mark.parity("1e.1")
def test_who_has_a_server_stays(pair: Pair) -> None:
    """One in use, one that is stopping, slow to stop or can not be stopped, one of two."""
    for name in ("at-work", "stopping"):
        assert pair.same(name) == []
    for name in ("half", "slow-server", "stuck-server"):
        assert pair.same(name) == [stop(name)]
    assert pair.same("inactive") == [remove("inactive")]


@pytest.mark.parity(
    "1e.1",
    differs="L11",
    reason="a stop is its user's activity: the user is due a timeout later, not at once",
)
def test_whose_server_was_just_stopped_is_not_inactive(pair: Pair) -> None:
    """That is what the Hub says after the stop; theirs goes by what it said before."""
    for name in ("idle-server", LAST):
        assert pair.differ(name) == ([remove(name), stop(name)], [stop(name)])


@pytest.mark.parity("1e.unreadable")
def test_a_user_whose_times_can_not_be_read_stays(pair: Pair) -> None:
    assert pair.same("unreadable") == []
    assert pair.same("inactive") == [remove("inactive")]


@pytest.mark.parity("1e.5", differs="D7", reason="the name is quoted: the user who is meant is deleted")
def test_the_user_who_is_meant_is_deleted(pair: Pair) -> None:
    """Theirs deletes q, who is active, for `q?x#y`; a name with a blank it can not send at all."""
    assert pair.theirs.hub.users != pair.ours.hub.users
    assert [each.path for each in pair.theirs.of("q")] == ["/users/q?x"]
    assert pair.ours.of("q") == []
    assert "q" not in {each["name"] for each in pair.theirs.hub.users}
    assert "q" in {each["name"] for each in pair.ours.hub.users}
    assert pair.ours.of("q%3Fx%23y") == [remove("q%3Fx%23y")]
    assert pair.ours.of("a%20b") == [remove("a%20b")]
    assert {"a b", "q?x#y"} <= {each["name"] for each in pair.theirs.hub.users}


@pytest.mark.parity("1e.5")
def test_a_refused_deletion_is_not_repeated_and_the_others_follow(pair: Pair) -> None:
    """Not in this cycle."""
    assert pair.same("refused") == [remove("refused")]
    assert "Error processing refused" in pair.theirs.log
    assert "delete user=refused result=failed" in pair.ours.log
    assert pair.same("inactive") == [remove("inactive")]


@pytest.mark.parity("1e.4")
def test_max_age_deletes_old_records() -> None:
    """However active their users are; not of unknown age, and not with a server."""
    pair = side_by_side(old_ones)
    assert pair.same("old") == [remove("old")]
    for name in ("young", "unknown-age", "old-at-work"):
        assert pair.same(name) == []


@pytest.mark.parity("1e.4", differs="D6", reason="it does not override the protection of admins")
def test_max_age_does_not_override_the_protection_of_admins() -> None:
    """Theirs deletes an old record, admin or not."""
    pair = side_by_side(old_ones)
    assert pair.differ("old-admin") == ([remove("old-admin")], [])
    assert pair.same("old") == [remove("old")]


@pytest.mark.parity("1e.6")
def test_the_hook_is_not_asked_about_users() -> None:
    """A hook that says no to every server of theirs does not keep a user."""
    pair = side_by_side(hooked)
    assert pair.same("inactive") == [remove("inactive")]
    assert pair.ours.of(LAST) == [stop(LAST)]
    assert stop(LAST) in pair.theirs.of(LAST)


@pytest.mark.parity("1c.3")
def test_users_without_a_server_are_listed_first() -> None:
    """By `state=inactive`, and all pages before the first deletion."""
    for run in side_by_side(old_ones):
        lists = [each.path for each in run.hub.requests if each.path.startswith("/users?")]
        assert sorted("state=inactive" in path for path in lists) == [False, True]
        first = run.hub.requests.index(run.hub.deletes[0])
        assert not any(each.path.startswith("/users?") for each in run.hub.requests[first:])


@pytest.mark.parity(
    "1c.3", differs="L12", reason="by how long they are inactive, from JupyterHub 5 on: only who can be due"
)
def test_who_can_not_be_due_is_not_listed() -> None:
    """Theirs lists 500 users in ten pages, ours one page; the one who is due is on it."""
    pair = side_by_side(many_active)
    lists = [
        [each.path for each in run.hub.requests if "state=inactive" in each.path]
        for run in (pair.theirs, pair.ours)
    ]
    assert [len(each) for each in lists] == [10, 1]
    assert "sort=last_activity" in lists[1][0]
    assert pair.same("u400") == [remove("u400")]


def many_active() -> Scene:
    """Have 500 users without a server, one of whom has been away for long."""
    return Scene(
        users=lambda: [
            *(record(f"u{n}", idle=2 * HOUR if n == 400 else 60.0 + n) for n in range(500)),
            record(LAST, servers={"": server()}),
        ],
        options=("--timeout=3600", "--cull-users=true", "--api-page-size=50"),
        last=False,
        hub={"scopes": ADMIN_SCOPES},
        until_theirs=last_deleted,
        until_ours=users_done,
    )


def without_scope() -> Scene:
    """Have the four scopes of the README only."""
    return Scene(
        users=lambda: [record("inactive", idle=None), record(LAST, servers={"": server()})],
        options=("--timeout=3600", "--cull-users=true"),
        last=False,
        hub={"script": {"DELETE /users/inactive": Reply(403), f"DELETE /users/{LAST}": Reply(403)}},
        until_theirs=last_deleted,
        until_ours=users_done,
    )


@pytest.mark.parity(
    "1g.users", differs="L4", reason="what is missing is named; servers are stopped all the same"
)
def test_a_missing_scope_is_named_before_anything_is_tried() -> None:
    """Theirs is refused for every user."""
    pair = side_by_side(without_scope)
    assert pair.differ("inactive") == ([remove("inactive")], [])
    assert pair.ours.of(LAST) == [stop(LAST)]
    assert "scope delete:users is missing" in pair.ours.log


@pytest.mark.parity("1g.users")
def test_admin_users_is_enough_to_delete_users(pair: Pair) -> None:
    """The state was recorded with it; the Hub asks for `delete:users`, which is part of it."""
    assert "delete:users" in pair.ours.hub.scopes
    assert pair.same("inactive") == [remove("inactive")]
