"""Typed client of the Hub's REST API: who owns a token, which servers run, stop this one.

Every failure is a `HubError`; `hub_answers` draws their tree.

No message contains a token, and redirects are not followed.
Written against JupyterHub 4.0 to 6.1, read in ``jupyterhub/apihandlers`` and tried on a live 6.1.1.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Container
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace, TracebackType
from typing import Any
from urllib.parse import quote

from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    ServerDisconnectedError,
    TraceConfig,
)
from yarl import URL

from hubcull_hub.hub_answers import (
    HubAnswerError,
    HubRefusedError,
    HubTimeoutError,
    HubTlsError,
    HubUnreachableError,
    MissingScopeError,
    StopAnswer,
    TokenOwner,
    items_of,
    next_offset,
    parse,
    token_owner_of,
    user_of,
    user_state_of,
)
from hubcull_hub.model import ServerKey, ServerState
from hubcull_hub.tls import HubTls, fault_of, remedy_of
from hubcull_hub.users import UserState

_PAGED = "application/jupyterhub-pagination+json"


_STOP_ANSWERS = {204: StopAnswer.STOPPED, 202: StopAnswer.STOPPING, 404: StopAnswer.GONE}


class HubApi:
    """The Hub's REST API at ``api_url`` (``http://hub:8081/hub/api``), as the owner of ``token``.

    ``time_limit`` (s) holds for each request, and a listing is one request per page. ``page_size`` is
    how many users to ask for at once, 0 for the Hub's default; the Hub cuts it at ``api_page_max_limit``.
    ``whole_models`` keeps each server's and user's model, which costs about 2 kB a server.
    Use it as an async context manager. Its own session keeps no cookies and sends each DELETE once; a
    ``session`` that is passed in stays the caller's to close, and keeps aiohttp's habit of repeating a
    request whose connection broke. ``requests`` counts what was sent, by kind. ``on_answer`` is called with
    the date (UTC) of every answer of the Hub's own, ``on_lost`` when nobody was there, or somebody else spoke
    for it, and ``on_silence`` when the time limit passed. ``tls`` has the certificates of a Hub with
    ``internal_ssl``; without it an https Hub is checked against the system's CAs.
    """

    def __init__(  # noqa: PLR0913 - named arguments of a client that is made in one place
        self,
        api_url: str,
        token: str,
        *,
        session: ClientSession | None = None,
        time_limit: float = 60.0,
        page_size: int = 200,
        whole_models: bool = False,
        tls: HubTls | None = None,
        on_answer: Callable[[datetime | None], None] = lambda _: None,
        on_lost: Callable[[], None] = lambda: None,
        on_silence: Callable[[], None] = lambda: None,
    ) -> None:
        self._base = str(URL(api_url)).rstrip("/")
        self._token = token
        self._session = session
        self._owns_session = session is None
        self._timeout = ClientTimeout(total=time_limit)
        self._page_size, self._whole = page_size, whole_models
        self._tls = tls
        self._on_answer, self._on_lost, self._on_silence = on_answer, on_lost, on_silence
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
        return token_owner_of(answer)

    async def own(self) -> TokenOwner | None:
        """Return whom the service's own token belongs to, as `token_owner` does."""
        return await self.token_owner(self._token)

    async def list_servers(self) -> list[ServerState]:
        """Return the servers of all users with a ready one, pending servers of theirs included.

        Offsets shift when servers stop between two pages, so a user may be skipped: absence from the
        list proves nothing. A user met twice counts once, as last seen. Users whose servers our scopes do
        not show (``read:servers!group=pilot``) are left out. Raises HubError, and MissingScopeError where
        that is all of them; never returns part of the pages.
        """
        seen: dict[str, list[ServerState]] = {}
        hidden: MissingScopeError | None = None
        async for items in self._pages("list", "state=ready"):
            for item in items:
                try:
                    name, states = user_of(item, whole=self._whole)
                    seen[name] = states
                except MissingScopeError as error:
                    hidden = error
        if hidden is not None and not seen:
            raise hidden
        return [state for states in seen.values() for state in states]

    async def pages_of_users(self, *, longest_inactive_first: bool) -> AsyncIterator[list[UserState]]:
        """Yield the users without an active server, page by page; a reader may stop early. Raises HubError.

        In order of ``last_activity``, those without any first, if so asked (since JupyterHub 5.0; older ones
        ignore it). Offsets shift when users come and go meanwhile: absence proves nothing.
        """
        order = "&sort=last_activity" if longest_inactive_first else ""
        async for items in self._pages("list-users", f"state=inactive{order}"):
            yield [user_state_of(item) for item in items]

    async def read_account(self, name: str) -> UserState | None:
        """Return a user as the Hub shows them now, None where it does not know them. Raises HubError."""
        answer = await self._get("account", f"/users/{quote(name, safe='')}", absent={404})
        return None if answer is None else user_state_of(answer)

    async def delete_user(self, name: str) -> bool:
        """Delete a user; False where the Hub does not know them, or not for us (404). Raises HubError.

        The Hub first stops the user's default server if one runs. It answers 204; no release up to 6.1
        answers 202, which raises HubAnswerError like any other status. After HubTimeoutError or
        HubUnreachableError the user may be deleted: read them again.
        """
        status, body = await self._send("delete-user", "DELETE", f"/users/{quote(name, safe='')}")
        if status in (200, 202):
            raise HubAnswerError(status, "the Hub answers the deletion of a user with 204")
        if status != 204:
            parse(status, body, allowed={404})
        return status == 204

    async def read_user(self, name: str) -> list[ServerState]:
        """Return the user's running and pending servers; none for an unknown user. Raises HubError."""
        answer = await self._get("user", f"/users/{quote(name, safe='')}", absent={404})
        return [] if answer is None else user_of(answer, whole=self._whole)[1]

    async def read_server(self, key: ServerKey) -> ServerState | None:
        """Return the server as it is now, None where it does not run. Raises HubError.

        It reads the user, because the Hub has no address for one server before 6.0.
        """
        return next((state for state in await self.read_user(key.user) if state.key == key), None)

    async def stop(self, key: ServerKey, *, remove: bool = False) -> StopAnswer:
        """Ask the Hub to stop the server, and to ``remove`` it, if it is a named one. Raises HubError.

        The Hub refuses to remove a default server. After HubTimeoutError or HubUnreachableError it may have
        been stopped: read it again.
        """
        user = f"/users/{quote(key.user, safe='')}"
        path = f"{user}/servers/{quote(key.server, safe='')}" if key.server else f"{user}/server"
        removing = {"remove": True} if remove and key.server else None
        status, body = await self._send("stop", "DELETE", path, json=removing)
        if status == 200:
            raise HubAnswerError(status, "the Hub answers a stop with 204 or 202")
        if status not in _STOP_ANSWERS or status == 404:
            parse(status, body, allowed={404})
        return _STOP_ANSWERS[status]

    async def _pages(self, kind: str, query: str) -> AsyncIterator[list[Any]]:
        """Yield the items of each page of users, one request a page."""
        offset: int | None = 0
        limit = f"&limit={self._page_size}" if self._page_size else ""
        while offset is not None:
            page = await self._get(kind, f"/users?{query}{limit}&offset={offset}", accept=_PAGED)
            yield items_of(page)
            offset = next_offset(page, offset)

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
        answer = parse(status, body, allowed=absent)
        return answer if status == 200 else None

    async def _send(
        self,
        kind: str,
        method: str,
        path: str,
        *,
        token: str | None = None,
        accept: str = "application/json",
        json: object = None,
    ) -> tuple[int, bytes]:
        if self._session is None:
            raise RuntimeError("use HubApi as an async context manager")
        self.requests[kind] += 1
        headers = {"Authorization": f"token {token or self._token}", "Accept": accept}
        url = URL(self._base + path, encoded=True)  # a quoted slash in a name must stay quoted
        try:
            context = True if self._tls is None else self._tls.context()
            async with self._session.request(
                method,
                url,
                headers=headers,
                json=json,
                allow_redirects=False,
                timeout=self._timeout,
                ssl=context,
            ) as response:
                body = await response.read()
                self._note(response.status, body, response.headers.get("Date"))
                return response.status, body
        except (TimeoutError, asyncio.TimeoutError) as error:
            self._on_silence()
            text = f"{method} {path}: no answer from the Hub in {self._timeout.total:g} s"
            raise HubTimeoutError(text) from error
        except (ClientError, OSError) as error:
            self._on_lost()
            raise self._lost(f"{method} {path}", error, encrypted=url.scheme == "https") from error

    def _lost(self, what: str, error: Exception, *, encrypted: bool) -> HubUnreachableError:
        files = None if self._tls is None else self._tls.files
        if fault := fault_of(error, files):
            return HubTlsError(f"{what}: no TLS with the Hub: {fault}")
        text = f"{what}: {str(error) or type(error).__name__}"
        if encrypted and isinstance(error, ServerDisconnectedError):
            text += f"; so a Hub does that does not accept our certificate: {remedy_of(files)}"
        return HubUnreachableError(text)

    def _note(self, status: int, body: bytes, date: str | None) -> None:
        """Tell an answer of the Hub's from one of a proxy that found no Hub behind it.

        A gateway's 4xx page says neither: it may be about one odd name only.
        """
        is_json = body[:1] in b"{["
        if status in (502, 503, 504) or (status == 200 and not is_json):
            self._on_lost()
        elif is_json:
            self._on_answer(_read_date(date))


def _read_date(text: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(text) if text else None
    except ValueError:
        return None


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
            raise HubUnreachableError("the connection broke while it was under way; not sent again")

    trace = TraceConfig()
    trace.on_request_start.append(begin)
    trace.on_connection_create_start.append(connect)
    trace.on_connection_reuseconn.append(connect)
    return trace
