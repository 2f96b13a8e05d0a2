"""What the Hub's answers mean: JSON to our own words, and the errors for those that mean nothing to us.

Every failure is one of these, so that callers can tell "try later" from "ask the administrator"::

    HubError
    ├── HubUnreachableError   nobody answers: refused, reset, no such host, cut off in the middle
    │   └── HubTlsError       somebody does, and one of the two does not accept the other's certificate
    ├── HubTimeoutError       no complete answer within the time limit
    ├── HubRefusedError       401 or 403 in the Hub's own words, which name the missing scope
    └── HubAnswerError        an answer we can not use: another status, no JSON, another shape
        └── MissingScopeError the answer lacks what a scope would have put there

Only JSON counts as the Hub speaking: a proxy in front of it has 403s and 404s of its own, in HTML, and they
say nothing about tokens and servers. No I/O here. Shapes are those of JupyterHub 4.0 to 6.1
(``jupyterhub/apihandlers``).
"""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from hubcull_hub.model import ServerKey, ServerState
from hubcull_hub.users import UserState

_LONGEST_MESSAGE = 500


class HubError(Exception):
    """The Hub could not be asked, or its answer could not be used; the text never holds a token."""


class HubUnreachableError(HubError):
    """Nobody answers at the Hub's address, or the connection broke before the answer was complete."""


class HubTlsError(HubUnreachableError):
    """Somebody answers whose certificate we do not accept, or who does not accept ours."""


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


def parse(status: int, body: bytes, *, allowed: Container[int]) -> Any:
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


def items_of(page: Any) -> list[Any]:
    """Return the users of one page of a listing; raises HubAnswerError for anything else."""
    items, paging = (page.get("items"), page.get("_pagination")) if isinstance(page, dict) else (None, None)
    if not isinstance(items, list) or not isinstance(paging, dict):
        raise HubAnswerError(200, "the list of users is not paged: is this JupyterHub 2 or later?")
    return items


def next_offset(page: Any, offset: int) -> int | None:
    """Return where the next page begins; ``next.url`` is not used, for its scheme and host may be wrong."""
    after = page["_pagination"].get("next")
    if after is None:
        return None
    following = after.get("offset") if isinstance(after, dict) else None
    if not isinstance(following, int) or following <= offset:
        raise HubAnswerError(200, f"the page after offset {offset} does not move on")
    return following


def user_of(item: Any, *, whole: bool = False) -> tuple[str, list[ServerState]]:
    """Return a user's name and the servers that run or are about to, with the ``whole`` models if wanted."""
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise HubAnswerError(200, "a user without a name")
    name = item["name"]
    servers = item.get("servers")
    if servers is None:
        raise MissingScopeError("read:servers", "it shows users without their servers")
    if not isinstance(servers, dict):
        raise HubAnswerError(200, f"the servers of {name!r} are no mapping")
    groups, admin = _texts(item.get("groups")), item.get("admin") is True
    owner = {field: value for field, value in item.items() if field != "servers"} if whole else None
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
            readable=all(_is_readable(model, name) for name in ("started", "last_activity")),
            model=model if whole else None,
            owner=owner,
        )
        for server, model in models.items()
        if model.get("stopped") is not True
    ]


def user_state_of(item: Any) -> UserState:
    """Return a user's record; what our scopes do not show is None in it. Raises HubAnswerError."""
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise HubAnswerError(200, "a user without a name")
    admin = item.get("admin")
    return UserState(
        name=item["name"],
        created=read_time(item.get("created")),
        last_activity=read_time(item.get("last_activity")),
        servers=_active_of(item),
        admin=admin if isinstance(admin, bool) else None,
        readable=all(
            item.get(name) is None or read_time(item[name]) is not None
            for name in ("created", "last_activity")
        ),
    )


def _active_of(item: dict[str, Any]) -> frozenset[str] | None:
    """Return the names of a user's active servers, None where they are not shown or can not be read.

    ``server`` and ``pending`` speak of the default server, and are shown by another scope.
    """
    servers = item.get("servers")
    if not isinstance(servers, dict):
        return None
    default = {""} if item.get("server") or item.get("pending") else set()
    there = {
        name
        for name, model in servers.items()
        if not isinstance(model, dict) or model.get("stopped") is not True
    }
    return frozenset(there | default)


def token_owner_of(answer: Any) -> TokenOwner:
    """Return whom a token belongs to; raises HubAnswerError where that is not said."""
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


def _is_readable(model: dict[str, Any], name: str) -> bool:
    """Tell whether a time says something, or that there is none; what is not shown at all says neither."""
    return name in model and (model[name] is None or read_time(model[name]) is not None)


def _texts(values: Any) -> frozenset[str]:
    return frozenset(v for v in values if isinstance(v, str)) if isinstance(values, list) else frozenset()
