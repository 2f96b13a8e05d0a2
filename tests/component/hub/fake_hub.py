"""A JupyterHub for tests: the part of its REST API that hubcull uses, with a script for what goes wrong.

Shapes, statuses and oddities are those of JupyterHub 6.1.1, seen on a live one::

    hub = FakeHub()
    hub.add_server("alice", started=..., last_activity=...)        # her default server
    hub.add_server("bob", "gpu", pending="stop", ready=False)
    hub.tokens["t1"] = server_token("alice", "")                    # what GET /user answers to it
    hub.script_stop("alice", "", 202, takes=0.1)                    # slow: 202, gone after 0.1 s
    hub.script("GET", "/users/bob", Fault(status=500), times=2)     # or delay=..., drop=True, body=...
    async with hub.serve() as url:                                  # http://127.0.0.1:<port>/hub/api
        async with HubApi(url, hub.token) as api:
            ...
    assert hub.count("DELETE") == 1                                 # hub.requests has each in full

The world may change at any time: `add_server` also restarts, `remove_server` stops, and `hub.on_request`, if
set, is called before each answer, which is how a test gets in between a look and a stop.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from aiohttp.test_utils import TestServer

LONG_AGO = datetime(2026, 1, 1, tzinfo=timezone.utc)
ALL_SCOPES = ("list:users", "read:servers", "delete:servers", "read:users:groups")
USER_SCOPES = (*ALL_SCOPES, "read:users", "read:users:activity", "delete:users")
_PAGED = "application/jupyterhub-pagination+json"
_MAX_LIMIT, _DEFAULT_LIMIT = 200, 50


@dataclass(frozen=True)
class Seen:
    """One request as it came in: ``path`` below the API with its quoting, ``query`` as name to value."""

    method: str
    path: str
    query: dict[str, str]
    authorization: str | None
    accept: str | None
    body: bytes


@dataclass(frozen=True)
class Fault:
    """What to do instead of answering: wait ``delay`` s, then cut the line, or answer ``status``.

    A fault with only a ``delay`` answers properly, later. ``body`` is sent as it is; None is the Hub's own
    JSON for that status. With ``obey`` the Hub does what was asked before it cuts the line.
    """

    delay: float = 0.0
    drop: bool = False
    obey: bool = False
    status: int | None = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeServer:
    """One running or pending server. ``started`` and ``last_activity`` are shown as the Hub writes them."""

    started: datetime | str | None = LONG_AGO
    last_activity: datetime | str | None = LONG_AGO
    ready: bool = True
    pending: str | None = None


@dataclass
class FakeUser:
    """One user with the servers that run; a server that stops is taken out, its name is remembered."""

    groups: list[str] = field(default_factory=list)
    admin: bool = False
    created: datetime | str | None = LONG_AGO
    last_activity: datetime | str | None = LONG_AGO
    servers: dict[str, FakeServer] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)


@dataclass
class _Stops:
    """The scripted answers to DELETE of one server; the last one is repeated."""

    answers: list[int]
    takes: float | None


def server_token(
    user: str, server: str = "", *, groups: Iterable[str] = (), admin: bool = False
) -> dict[str, Any]:
    """Return what the Hub says of the token that it gave to this server."""
    return {
        "kind": "user",
        "name": user,
        "admin": admin,
        "groups": list(groups),
        "session_id": None,
        "scopes": [
            f"access:servers!server={user}/{server}",
            f"read:users:name!user={user}",
            f"users:activity!user={user}",
        ],
    }


def service_token(name: str = "hubcull", scopes: Iterable[str] = ALL_SCOPES) -> dict[str, Any]:
    """Return what the Hub says of a service's token."""
    return {"kind": "service", "name": name, "admin": False, "session_id": None, "scopes": list(scopes)}


class FakeHub:
    """See the module. ``tokens`` maps a token to its `GET /user` model; its scopes are enforced."""

    def __init__(self, *, version: str = "6.1.1") -> None:
        self.version = version
        self.token = "hubcull-token"
        self.tokens: dict[str, dict[str, Any]] = {self.token: service_token()}
        self.users: dict[str, FakeUser] = {}
        self.requests: list[Seen] = []
        self.peak: Counter[str] = Counter()
        """Most requests at once, by method."""
        self.on_request: Callable[[Seen], Awaitable[None] | None] | None = None
        self.clock: Callable[[], datetime] | None = None
        """If set, a stop is activity of its user at this time, as it is at the Hub."""
        self._open: Counter[str] = Counter()
        self._faults: list[tuple[str, str, Fault, list[None]]] = []
        self._stops: dict[tuple[str, str], _Stops] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- the world ----------------------------------------------------------------------------------

    def add_user(
        self,
        user: str,
        *,
        groups: Iterable[str] = (),
        admin: bool = False,
        created: datetime | str | None = LONG_AGO,
        last_activity: datetime | str | None = LONG_AGO,
    ) -> FakeUser:
        """Add a user without servers, or change one."""
        entry = self.users.setdefault(user, FakeUser())
        entry.groups, entry.admin = list(groups), admin
        entry.created, entry.last_activity = created, last_activity
        return entry

    def add_server(
        self,
        user: str,
        server: str = "",
        *,
        started: datetime | str | None = LONG_AGO,
        last_activity: datetime | str | None = LONG_AGO,
        ready: bool = True,
        pending: str | None = None,
    ) -> FakeServer:
        """Start a server (of a new user, if need be), or put another incarnation in its place."""
        entry = self.users.setdefault(user, FakeUser())
        entry.known.add(server)
        entry.servers[server] = FakeServer(started, last_activity, ready, pending)
        return entry.servers[server]

    def remove_server(self, user: str, server: str = "") -> None:
        """Stop a server without anybody's asking; its name stays known, as the Hub's database does it."""
        self.users[user].servers.pop(server, None)

    def is_running(self, user: str, server: str = "") -> bool:
        """Say whether the server is there, ready or not."""
        return user in self.users and server in self.users[user].servers

    def script_stop(self, user: str, server: str, *answers: int, takes: float | None = 0.05) -> None:
        """Answer DELETE of this server so, one after the other; the last answer is repeated.

        204 stops it, 202 begins a stop that is done after ``takes`` s (None: never), 404 says it is not
        there and takes it away, anything else (500) leaves it running. Unscripted servers answer 204.
        """
        self._stops[user, server] = _Stops(list(answers), takes)

    def script(self, method: str, path: str, fault: Fault, *, times: int = 1) -> None:
        """Meet the next ``times`` requests with this method, and a path that begins so, with ``fault``."""
        self._faults.append((method, path, fault, [None] * times))

    def clear_faults(self) -> None:
        """Drop the faults that nothing has met yet."""
        self._faults.clear()

    # -- what was asked -----------------------------------------------------------------------------

    def count(self, method: str, path: str = "") -> int:
        """Return how many requests of this method came in, for paths that begin so."""
        return sum(seen.method == method and seen.path.startswith(path) for seen in self.requests)

    # -- the server ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def serve(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """Serve on a free port of the loopback, with TLS if told how; the value is the API's URL."""
        app = web.Application()
        app.router.add_route("*", "/hub/api{path:.*}", self._handle)
        server = TestServer(app)
        await server.start_server(ssl=tls)
        async with server:
            try:
                yield str(server.make_url("/hub/api"))
            finally:
                for task in list(self._tasks):
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(
            method=request.method,
            path=request.rel_url.raw_path.removeprefix("/hub/api"),
            query=dict(request.query),
            authorization=request.headers.get("Authorization"),
            accept=request.headers.get("Accept"),
            body=await request.read(),
        )
        self.requests.append(seen)
        self._open[seen.method] += 1
        self.peak[seen.method] = max(self.peak[seen.method], self._open[seen.method])
        # A Hub goes on with what it was asked when the caller gives up.
        task = asyncio.create_task(self._reply(request, seen))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _reply(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        try:
            met = await self._meet_fault(request, seen)
            return await self._answer(seen) if met is None else met
        finally:
            self._open[seen.method] -= 1

    async def _meet_fault(self, request: web.Request, seen: Seen) -> web.StreamResponse | None:
        for method, path, fault, left in self._faults:
            if method == seen.method and seen.path.startswith(path) and left:
                left.pop()
                await asyncio.sleep(fault.delay)
                if fault.obey:
                    await self._answer(seen)
                if fault.drop and request.transport is not None:
                    request.transport.abort()
                if fault.drop:
                    return web.Response(status=500)
                if fault.status is not None:
                    return _raw(fault)
                return None
        return None

    async def _answer(self, seen: Seen) -> web.Response:
        if self.on_request is not None:
            waiting = self.on_request(seen)
            if waiting is not None:
                await waiting
        if seen.path in ("", "/"):
            return web.json_response({"version": self.version})
        caller = self.tokens.get((seen.authorization or "").partition(" ")[2])
        if caller is None:
            return _refusal(403, None)
        parts = [unquote(part) for part in seen.path.strip("/").split("/")]
        if seen.method == "GET" and parts == ["user"]:
            return web.json_response(caller)
        if parts[0] != "users":
            return _refusal(404, "Not Found")
        if seen.method == "DELETE" and len(parts) == 2:
            return self._delete(caller, parts[1])
        if seen.method == "DELETE" and len(parts) >= 3:
            return await self._stop(caller, parts[1], parts[3] if len(parts) > 3 else "")
        if seen.method != "GET" or len(parts) > 2:
            return _refusal(404, "Not Found")
        return self._read(caller, parts[1]) if len(parts) == 2 else self._list(caller, seen)

    # -- answers ------------------------------------------------------------------------------------

    def _list(self, caller: dict[str, Any], seen: Seen) -> web.Response:
        """Page first and filter for ``state=ready`` after, as the Hub does: pages may come out short."""
        if not _may(caller, "list:users"):
            return _lacks("list:users")
        state = seen.query.get("state")
        names = [
            name
            for name, user in self.users.items()
            if state is None or bool(user.servers) is (state in ("ready", "active"))
        ]
        if seen.query.get("sort") == "last_activity" and int(self.version.partition(".")[0]) >= 5:
            names.sort(key=lambda name: _timestamp(self.users[name].last_activity) or "")
        paged = seen.accept == _PAGED
        limit = int(seen.query.get("limit", _DEFAULT_LIMIT if paged else _MAX_LIMIT))
        limit = max(1, min(limit, _MAX_LIMIT))
        offset = int(seen.query.get("offset", 0))
        page = names[offset : offset + limit]
        if state == "ready":
            page = [name for name in page if any(s.ready for s in self.users[name].servers.values())]
        items = [self._model(caller, name) for name in page]
        if not paged:
            return web.json_response(items)
        following = None
        if offset + limit < len(names):
            elsewhere = f"https://hub.invalid/hub/api/users?offset={offset + limit}&limit={limit}"
            following = {"offset": offset + limit, "limit": limit, "url": elsewhere}
        paging = {"offset": offset, "limit": limit, "total": len(names), "next": following}
        return web.json_response({"items": items, "_pagination": paging})

    def _read(self, caller: dict[str, Any], name: str) -> web.Response:
        if not _may(caller, "read:servers") and not _may(caller, "list:users"):
            return _lacks("read:users, read:servers")
        if name not in self.users:
            return _refusal(404, "Not Found")
        return web.json_response(self._model(caller, name))

    def _model(self, caller: dict[str, Any], name: str) -> dict[str, Any]:
        user = self.users[name]
        model: dict[str, Any] = {"kind": "user", "name": name}
        if _may(caller, "list:users"):
            model["admin"] = user.admin
        if _may(caller, "read:users:activity"):
            model["last_activity"] = _timestamp(user.last_activity)
        if _may(caller, "read:users"):
            default = user.servers.get("")
            model["created"] = _timestamp(user.created)
            model["server"] = f"/user/{name}/" if default is not None and default.ready else None
            model["pending"] = None if default is None else default.pending
        if _may(caller, "read:users:groups"):
            model["groups"] = user.groups
        if _may(caller, "read:servers"):
            model["servers"] = {
                server: _server(name, server, entry) for server, entry in user.servers.items()
            }
        return model

    def _delete(self, caller: dict[str, Any], name: str) -> web.Response:
        """Delete a user as the Hub does: a ready default server is stopped first, others are in the way."""
        if not _may(caller, "delete:users"):
            return _lacks("delete:users")
        user = self.users.get(name)
        if user is None:
            return _refusal(404, "Not Found")
        default = user.servers.get("")
        if default is not None and default.pending == "stop":
            return _refusal(400, f"{name}'s server is in the process of stopping, please wait.")
        if default is not None and default.ready:
            del user.servers[""]
        if user.servers:
            return _refusal(500, "Internal Server Error")
        del self.users[name]
        return web.Response(status=204)

    async def _stop(self, caller: dict[str, Any], name: str, server: str) -> web.Response:
        if not _may(caller, "delete:servers"):
            return _lacks("delete:servers")
        user = self.users.get(name)
        if user is None or (server and server not in user.known):
            return _refusal(404, f"{name} has no server named '{server}'")
        entry = user.servers.get(server)
        if entry is None:
            return web.Response(status=204)
        if entry.pending == "stop":
            return web.Response(status=202)
        script = self._stops.get((name, server), _Stops([204], None))
        answer = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
        if answer in (204, 404):
            self._forget(user, server)
        if answer == 202:
            entry.pending, entry.ready = "stop", False
            if script.takes is not None:
                task = asyncio.create_task(self._finish(user, server, entry, script.takes))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        return web.Response(status=answer) if answer < 300 else _refusal(answer, "scripted")

    async def _finish(self, user: FakeUser, server: str, entry: FakeServer, takes: float) -> None:
        await asyncio.sleep(takes)
        if user.servers.get(server) is entry:
            self._forget(user, server)

    def _forget(self, user: FakeUser, server: str) -> None:
        del user.servers[server]
        if self.clock is not None:
            user.last_activity = self.clock()


def _server(user: str, name: str, entry: FakeServer) -> dict[str, Any]:
    return {
        "name": name,
        "full_name": f"{user}/{name}",
        "started": _timestamp(entry.started),
        "last_activity": _timestamp(entry.last_activity),
        "pending": entry.pending,
        "ready": entry.ready,
        "stopped": False,
        "user_options": {},
        "progress_url": f"/hub/api/users/{user}/server/progress",
    }


def _timestamp(time: datetime | str | None) -> str | None:
    """Write a time as the Hub does; text stays as it is, for times that can not be read."""
    if not isinstance(time, datetime):
        return time
    return time.astimezone(timezone.utc).replace(tzinfo=None).isoformat() + "Z"


def _may(caller: dict[str, Any], scope: str) -> bool:
    """Say whether the caller holds the scope, filtered or not; filters are not applied."""
    return any(held.partition("!")[0] == scope for held in caller["scopes"])


def _refusal(status: int, message: str | None) -> web.Response:
    return web.json_response({"status": status, "message": message}, status=status)


def _lacks(scope: str) -> web.Response:
    return _refusal(403, f"Action is not authorized with current scopes; requires any of [{scope}]")


def _raw(fault: Fault) -> web.Response:
    status = fault.status or 500
    body = fault.body
    if body is None and status >= 300:
        body = json.dumps({"status": status, "message": "scripted"}).encode()
    return web.Response(status=status, body=body, headers=fault.headers)
