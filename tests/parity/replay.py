"""A Hub that replays a recorded state to one culler, over real HTTP, and writes down what it is asked.

Models are served as they stand in the state, the odd ones too. What the state does not say is a JupyterHub
6.1's: paging, the order of filter and page, the answers to DELETE, the absolute address of the next page.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.parity.states import README_SCOPES, Model, ago, token

TOKEN = "token-of-the-culler-5eb1c2"
_PAGED = "application/jupyterhub-pagination+json"
_MAX_LIMIT, _DEFAULT_LIMIT = 200, 50


class Request(NamedTuple):
    """One request as it came over the wire: ``path`` below the API, with its quoting and its query."""

    method: str
    path: str
    body: bytes = b""


@dataclass
class Timed:
    """A request with the monotonic seconds of its arrival and of its answer, the latter 0 before."""

    request: Request
    at: float
    answered: float = 0.0


@dataclass(frozen=True)
class Reply:
    """A scripted answer: ``after`` seconds, with ``status``; ``obey`` does first what was asked.

    Status 202 on a server's DELETE leaves it stopping for ``takes`` seconds; status 0 cuts the line.
    ``status`` None answers as always.
    """

    status: int | None = None
    after: float = 0.0
    obey: bool = False
    takes: float = 0.3
    times: int | None = None


@dataclass
class ReplayHub:
    """See the module. ``script`` maps ``METHOD path`` to a reply, the beginning of it where a star ends it.

    ``on_request`` is called before each answer and may change the world: it runs in the Hub's own thread.
    ``next_host`` is the scheme and host in the address of the next page, where it is not the Hub's own.
    """

    users: list[Model]
    scopes: tuple[str, ...] = README_SCOPES
    version: str = "6.1.1"
    script: dict[str, Reply] = field(default_factory=dict)
    on_request: Callable[[ReplayHub, Request], None] = lambda _hub, _request: None
    next_host: str | None = None
    requests: list[Request] = field(default_factory=list)
    answered: list[Request] = field(default_factory=list)
    times: list[Timed] = field(default_factory=list)
    strangers: list[str | None] = field(default_factory=list)
    """Authorization headers other than the culler's token."""
    peak: Counter[str] = field(default_factory=Counter)
    """Most requests under way at once, by method."""
    _met: Counter[str] = field(default_factory=Counter)
    _open: Counter[str] = field(default_factory=Counter)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def empty(self) -> bool:
        """Whether no server runs any more."""
        return not any(each["servers"] for each in self.users)

    @property
    def idle(self) -> bool:
        """Whether no server runs any more, and every request is answered."""
        return self.empty and len(self.answered) == len(self.requests)

    @property
    def deletes(self) -> list[Request]:
        """Every DELETE, in the order in which they came."""
        return [request for request in self.requests if request.method == "DELETE"]

    def count(self, method: str, path: str) -> int:
        """Return how many requests came for paths that begin so."""
        return sum(seen.method == method and seen.path.startswith(path) for seen in self.requests)

    def user(self, name: str) -> Model:
        """Return a user's model, to be changed in place."""
        return next(each for each in self.users if each["name"] == name)

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Serve from a thread; the value is the API's URL."""
        ready, done, urls = threading.Event(), threading.Event(), list[str]()

        async def serve() -> None:
            app = web.Application()
            app.router.add_route("*", "/hub/api{path:.*}", self._take)
            async with TestServer(app) as running:
                urls.append(str(running.make_url("/hub/api")))
                ready.set()
                await asyncio.to_thread(done.wait)
                for task in list(self._tasks):
                    task.cancel()

        thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        thread.start()
        if not ready.wait(20):
            raise TimeoutError("the replayed Hub did not start")
        try:
            yield urls[0]
        finally:
            done.set()
            thread.join()

    # -- answering ----------------------------------------------------------------------------------

    async def _take(self, request: web.Request) -> web.StreamResponse:
        seen = Request(request.method, request.raw_path.removeprefix("/hub/api"), await request.read())
        self.requests.append(seen)
        self.times.append(timed := Timed(seen, time.monotonic()))
        given = request.headers.get("Authorization")
        if given != f"token {TOKEN}":
            self.strangers.append(given)
        self._open[seen.method] += 1
        self.peak[seen.method] = max(self.peak[seen.method], self._open[seen.method])
        try:
            self.on_request(self, seen)
            return await self._scripted(request, seen)
        finally:
            self._open[seen.method] -= 1
            timed.answered = time.monotonic()
            self.answered.append(seen)

    async def _scripted(self, request: web.Request, seen: Request) -> web.StreamResponse:
        line = f"{seen.method} {seen.path}"
        for pattern, reply in self.script.items():
            fits = line == pattern or (pattern.endswith("*") and line.startswith(pattern[:-1]))
            if not fits or self._met[pattern] == reply.times:
                continue
            self._met[pattern] += 1
            if reply.status is None:
                return await self._late(request, seen, reply.after)
            await asyncio.sleep(reply.after)
            if reply.status == 202:
                return self._stop_slowly(seen, reply.takes)
            if reply.obey:
                self._answer(request, seen)
            if reply.status == 0 and request.transport is not None:
                request.transport.abort()
            return _refusal(reply.status or 500, "scripted")
        return self._answer(request, seen)

    async def _late(self, request: web.Request, seen: Request, after: float) -> web.Response:
        """Answer as always, but late: meanwhile a server that is to be stopped is stopping."""
        servers, name = self._named(seen) if seen.method == "DELETE" else ({}, "")
        model = servers.get(name)
        if model is not None and model.get("pending") == "stop":
            return web.Response(status=202)
        if model is not None:
            model |= {"pending": "stop", "ready": False}
        await asyncio.sleep(after)
        if model is not None:
            model["pending"] = None
        return self._answer(request, seen)

    def _named(self, seen: Request) -> tuple[dict[str, Model], str]:
        """Return the servers of the user that a path is about, and the name of the server."""
        parts = [unquote(part) for part in seen.path.partition("?")[0].strip("/").split("/")]
        users = [each["servers"] for each in self.users if each["name"] == parts[1]]
        return users[0] if users else {}, parts[3] if len(parts) == 4 else ""

    def _answer(self, request: web.Request, seen: Request) -> web.Response:
        path, _, query = seen.path.partition("?")
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if parts == [""]:
            return web.json_response({"version": self.version})
        if parts == ["user"]:
            return web.json_response({**token(), "scopes": list(self.scopes)})
        if parts == ["users"]:
            return self._list(request, dict(parse_qsl(query)))
        found = next((each for each in self.users if each["name"] == parts[1]), None)
        if parts[0] != "users" or found is None:
            return _refusal(404, None)
        if seen.method == "GET":
            return web.json_response(found) if len(parts) == 2 else _refusal(404, None)
        return self._delete_user(found) if len(parts) == 2 else self._stop(found, parts[2:], seen)

    def _list(self, request: web.Request, query: dict[str, str]) -> web.Response:
        """Page first and look for ready servers after, as the Hub does: pages may come out short."""
        state = query.get("state")
        wanted = {"inactive": False, "active": True, "ready": True}
        users = [u for u in self.users if state is None or bool(u["servers"]) == wanted[state]]
        if query.get("sort", "").strip("-") == "last_activity":
            users.sort(key=lambda u: u["last_activity"] or "", reverse=query["sort"].startswith("-"))
        paged = request.headers.get("Accept") == _PAGED
        limit = min(int(query.get("limit", _DEFAULT_LIMIT if paged else _MAX_LIMIT)), _MAX_LIMIT)
        offset = int(query.get("offset", 0))
        items = users[offset : offset + limit]
        if state == "ready":
            items = [u for u in items if any(s.get("ready") for s in u["servers"].values())]
        if not paged:
            return web.json_response(items)
        after = None
        if offset + limit < len(users):
            there = urlencode({**query, "limit": limit, "offset": offset + limit})
            host = self.next_host or f"http://{request.host}"
            after = {"offset": offset + limit, "limit": limit, "url": f"{host}/hub/api/users?{there}"}
        paging = {"offset": offset, "limit": limit, "total": len(users), "next": after}
        return web.json_response({"items": items, "_pagination": paging})

    def _delete_user(self, user: Model) -> web.Response:
        if any(each.get("pending") == "stop" for each in user["servers"].values()):
            return _refusal(400, f"{user['name']}'s server is in the process of stopping, please wait.")
        self.users.remove(user)
        return web.Response(status=204)

    def _stop(self, user: Model, parts: list[str], seen: Request) -> web.Response:
        known = parts == ["server"] or (parts[0] == "servers" and parts[1:] in [[n] for n in user["servers"]])
        name = "" if parts == ["server"] else parts[-1]
        if not known:
            return _refusal(404, f"{user['name']} has no server named {name!r}")
        if not name and b"remove" in seen.body:
            return _refusal(400, "Cannot delete the default server")
        if user["servers"].get(name, {}).get("pending") == "stop":
            return web.Response(status=202)
        if user["servers"].pop(name, None) is not None:
            user["last_activity"] = ago(0)  # a stop counts as its user's activity
            if not name and "server" in user:
                user["server"] = None
        return web.Response(status=204)

    def _stop_slowly(self, seen: Request, takes: float) -> web.Response:
        servers, name = self._named(seen)
        if name in servers:
            servers[name] |= {"pending": "stop", "ready": False}

        async def finish() -> None:
            await asyncio.sleep(takes)
            servers.pop(name, None)

        task = asyncio.create_task(finish())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return web.Response(status=202)


def _refusal(status: int, message: str | None) -> web.Response:
    return web.json_response({"status": status, "message": message}, status=status)
