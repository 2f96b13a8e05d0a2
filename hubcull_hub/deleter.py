"""Delete users: look again, then ask the Hub. How many at once, back-off and journal are `acting`'s."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Protocol

from hubcull_hub.acting import Acting, Journal, Share
from hubcull_hub.hub_answers import HubAnswerError
from hubcull_hub.model import Deferral, Instant, Result
from hubcull_hub.users import UserAction, UserOutcome, UserState, UserVerdict


class Hub(Protocol):
    """What deleting needs of the Hub."""

    async def read_account(self, name: str) -> UserState | None:
        """Return a user as the Hub shows them now, or None."""

    async def delete_user(self, name: str) -> bool:
        """Delete a user; False where there is none for us."""


ConfirmUser = Callable[[UserVerdict], Awaitable[UserOutcome | None]]
"""Looks at a user again, at the Hub too: None to go on, or the outcome that ends it here."""


class Deleter(Acting[UserVerdict]):
    """Deletes users."""

    verb = "delete user"

    def __init__(
        self,
        hub: Hub,
        journal: Journal[UserVerdict],
        confirm: ConfirmUser,
        now: Callable[[], Instant],
        *,
        slots: Share | None,
        dry_run: bool = False,
        back_off: float = 60.0,
    ) -> None:
        """Take what a deletion needs; ``slots`` are a `Share` of those of the stops."""
        super().__init__(journal, now, slots=slots, back_off=back_off)
        self._hub, self._confirm, self._dry_run = hub, confirm, dry_run

    def waiting(self, verdicts: Iterable[UserVerdict]) -> dict[str, Deferral]:
        """Return the users whose deletion must not be begun now, and why, given all verdicts."""
        return self._waiting({v.key: v.created for v in verdicts if v.action is UserAction.DELETE})

    def _born(self, verdict: UserVerdict) -> datetime | None:
        return verdict.created

    async def _act(self, verdict: UserVerdict) -> UserOutcome:
        """Look again, then ask the Hub to delete the user."""
        ended = await self._confirm(verdict) or self._too_late(verdict)
        if ended is not None:
            return ended
        if self._dry_run:
            return UserOutcome(verdict, Result.WOULD_DELETE, verdict.text)
        try:
            if await self._hub.delete_user(verdict.key):
                return UserOutcome(verdict, Result.DELETED, verdict.text)
            refusal = "is delete:users filtered as list:users is?"
        except HubAnswerError as error:
            refusal = str(error)
        return await self._after_refusal(verdict, refusal)

    async def _after_refusal(self, verdict: UserVerdict, refusal: str) -> UserOutcome:
        """Find out what a refusal means by looking, for the Hub's words are not part of its API.

        It answers 400 while a server is stopping or for the token's own user, and 500 where a named server
        has been started, or when a clean-up failed half-way.
        """
        user = await self._hub.read_account(verdict.key)
        if user is None:
            return UserOutcome(verdict, Result.GONE, "the Hub no longer knew them")
        if user.servers:
            return UserOutcome(verdict, Result.SPARED, f"they have a server again; {refusal}")
        return UserOutcome(verdict, Result.FAILED, f"the Hub still shows them; {refusal}")
