"""The client of the Hub's REST API, against a made-up Hub on a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone

import pytest
from aiohttp import ClientSession

from hubcull_hub.hub_answers import (
    HubAnswerError,
    HubError,
    HubRefusedError,
    HubTimeoutError,
    HubUnreachableError,
    MissingScopeError,
    StopAnswer,
    TokenOwner,
    read_time,
)
from hubcull_hub.hub_api import HubApi
from hubcull_hub.model import ServerKey
from tests.component.hub.fake_hub import FakeHub, Fault, server_token, service_token

ALICE = ServerKey("alice", "")
STARTED = datetime(2026, 3, 1, 12, 0, 0, 250000, tzinfo=timezone.utc)
Case = Callable[[FakeHub, HubApi], Awaitable[None]]


def against_hub(*, page_size: int = 200, time_limit: float = 5.0) -> Callable[[Case], Callable[[], None]]:
    """Run an async case with a fake Hub and a client of it, as a plain test."""

    def decorate(case: Case) -> Callable[[], None]:
        async def run() -> None:
            hub = FakeHub()
            async with (
                hub.serve() as url,
                HubApi(url, hub.token, page_size=page_size, time_limit=time_limit) as api,
            ):
                await case(hub, api)

        def test() -> None:
            asyncio.run(run())

        test.__doc__ = case.__doc__
        return test

    return decorate


async def until_stopped(hub: FakeHub, user: str, server: str = "") -> None:
    """Wait, 20 s at most, until the server is gone."""
    for _ in range(2000):
        if not hub.is_running(user, server):
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{user}/{server} still runs")


@against_hub()
async def test_version_needs_no_scope(hub: FakeHub, api: HubApi) -> None:
    """The Hub's version is read at the API's root, whatever the token may do."""
    hub.tokens.clear()
    assert await api.version() == "6.1.1"


@against_hub(page_size=2)
async def test_all_pages_are_walked_by_offset(hub: FakeHub, api: HubApi) -> None:
    """Short pages do not end a listing, and ``next.url``, which leads elsewhere, is not used."""
    for number in range(7):
        hub.add_server(f"u{number}", ready=number not in (2, 3))  # the second page comes out empty
    states = await api.list_servers()
    assert [state.key.user for state in states] == ["u0", "u1", "u4", "u5", "u6"]
    assert [seen.query["offset"] for seen in hub.requests] == ["0", "2", "4", "6"]
    assert all(seen.query["state"] == "ready" and seen.query["limit"] == "2" for seen in hub.requests)


@against_hub(page_size=0)
async def test_page_size_zero_is_the_hubs_default(hub: FakeHub, api: HubApi) -> None:
    """With page size 0 no limit is sent (the Hub takes 0 for 1), and all pages are read all the same."""
    for number in range(60):
        hub.add_server(f"u{number}")
    assert len(await api.list_servers()) == 60
    assert len(hub.requests) == 2
    assert all("limit" not in seen.query for seen in hub.requests)


@against_hub(page_size=1)
async def test_user_met_twice_counts_once_as_last_seen(hub: FakeHub, api: HubApi) -> None:
    """When offsets shift and a user comes up again, the later page holds."""
    hub.add_server("alice")
    hub.add_server("bob")

    def shift(_: object) -> None:
        if len(hub.requests) == 2:  # alice moves to the second place between the pages, restarted
            del hub.users["alice"]
            hub.add_server("alice", started=STARTED)

    hub.on_request = shift
    states = await api.list_servers()
    assert [(state.key, state.started) for state in states] == [(ALICE, STARTED)]


@against_hub()
async def test_servers_are_told_apart_and_carry_their_users_facts(hub: FakeHub, api: HubApi) -> None:
    """Default, named and pending servers each have a state of their own, with their user's groups."""
    hub.add_user("alice", groups=["gpu"], admin=True)
    hub.add_server("alice", started=STARTED, last_activity=STARTED)
    hub.add_server("alice", "gpu", ready=False, pending="spawn", started=None)
    default, named = await api.list_servers()
    assert (default.key, default.ready, default.pending) == (ALICE, True, None)
    assert (default.started, default.last_activity) == (STARTED, STARTED)
    assert (named.key, named.ready, named.pending) == (ServerKey("alice", "gpu"), False, "spawn")
    assert named.started is None
    assert default.groups == named.groups == {"gpu"}
    assert default.admin


@against_hub()
async def test_damaged_time_is_unknown_for_that_field_only(hub: FakeHub, api: HubApi) -> None:
    """A timestamp that can not be read is None, and the other servers are listed with theirs."""
    hub.add_server("alice", started="yesterday", last_activity=STARTED)
    hub.add_server("bob", started=STARTED)
    alice, bob = await api.list_servers()
    assert (alice.started, alice.last_activity) == (None, STARTED)
    assert bob.started == STARTED


@against_hub()
async def test_time_that_is_not_shown_is_unknown(hub: FakeHub, api: HubApi) -> None:
    """A Hub that says null says that there is none; one that says nothing says nothing."""
    times = {"started": "2026-03-01T12:00:00Z", "last_activity": None}
    servers = {"": {"ready": True, **times}, "gpu": {"ready": True, "started": times["started"]}}
    hub.script(
        "GET",
        "/users/alice",
        Fault(status=200, body=json.dumps({"name": "alice", "servers": servers}).encode()),
    )
    default, named = await api.read_user("alice")
    assert default.readable
    assert not named.readable


@against_hub()
async def test_missing_read_servers_is_an_error(hub: FakeHub, api: HubApi) -> None:
    """Users shown without servers are a missing scope, never users without servers."""
    hub.add_server("alice")
    hub.tokens[hub.token] = service_token(scopes=["list:users"])
    with pytest.raises(MissingScopeError, match="read:servers"):
        await api.list_servers()
    with pytest.raises(MissingScopeError, match="read:servers"):
        await api.read_user("alice")


@against_hub()
async def test_refusal_repeats_the_hubs_words(hub: FakeHub, api: HubApi) -> None:
    """A 403 names the scope that the Hub asks for."""
    hub.tokens[hub.token] = service_token(scopes=["read:servers"])
    hub.add_server("alice")
    with pytest.raises(HubRefusedError, match="list:users"):
        await api.list_servers()
    with pytest.raises(HubRefusedError, match="delete:servers"):
        await api.stop(ALICE)


@against_hub()
async def test_listing_that_is_not_paged_is_an_error(hub: FakeHub, api: HubApi) -> None:
    """A bare list, or a page that leads nowhere, may be cut off: it is never taken for the whole."""
    for body in (
        b"[]",
        b'{"items": []}',
        b'{"items": [], "_pagination": {"next": {"offset": 0}}}',
        b'{"items": [3], "_pagination": {"next": null}}',
    ):
        hub.script("GET", "/users", Fault(status=200, body=body))
        with pytest.raises(HubAnswerError):
            await api.list_servers()


@against_hub()
async def test_reading_one_user_and_one_server(hub: FakeHub, api: HubApi) -> None:
    """One read answers for all servers of a user; who is unknown or stopped has none."""
    hub.add_server("zoë s@x!y=z", "gpu", started=STARTED)
    hub.add_user("bob")
    key = ServerKey("zoë s@x!y=z", "gpu")
    state = await api.read_server(key)
    assert state is not None
    assert (state.key, state.started) == (key, STARTED)
    assert hub.requests[0].path == "/users/zo%C3%AB%20s%40x%21y%3Dz"
    assert await api.read_server(ServerKey("zoë s@x!y=z", "")) is None
    assert await api.read_user("bob") == []
    assert await api.read_user("nobody") == []


@against_hub()
async def test_name_with_a_slash_stays_one_name(hub: FakeHub, api: HubApi) -> None:
    """A slash in a name is sent quoted, so that no name can point at another address."""
    assert await api.stop(ServerKey("a/../b", "x/y")) is StopAnswer.GONE
    assert hub.requests[0].path == "/users/a%2F..%2Fb/servers/x%2Fy"


@against_hub()
async def test_stop_tells_done_slow_and_gone_apart(hub: FakeHub, api: HubApi) -> None:
    """204, 202 and 404 are three answers; no body is sent, so that no server is removed."""
    hub.add_server("alice")
    hub.add_server("alice", "gpu")
    hub.script_stop("alice", "gpu", 202, takes=None)
    assert await api.stop(ALICE) is StopAnswer.STOPPED
    assert await api.stop(ALICE) is StopAnswer.STOPPED  # not running any more: as good as stopped
    gpu = ServerKey("alice", "gpu")
    assert await api.stop(gpu) is StopAnswer.STOPPING
    pending = await api.read_server(gpu)
    assert pending is not None
    assert (pending.ready, pending.pending) == (False, "stop")
    assert await api.stop(gpu) is StopAnswer.STOPPING
    hub.remove_server("alice", "gpu")
    assert await api.read_server(gpu) is None
    assert await api.stop(ServerKey("alice", "other")) is StopAnswer.GONE
    assert [seen.path for seen in hub.requests if seen.method == "DELETE"][:3] == [
        "/users/alice/server",
        "/users/alice/server",
        "/users/alice/servers/gpu",
    ]
    assert all(seen.body == b"" for seen in hub.requests)


@against_hub()
async def test_only_a_named_server_is_removed(hub: FakeHub, api: HubApi) -> None:
    """By a body of JSON; the Hub refuses to remove a default server, so that is not asked for."""
    hub.add_server("alice")
    hub.add_server("alice", "gpu")
    await api.stop(ServerKey("alice", "gpu"), remove=True)
    await api.stop(ALICE, remove=True)
    assert [seen.body for seen in hub.requests] == [b'{"remove": true}', b""]


@against_hub()
async def test_failed_stop_is_an_error_with_its_status(hub: FakeHub, api: HubApi) -> None:
    """A 500 is neither stopped nor gone."""
    hub.add_server("alice")
    hub.script_stop("alice", "", 500, 204)
    with pytest.raises(HubAnswerError) as caught:
        await api.stop(ALICE)
    assert caught.value.status == 500
    assert hub.is_running("alice")
    assert await api.stop(ALICE) is StopAnswer.STOPPED


@against_hub()
async def test_stop_is_sent_once_when_the_line_breaks(hub: FakeHub, api: HubApi) -> None:
    """A DELETE whose connection broke is not repeated: its user may have started another server since."""
    hub.add_server("alice")

    def restart(_: object) -> None:
        if not hub.is_running("alice"):
            hub.add_server("alice", started=STARTED)

    await api.read_user("alice")  # so that the connection is one that was used before
    hub.script("DELETE", "/users/alice", Fault(drop=True, obey=True))
    hub.on_request = restart
    with pytest.raises(HubUnreachableError):
        await api.stop(ALICE)
    assert hub.count("DELETE") == 1
    assert await api.version() == "6.1.1"
    assert hub.is_running("alice")  # the new one


@against_hub(time_limit=0.1)
async def test_slow_hub_ends_in_a_timeout(hub: FakeHub, api: HubApi) -> None:
    """Every call has a time limit; a stop that ran out of it may still be carried out."""
    hub.add_server("alice")
    for method in ("GET", "DELETE"):
        hub.script(method, "/users/alice", Fault(delay=0.2))
    with pytest.raises(HubTimeoutError):
        await api.read_user("alice")
    with pytest.raises(HubTimeoutError):
        await api.stop(ALICE)
    await until_stopped(hub, "alice")


def test_nobody_there_is_unreachable() -> None:
    """A refused connection is an unreachable Hub."""

    async def case() -> None:
        hub = FakeHub()
        async with hub.serve() as url:
            pass
        async with HubApi(url, hub.token) as api:
            with pytest.raises(HubUnreachableError):
                await api.version()

    asyncio.run(case())


@against_hub()
async def test_only_json_is_the_hub_speaking(hub: FakeHub, api: HubApi) -> None:
    """A proxy's own 403, 404, redirect or welcome page says nothing about tokens and servers."""
    page = b"<html>no</html>"
    foreign = b'{"message": "no route matched"}'
    for fault in (
        Fault(status=403, body=page),
        Fault(status=404, body=page),
        Fault(status=404, body=foreign),
        Fault(status=200, body=page),
        Fault(status=302, body=page, headers={"Location": "/hub/login"}),
    ):
        hub.add_server("alice")
        for call in (api.read_user("alice"), api.token_owner("x"), api.stop(ALICE)):
            hub.script("GET", "/user", fault)
            hub.script("DELETE", "/users", fault)
            with pytest.raises(HubAnswerError):
                await call
    assert hub.is_running("alice")
    assert hub.count("GET", "/login") == 0


@against_hub()
async def test_token_owner_is_asked_with_that_token(hub: FakeHub, api: HubApi) -> None:
    """The Hub is asked as the token's owner, not as the service; what it does not know is None."""
    hub.tokens["t1"] = server_token("alice", "gpu", groups=["g"], admin=True)
    assert await api.token_owner("t1") == TokenOwner(
        kind="user",
        name="alice",
        scopes=frozenset(hub.tokens["t1"]["scopes"]),
        session_id=None,
        groups=frozenset({"g"}),
        admin=True,
    )
    assert hub.requests[0].authorization == "token t1"
    assert await api.token_owner("junk") is None
    own = await api.token_owner(hub.token)
    assert own is not None
    assert own.kind == "service"


@against_hub()
async def test_token_that_fits_no_header_is_unknown(hub: FakeHub, api: HubApi) -> None:
    """What can be no token is not sent to the Hub at all."""
    for token in ("", "a b", "a\nX: y", "ü", "a\x00"):
        assert await api.token_owner(token) is None
    assert hub.requests == []


@against_hub()
async def test_no_token_in_any_error(hub: FakeHub, api: HubApi) -> None:
    """No error, and nothing that it was raised from, shows the service's token or the caller's."""
    secret = "caller-secret"
    hub.tokens["service-secret"] = hub.tokens.pop(hub.token)
    async with HubApi(api._base, "service-secret", time_limit=1.0) as secretive:
        for fault in (Fault(drop=True), Fault(delay=2.0), Fault(status=500), Fault(status=403, body=b"no")):
            hub.clear_faults()
            hub.script("GET", "/user", fault, times=2)  # newer aiohttp repeats a GET
            with pytest.raises(HubError) as caught:
                await secretive.token_owner(secret)
            assert fault.drop == isinstance(caught.value, HubUnreachableError)
            error: BaseException | None = caught.value
            while error is not None:
                assert "secret" not in f"{error} {error!r}"
                error = error.__cause__ or error.__context__
        assert "secret" not in repr(secretive)


@against_hub()
async def test_session_that_was_passed_in_stays_open(hub: FakeHub, api: HubApi) -> None:
    """Who brings a session closes it."""
    async with ClientSession() as session:
        async with HubApi(api._base, hub.token, session=session) as guest:
            assert await guest.version() == "6.1.1"
        assert not session.closed


@against_hub()
async def test_requests_are_counted_by_kind(hub: FakeHub, api: HubApi) -> None:
    """The counts tell what the Hub is asked for."""
    await api.version()
    await api.list_servers()
    await api.read_user("alice")
    await api.token_owner("junk")
    await api.stop(ALICE)
    assert api.requests == {"version": 1, "list": 1, "user": 1, "token": 1, "stop": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T12:00:00.250000Z", STARTED),
        ("2026-03-01T12:00:00.250000", STARTED),
        ("2026-03-01T14:00:00.250000+02:00", STARTED),
        ("2026-03-01T12:00:00Z", STARTED.replace(microsecond=0)),
        ("0001-01-01T00:00:00+23:00", None),
        ("never", None),
        ("", None),
        (None, None),
        (1772366400, None),
    ],
)
def test_read_time(text: object, expected: datetime | None) -> None:
    """The Hub's times are UTC unless they say otherwise; what can not be read is unknown."""
    assert read_time(text) == expected
