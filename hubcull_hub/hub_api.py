"""Typed client of the Hub's REST API: who owns a token, which servers run, stop this one.

Every failure is one of these, so that callers can tell "try later" from "ask the administrator"::

    HubError
    ├── HubUnreachableError   nobody answers: refused, reset, no such host, cut off in the middle
    ├── HubTimeoutError       no complete answer within the time limit
    ├── HubRefusedError       401 or 403 in the Hub's own words, which name the missing scope
    └── HubAnswerError        an answer we can not use: another status, no JSON, another shape
        └── MissingScopeError the answer lacks what a scope would have put there

No message contains a token. Only JSON counts as the Hub speaking: a proxy in front of it has 403s and 404s
of its own, in HTML, and they say nothing about tokens and servers. Redirects are not followed.
Written against JupyterHub 4.0 to 6.1, read in ``jupyterhub/apihandlers`` and tried on a live 6.1.1.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from types import SimpleNamespace, TracebackType
from typing import Any
from urllib.parse import quote

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TraceConfig
from yarl import URL

from hubcull_hub.model import ServerKey, ServerState

_PAGED = "application/jupyterhub-pagination+json"
_LONGEST_MESSAGE = 500


class HubError(Exception):
    """The Hub could not be asked, or its answer could not be used; the text never holds a token."""


class HubUnreachableError(HubError):
    """Nobody answers at the Hub's address, or the connection broke before the answer was complete."""


class HubTimeoutError(HubError):
    """The Hub gave no complete answer within the time limit; a DELETE may have been carried out."""


class HubRefusedError(HubError):
    """The Hub refuses our token or lacks a scope for it; ``message`` is the Hub's and names the scope."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"the Hub refuses ({status}): {message or 'it does not know this token'}")
        self.status = status
        self.message = message


class HubAnswerError(HubError):
    """The Hub answers something we can not use: ``status`` is HTTP's, ``message`` says what was wrong."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"the Hub's answer ({status}) can not be used: {message}")
        self.status = status
        self.message = message


class MissingScopeError(HubAnswerError):
    """The Hub leaves something out of its answer, silently, because ``scope`` was not granted."""

    def __init__(self, scope: str, message: str) -> None:
        super().__init__(200, f"{message}; the service's role needs the scope {scope}")
        self.scope = scope


@dataclass(frozen=True, slots=True)
class TokenOwner:
    """What the Hub says of a token: its owner (``kind`` user or service) and what it may do.

    ``session_id`` is set for tokens of a browser's login, None for those of servers and of API clients.
    """

    kind: str
    name: str
    scopes: frozenset[str]
    session_id: str | None
    groups: frozenset[str] = frozenset()
    admin: bool = False


class StopAnswer(str, Enum):
    """What the Hub says to a stop."""

    STOPPED = "stopped"  # 204: stopped, or was not running
    STOPPING = "stopping"  # 202: slower than the Hub's slow_stop_timeout, still under way
    GONE = "gone"  # 404: no such user or server, or outside the token's scopes


_STOP_ANSWERS = {204: StopAnswer.STOPPED, 202: StopAnswer.STOPPING, 404: StopAnswer.GONE}


class HubApi:
    """The Hub's REST API at ``api_url`` (``http://hub:8081/hub/api``), as the owner of ``token``.

    ``time_limit`` (s) holds for each request, and a listing is one request per page. ``page_size`` is
    how many users to ask for at once, 0 for the Hub's default; the Hub cuts it at ``api_page_max_limit``.
    Use it as an async context manager. Its own session keeps no cookies and sends each DELETE once; a
    ``session`` that is passed in stays the caller's to close, and keeps aiohttp's habit of repeating a
    request whose connection broke. ``requests`` counts what was sent, by kind. ``on_answer`` is called with
    every answer, whatever it says, and ``on_lost`` when nobody was there to give one.
    """

    def __init__(
        self,
        api_url: str,
        token: str,
        *,
        session: ClientSession | None = None,
        time_limit: float = 60.0,
        page_size: int = 200,
        on_answer: Callable[[], None] = lambda: None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._base = str(URL(api_url)).rstrip("/")
        self._token = token
        self._session = session
        self._owns_session = session is None
        self._timeout = ClientTimeout(total=time_limit)
        self._page_size = page_size
        self._on_answer, self._on_lost = on_answer, on_lost
        self.requests: Counter[str] = Counter()

    async def __aenter__(self) -> HubApi:
        """Open the session, unless one was passed in."""
        if self._session is None:
            self._session = ClientSession(cookie_jar=DummyCookieJar(), trace_configs=[_stop_only_once()])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the session, unless one was passed in."""
        if self._session is not None and self._owns_session:
            await self._session.close()
            self._session = None

    async def version(self) -> str:
        """Return the Hub's version, as ``6.1.1``; it needs no scope. Raises HubError."""
        answer = await self._get("version", "/")
        version = answer.get("version") if isinstance(answer, dict) else None
        if not isinstance(version, str):
            raise HubAnswerError(200, "no version at the API's root: is this the Hub's API URL?")
        return version

    async def token_owner(self, token: str) -> TokenOwner | None:
        """Return who owns ``token``, or None where the Hub does not know it. Raises HubError otherwise.

        It needs no scope. A revoked token, junk and an expired one all look alike.
        """
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            return None  # no Hub takes such a header, and some proxies stumble over it
        try:
            answer = await self._get("token", "/user", token=token)
        except HubRefusedError:
            return None
        return _token_owner(answer)

    async def own(self) -> TokenOwner | None:
        """Return whom the service's own token belongs to, as `token_owner` does."""
        return await self.token_owner(self._token)

    async def list_servers(self) -> list[ServerState]:
        """Return the servers of all users with a ready one, pending servers of theirs included.

        Offsets shift when servers stop between two pages, so a user may be skipped: absence from the
        list proves nothing. A user met twice counts once, as last seen. Raises HubError, and
        MissingScopeError where ``read:servers`` was not granted; never returns part of the pages.
        """
        seen: dict[str, list[ServerState]] = {}
        offset: int | None = 0
        while offset is not None:
            limit = f"&limit={self._page_size}" if self._page_size else ""
            page = await self._get("list", f"/users?state=ready{limit}&offset={offset}", accept=_PAGED)
            for item in _items(page):
                name, states = _user(item)
                seen[name] = states
            offset = _next_offset(page, offset)
        return [state for states in seen.values() for state in states]

    async def read_user(self, name: str) -> list[ServerState]:
        """Return the user's running and pending servers; none for an unknown user. Raises HubError."""
        answer = await self._get("user", f"/users/{quote(name, safe='')}", absent={404})
        return [] if answer is None else _user(answer)[1]

    async def read_server(self, key: ServerKey) -> ServerState | None:
        """Return the server as it is now, None where it does not run. Raises HubError.

        It reads the user, because the Hub has no address for one server before 6.0.
        """
        return next((state for state in await self.read_user(key.user) if state.key == key), None)

    async def stop(self, key: ServerKey) -> StopAnswer:
        """Ask the Hub to stop the server, without removing it. Raises HubError.

        After HubTimeoutError or HubUnreachableError it may have been stopped: read it again.
        """
        user = f"/users/{quote(key.user, safe='')}"
        path = f"{user}/servers/{quote(key.server, safe='')}" if key.server else f"{user}/server"
        status, body = await self._send("stop", "DELETE", path)
        if status == 200:
            raise HubAnswerError(status, "the Hub answers a stop with 204 or 202")
        if status not in _STOP_ANSWERS or status == 404:
            _parse(status, body, allowed={404})
        return _STOP_ANSWERS[status]

    async def _get(
        self,
        kind: str,
        path: str,
        *,
        token: str | None = None,
        accept: str = "application/json",
        absent: Container[int] = (),
    ) -> Any:
        """Return the JSON at ``path``, None where the status is in ``absent``."""
        status, body = await self._send(kind, "GET", path, token=token, accept=accept)
        answer = _parse(status, body, allowed=absent)
        return answer if status == 200 else None

    async def _send(
        self, kind: str, method: str, path: str, *, token: str | None = None, accept: str = "application/json"
    ) -> tuple[int, bytes]:
        if self._session is None:
            raise RuntimeError("use HubApi as an async context manager")
        self.requests[kind] += 1
        headers = {"Authorization": f"token {token or self._token}", "Accept": accept}
        url = URL(self._base + path, encoded=True)  # a quoted slash in a name must stay quoted
        try:
            async with self._session.request(
                method, url, headers=headers, allow_redirects=False, timeout=self._timeout
            ) as response:
                answer = response.status, await response.read()
                self._on_answer()
                return answer
        except (TimeoutError, asyncio.TimeoutError) as error:
            text = f"{method} {path}: no answer from the Hub in {self._timeout.total:g} s"
            raise HubTimeoutError(text) from error
        except (ClientError, OSError) as error:
            self._on_lost()
            raise HubUnreachableError(f"{method} {path}: {str(error) or type(error).__name__}") from error


def read_time(text: object) -> datetime | None:
    """Return the Hub's timestamp as an aware UTC time, None where there is none that can be read.

    ISO 8601, with or without microseconds; ``Z`` or nothing means UTC.
    """
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text[:-1] if text.endswith("Z") else text)
        return time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def _parse(status: int, body: bytes, *, allowed: Container[int]) -> Any:
    """Return the JSON of an answer with status 200 or an ``allowed`` one; raise for all others."""
    if 300 <= status < 400:
        raise HubAnswerError(status, "it leads elsewhere, which is not followed: is this the Hub's API URL?")
    try:
        answer = json.loads(body)
    except ValueError:
        raise HubAnswerError(status, "it is no JSON, so it is not from the Hub's API") from None
    if status == 200:
        return answer
    if not isinstance(answer, dict) or answer.get("status") != status:
        raise HubAnswerError(status, "it does not repeat its status, as the Hub's refusals do")
    if status in allowed:
        return answer
    message = answer.get("message")
    text = message[:_LONGEST_MESSAGE] if isinstance(message, str) else ""
    if status in (401, 403):
        raise HubRefusedError(status, text)
    raise HubAnswerError(status, text or "no reason given")


def _items(page: Any) -> list[Any]:
    items, paging = (page.get("items"), page.get("_pagination")) if isinstance(page, dict) else (None, None)
    if not isinstance(items, list) or not isinstance(paging, dict):
        raise HubAnswerError(200, "the list of users is not paged: is this JupyterHub 2 or later?")
    return items


def _next_offset(page: Any, offset: int) -> int | None:
    """Return where the next page begins; ``next.url`` is not used, for its scheme and host may be wrong."""
    after = page["_pagination"].get("next")
    if after is None:
        return None
    following = after.get("offset") if isinstance(after, dict) else None
    if not isinstance(following, int) or following <= offset:
        raise HubAnswerError(200, f"the page after offset {offset} does not move on")
    return following


def _user(item: Any) -> tuple[str, list[ServerState]]:
    """Return a user's name and the servers that run or are about to."""
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise HubAnswerError(200, "a user without a name")
    name = item["name"]
    servers = item.get("servers")
    if servers is None:
        raise MissingScopeError("read:servers", f"it shows no servers for {name!r}")
    if not isinstance(servers, dict):
        raise HubAnswerError(200, f"the servers of {name!r} are no mapping")
    groups, admin = _texts(item.get("groups")), item.get("admin") is True
    models = {server: model if isinstance(model, dict) else {} for server, model in servers.items()}
    return name, [
        ServerState(
            key=ServerKey(name, server),
            started=read_time(model.get("started")),
            last_activity=read_time(model.get("last_activity")),
            ready=model.get("ready") is True,
            pending=str(model["pending"]) if model.get("pending") else None,
            groups=groups,
            admin=admin,
        )
        for server, model in models.items()
        if model.get("stopped") is not True
    ]


def _token_owner(answer: Any) -> TokenOwner:
    if not isinstance(answer, dict) or not isinstance(answer.get("name"), str):
        raise HubAnswerError(200, "a token's owner without a name")
    session_id = answer.get("session_id")
    return TokenOwner(
        kind=str(answer.get("kind")),
        name=answer["name"],
        scopes=_texts(answer.get("scopes")),
        session_id=None if session_id is None else str(session_id),
        groups=_texts(answer.get("groups")),
        admin=answer.get("admin") is True,
    )


def _texts(values: Any) -> frozenset[str]:
    return frozenset(v for v in values if isinstance(v, str)) if isinstance(values, list) else frozenset()


def _stop_only_once() -> TraceConfig:
    """Keep a DELETE from being sent twice.

    aiohttp repeats a DELETE whose connection broke, at once. The first one may have been carried out, and
    the second would then hit whatever its user has started since; nobody has looked at that one.
    """

    async def begin(_: ClientSession, context: SimpleNamespace, params: Any) -> None:
        context.method, context.attempts = params.method, 0

    async def connect(_: ClientSession, context: SimpleNamespace, __: Any) -> None:
        context.attempts += 1
        if context.method == "DELETE" and context.attempts > 1:
            raise HubUnreachableError("the connection broke while the stop was under way; not sent again")

    trace = TraceConfig()
    trace.on_request_start.append(begin)
    trace.on_connection_create_start.append(connect)
    trace.on_connection_reuseconn.append(connect)
    return trace
