"""Who reports: proved by the caller's token, as the Hub describes it, and never by what the caller says.

A server's own token says which server it was made for, since JupyterHub 4.0: exactly one of its scopes is
``access:servers!server=<user>/<server>``. Three look-alikes must not pass. A page in a browser holds a token
with that scope, but of a login's session and without ``users:activity``. A guest of a shared server may hold
it, but under the guest's own name. And a user's own API token proves the user without naming a server. What
remains is that a user can pose as any of their *own* servers; whoever uses a proof must look the server up.

Names may hold spaces, ``@``, ``!`` and ``=``, and scopes carry them raw: prefixes are compared, never split.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Protocol

from hubcull_hub.hub_answers import HubError, TokenOwner
from hubcull_hub.model import ServerKey

_MOST_WAITING = 1000
"""Questions that may be open or wait; beyond that only tokens that were proven once get their turn."""


class RejectionCode(str, Enum):
    """Why a token proves no server; part of the API."""

    INVALID_TOKEN = "invalid-token"  # noqa: S105 - the name of a case
    NOT_A_SERVER = "not-a-server"
    SERVER_NOT_PROVEN = "server-not-proven"


@dataclass(frozen=True, slots=True)
class Proof:
    """The token is a server's own: which server, and the groups and admin right of its user."""

    key: ServerKey
    groups: frozenset[str] = frozenset()
    admin: bool = False


@dataclass(frozen=True, slots=True)
class Rejection:
    """The token proves no server: why, what to do about it, and the user where that much is proven."""

    code: RejectionCode
    message: str
    user: str | None = None


_INVALID = Rejection(
    RejectionCode.INVALID_TOKEN,
    "The Hub does not know this token: the server it belonged to was stopped, or it was revoked.",
)
_NOT_A_SERVER = Rejection(
    RejectionCode.NOT_A_SERVER,
    "This token is not a server's own. Reports are sent with the JUPYTERHUB_API_TOKEN of the server's"
    " environment; the scope users:activity!user belongs in c.Spawner.server_token_scopes.",
)
_SERVER_NOT_PROVEN = (
    "This token proves its user and not its server. Keep access:servers!server in"
    " c.Spawner.server_token_scopes, then restart the server. (JupyterHub 4.0 and later have it by default;"
    " inherit, and a server started under an older Hub, do not.)"
)


def prove(owner: TokenOwner | None) -> Proof | Rejection:
    """Say which server the token belongs to, or why that can not be said; None is an unknown token."""
    if owner is None:
        return _INVALID
    activity = {"users:activity", f"users:activity!user={owner.name}"}
    if owner.kind != "user" or owner.session_id is not None or not activity & owner.scopes:
        return _NOT_A_SERVER
    prefix = f"access:servers!server={owner.name}/"
    servers = [scope[len(prefix) :] for scope in owner.scopes if scope.startswith(prefix)]
    if len(servers) != 1:
        return Rejection(RejectionCode.SERVER_NOT_PROVEN, _SERVER_NOT_PROVEN, owner.name)
    return Proof(ServerKey(owner.name, servers[0]), owner.groups, owner.admin)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one token.

    ``checked_at`` is the monotonic second at which the Hub was asked, on the conservative side.
    ``started`` names the incarnation of the server the token was bound to, None before that.
    """

    proof_or_rejection: Proof | Rejection
    checked_at: float
    started: datetime | None = None


class TooManyTokensError(HubError):
    """A flood of unknown tokens: the Hub is not asked about yet another one now."""


class TokenSource(Protocol):
    """Whoever can say who owns a token: ``HubApi`` in the service."""

    async def token_owner(self, token: str) -> TokenOwner | None:
        """Return the token's owner, None for a token that is not known. Raises HubError."""


class TokenBook:
    """Remembers what the Hub said of tokens, by their sha256: no token is kept.

    A proof is believed for ``proof_lifetime`` s at most and three quarters of it at least, so that tokens
    asked about together come due apart; a rejection for ``rejection_lifetime`` s. Each has a bounded book
    of its own, least recently used out first, so that a flood of junk pushes no server out. At most
    ``concurrency`` questions are open at the Hub, and one per token. Errors of the Hub are not kept.
    """

    def __init__(
        self,
        hub: TokenSource,
        *,
        capacity: int = 20_000,
        proof_lifetime: float = 4 * 3600.0,
        rejection_lifetime: float = 20.0,
        concurrency: int = 10,
    ) -> None:
        self._hub = hub
        self._capacity = capacity
        self._proof_lifetime = proof_lifetime
        self._rejection_lifetime = rejection_lifetime
        self._turn = asyncio.Semaphore(concurrency)
        self._turn_of_known = asyncio.Semaphore(concurrency)
        self._proofs: OrderedDict[bytes, Entry] = OrderedDict()
        self._rejections: OrderedDict[bytes, Entry] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Entry]] = {}
        self._tasks: set[asyncio.Task[Entry]] = set()

    def __len__(self) -> int:
        """Return how many tokens are remembered."""
        return len(self._proofs) + len(self._rejections)

    def known(self, token: str, now: float) -> Entry | None:
        """Return what is remembered of ``token`` and believed at ``now`` (monotonic s), asking nobody."""
        return self._remembered(_digest(token), now)

    async def look(self, token: str, now: float, *, fresh: bool = False) -> Entry:
        """Return what ``token`` proves at ``now`` (monotonic s).

        ``fresh`` asks the Hub whatever is remembered, though a question that is open already will do.
        Raises HubError, to all who wait for the same question; cancelling one leaves it to the others.
        """
        digest = _digest(token)
        remembered = None if fresh else self._remembered(digest, now)
        if remembered is not None:
            return remembered
        task = self._asking.get(digest)
        if task is None and digest not in self._proofs and len(self._tasks) >= _MOST_WAITING:
            raise TooManyTokensError("too many unknown tokens are waiting to be asked about")
        if task is None:
            task = asyncio.create_task(self._ask(digest, token, now))
            self._asking[digest] = task
            self._tasks.add(task)
            task.add_done_callback(self._answered)
        return await asyncio.shield(task)

    def bind(self, token: str, started: datetime) -> None:
        """Note that ``token`` was seen with the incarnation ``started``; only a proven token is bound.

        The binding outlives new validations, and ends when the token is rejected or no longer remembered.
        """
        digest = _digest(token)
        entry = self._proofs.get(digest)
        if entry is not None:
            self._proofs[digest] = replace(entry, started=started)

    async def close(self) -> None:
        """Cancel the open questions; whoever waits for one is cancelled with it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _remembered(self, digest: bytes, now: float) -> Entry | None:
        """Return a live entry and mark it used. An expired proof stays, for its binding."""
        entry = self._proofs.get(digest)
        if entry is not None and now - entry.checked_at < self._proof_lifetime * _share(digest):
            self._proofs.move_to_end(digest)
            return entry
        entry = self._rejections.get(digest)
        if entry is not None and now - entry.checked_at < self._rejection_lifetime:
            self._rejections.move_to_end(digest)
            return entry
        return None

    async def _ask(self, digest: bytes, token: str, now: float) -> Entry:
        me = asyncio.current_task()
        try:
            async with self._turn_of_known if digest in self._proofs else self._turn:
                owner = await self._hub.token_owner(token)
            entry = Entry(prove(owner), checked_at=now)
            if self._asking.get(digest) is me:  # not forgotten meanwhile
                entry = self._remember(digest, entry)
            return entry
        finally:
            if self._asking.get(digest) is me:
                del self._asking[digest]

    def _remember(self, digest: bytes, entry: Entry) -> Entry:
        before = self._proofs.pop(digest, None)
        self._rejections.pop(digest, None)
        book = self._rejections
        if isinstance(entry.proof_or_rejection, Proof):
            book = self._proofs
            if before is not None and _same_server(before, entry):
                entry = replace(entry, started=before.started)
        book[digest] = entry
        while len(book) > self._capacity:
            book.popitem(last=False)
        return entry

    def _answered(self, task: asyncio.Task[Entry]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even where every waiter has gone


def _same_server(before: Entry, after: Entry) -> bool:
    first, second = before.proof_or_rejection, after.proof_or_rejection
    return isinstance(first, Proof) and isinstance(second, Proof) and first.key == second.key


def share_of_lifetime(token: str) -> float:
    """Return how much of a lifetime a token's proof is believed, 3/4 to 1, always the same for one token."""
    return _share(_digest(token))


def _share(digest: bytes) -> float:
    return 0.75 + digest[0] / 1020


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
