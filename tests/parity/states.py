"""Recorded Hub states: who is there, with which servers, their times relative to now.

``recorded.json`` is what a JupyterHub 6.1.1 shows to a service with the scopes of idle-culler's README and
to one that also holds ``admin:users``; the builders here put names and ages into it, and take things out.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

Model = dict[str, Any]
Age = float | str | None
"""Seconds ago; a text stands as it is, None is the Hub's ``null``."""

HOUR = 3600.0
LAST = "zz-last"
"""The user at the end of every state, long idle: who stops that server has been through all the others."""

_RECORDED: Mapping[str, Model] = json.loads(Path(__file__).with_name("recorded.json").read_text("utf-8"))


def ago(age: Age, now: datetime | None = None) -> str | None:
    """Return the time ``age`` seconds ago as the Hub writes it, or what is no age as it is."""
    if not isinstance(age, (int, float)):
        return age
    time = (now or datetime.now(timezone.utc)) - timedelta(seconds=age)
    return time.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def naive(age: float) -> str:
    """Return the time ``age`` seconds ago without a zone."""
    return str(ago(age))[:-1]


def at_offset(age: float, hours: int) -> str:
    """Return the time ``age`` seconds ago as a clock ``hours`` east of Greenwich shows it."""
    zone = timezone(timedelta(hours=hours))
    return (datetime.now(timezone.utc) - timedelta(seconds=age)).astimezone(zone).isoformat()


def server(
    *,
    idle: Age = 2 * HOUR,
    started: Age = 3 * HOUR,
    ready: bool = True,
    pending: str | None = None,
    without: tuple[str, ...] = (),
    **fields: Any,
) -> Model:
    """Return the model of a server: ready and long idle, unless told otherwise."""
    model = copy.deepcopy(_RECORDED["server"])
    model |= {
        "last_activity": ago(idle),
        "started": ago(started),
        "ready": ready,
        "pending": pending,
        **fields,
    }
    return {name: value for name, value in model.items() if name not in without}


def user(
    name: str, servers: Mapping[str, Model] | None = None, *, idle: Age = 2 * HOUR, **fields: Any
) -> Model:
    """Return the model of a user with these servers by name; by default the default server, long idle.

    ``created`` (an age) makes it a model as a service with ``admin:users`` sees it.
    """
    created = fields.pop("created", ...)
    model = copy.deepcopy(_RECORDED["user" if created is ... else "user_with_admin_users"])
    model |= {"name": name, "last_activity": ago(idle), **fields}
    if created is not ...:
        model["created"] = ago(created)
    model["servers"] = {}
    for each, found in ({"": server()} if servers is None else servers).items():
        model["servers"][each] = found | {"name": each, "full_name": f"{name}/{each}"}
    if "server" in model:  # of the default server
        default = model["servers"].get("", {})
        model["server"] = f"/user/{name}/" if default.get("ready") else None
        model["pending"] = default.get("pending")
    return model


def token() -> Model:
    """Return what the Hub says of the culler's own token."""
    return copy.deepcopy(_RECORDED["token"])


README_SCOPES: tuple[str, ...] = tuple(_RECORDED["token"]["scopes"])
"""What the Hub makes of the scopes in idle-culler's README."""

ADMIN_SCOPES: tuple[str, ...] = tuple(_RECORDED["token_with_admin_users"]["scopes"])
"""The same with ``admin:users``, for culling users."""
