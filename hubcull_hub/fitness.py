"""Is this Hub, and what it lets us do, enough to stop anything? Names what is missing, per feature."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from hubcull_hub.hub_answers import TokenOwner

OLDEST_HUB = (4, 0)
"""A server's token names its server since JupyterHub 4.0 (`access:servers!server` in the role `server`)."""

NO_GROUPS = (
    "scope read:users:groups is missing, needed for the groups that cull_arbiter_hook takes: add it to the"
    " service's role in c.JupyterHub.load_roles. The hook is given None instead"
)


@dataclass(frozen=True, slots=True)
class Features:
    """What the operator turned on, as far as it needs scopes."""

    dry_run: bool = False
    users: bool = False
    users_by_age: bool = False
    groups: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is missing, in words with the remedy, and what can not be done because of it."""

    text: str
    lists_nothing: bool = False
    stops_nothing: bool = True
    deletes_nobody: bool = True


class Owner(Protocol):
    """What this module asks the Hub."""

    async def version(self) -> str:
        """Return the Hub's version."""

    async def own(self) -> TokenOwner | None:
        """Return whom the service's own token belongs to, or None for a token the Hub does not know."""


async def unfitness(hub: Owner, features: Features) -> list[Problem]:
    """Return all that keeps the service from its work at this Hub.

    Raises:
        HubError: when the Hub does not answer; that is no judgement on it.

    """
    return judge(await hub.version(), await hub.own(), features)


def needs(features: Features) -> dict[str, str]:
    """Return all scopes that the service needs for its features, and what for."""
    return {**_for_servers(features), **(_for_users(features) if features.users else {})}


def _for_servers(features: Features) -> dict[str, str]:
    found = {"list:users": "listing servers", "read:servers": "seeing servers"}
    return found if features.dry_run else {**found, "delete:servers": "stopping servers"}


def judge(version: str, owner: TokenOwner | None, features: Features) -> list[Problem]:
    """Judge a Hub's version and our own token's scopes."""
    if owner is None:
        text = "the Hub does not know the service's token; check JUPYTERHUB_API_TOKEN. Nothing is stopped"
        return [Problem(text, lists_nothing=True)]
    problems = list(_too_old(version))
    for scope, feature in _for_servers(features).items():
        if not _has(owner.scopes, scope):
            text = (
                f"scope {scope} is missing, needed for {feature}: add it to the service's role in"
                " c.JupyterHub.load_roles. Nothing is stopped"
            )
            problems.append(Problem(text, lists_nothing=scope != "delete:servers"))
    if features.groups and not _has(owner.scopes, "read:users:groups"):
        problems.append(Problem(NO_GROUPS, stops_nothing=False, deletes_nobody=False))
    return [*problems, *_about_users(owner.scopes, features)] if features.users else problems


def _for_users(features: Features) -> dict[str, str]:
    found = {"read:users:activity": "knowing who is inactive"}
    if features.users_by_age:
        found["read:users"] = "knowing how old the records of users are (max_age)"
    return found if features.dry_run else {**found, "delete:users": "deleting users"}


def _about_users(scopes: frozenset[str], features: Features) -> list[Problem]:
    """Name what deleting users lacks; servers are culled without it."""
    nobody = "No user is deleted; servers are culled all the same"
    texts = [
        f"scope {scope} is missing, needed for {feature} (delete_idle_users): add it to the service's role in"
        f" c.JupyterHub.load_roles. {nobody}"
        for scope, feature in _for_users(features).items()
        if not _has(scopes, scope)
    ]
    held = [scope for scope in scopes if scope.partition("!")[0] == "read:servers"]
    if held and all("!server=" in scope for scope in held):
        texts.append(
            "scope read:servers is held for single servers only, so that others of the same user are not seen"
            f" (delete_idle_users): filter it by user or group. {nobody}"
        )
    return [Problem(text, stops_nothing=False) for text in texts]


def _too_old(version: str) -> list[Problem]:
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None:
        return [Problem(f"the Hub names its version {version!r}, which can not be read. Nothing is stopped")]
    if (int(numbers[1]), int(numbers[2])) < OLDEST_HUB:
        text = f"the Hub is {version}; hubcull needs JupyterHub 4.0 or newer. Nothing is stopped"
        return [Problem(text)]
    return []


def _has(scopes: frozenset[str], scope: str) -> bool:
    """Tell whether a scope is held, in full or filtered (`list:users!group=g1`, for a pilot).

    The Hub answers with the expanded set (`GET /user`), so that broader scopes need no table here.
    """
    return any(held.partition("!")[0] == scope for held in scopes)
