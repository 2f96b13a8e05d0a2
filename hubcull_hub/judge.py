"""Decides on servers: by the policy and, where the operator has one, the hook. Other rooms ask only here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime

from hubcull_hub.hook import Hook
from hubcull_hub.model import (
    Action,
    Basis,
    Evidence,
    Instant,
    Policy,
    Reason,
    ServerKey,
    ServerState,
    Verdict,
)
from hubcull_hub.policy import decide
from hubcull_hub.ruling import HOOK_RULE, Opinion, Question, question, ruled

log = logging.getLogger(__name__)

AT_ONCE = 10
"""Questions to the hook that are open at once; an ordinary function answers one after the other anyway."""

GIVE_UP_AFTER = 3
"""Answers in a row that do not come in time, after which the rest of a pass is kept without asking."""


See = Callable[[ServerState], Evidence]
"""Returns all that is known of a server."""


class Judge:
    """One policy and perhaps a hook. What the hook said is remembered until the next pass, to be shown."""

    def __init__(self, policy: Policy, hook: Hook | None = None) -> None:
        self.policy, self._hook = policy, hook
        self.hook_names: tuple[str, ...] = () if hook is None else hook.named
        """What the hook takes beyond idle-culler's three arguments."""
        self._heard: dict[ServerKey, tuple[datetime | None, Opinion]] = {}
        self._awaiting: set[tuple[ServerKey, datetime | None]] = set()

    def so_far(self, server: ServerState, see: See, now: Instant) -> Verdict:
        """Return the verdict as of `now` without asking anybody: with the hook's last word on that server."""
        started, opinion = self._heard.get(server.key, (None, None))
        if opinion is None or started != server.started:
            return self._decide(server, see, now)
        try:
            asked = question(see(server), self.policy, now)
        except Exception as error:
            return self._undecided(server, error)
        return self._decide(server, see, now) if asked is None else ruled(asked, opinion, now)

    def awaits_check(self, key: ServerKey, started: datetime) -> bool:
        """Tell whether only a check of its reporter's token keeps this server from being culled."""
        return (key, started) in self._awaiting

    async def rule(self, server: ServerState, see: See, now: Instant) -> Verdict:
        """Return the verdict on one server, the hook asked."""
        return await self._ask(server, see, now, _Patience())

    async def rule_all(self, servers: Iterable[ServerState], see: See, now: Instant) -> tuple[Verdict, ...]:
        """Return the verdicts on many servers, the hook asked about each."""
        if self._hook is None:
            return tuple(self._decide(server, see, now) for server in servers)
        patience, slots = _Patience(), asyncio.Semaphore(AT_ONCE)

        async def one(server: ServerState) -> Verdict:
            async with slots:
                return await self._ask(server, see, now, patience)

        verdicts = tuple(await asyncio.gather(*(one(server) for server in servers)))
        there = {v.key for v in verdicts}
        self._heard = {key: heard for key, heard in self._heard.items() if key in there}
        self._awaiting = {
            (v.key, v.started) for v in verdicts if v.rule == HOOK_RULE and v.reason is Reason.UNCONFIRMED
        }
        failed = [v for v in verdicts if v.reason is Reason.HOOK_FAILED]
        if failed:
            first = failed[0]
            log.warning("%d servers are kept; of the first, %s: %s", len(failed), first.key, first.text)
        return verdicts

    def close(self) -> None:
        """End the hook's thread."""
        if self._hook is not None:
            self._hook.close()

    def _decide(self, server: ServerState, see: See, now: Instant) -> Verdict:
        """Decide by the policy; whatever is wrong with this server's evidence, the others are decided on."""
        try:
            return decide(see(server), self.policy, now)
        except Exception as error:
            return self._undecided(server, error)

    async def _ask(self, server: ServerState, see: See, now: Instant, patience: _Patience) -> Verdict:
        if self._hook is None:
            return self._decide(server, see, now)
        try:
            evidence = see(server)
            asked = question(evidence, self.policy, now)
            if asked is None:
                return decide(evidence, self.policy, now)
            opinion = await patience.ask(self._hook, asked)
            self._heard[server.key] = (server.started, opinion)
            return ruled(asked, opinion, now)
        except Exception as error:
            return self._undecided(server, error)

    def _undecided(self, server: ServerState, error: Exception) -> Verdict:
        log.error("no decision on %s could be made; it is held", server.key, exc_info=error)
        words, rule = "no decision could be made; see the log", self.policy.rule
        return Verdict(
            server.key, server.started, Action.HOLD, Reason.UNREADABLE, rule, Basis.NONE, None, words
        )


class _Patience:
    """What is left of it in one pass: a hook that hangs must not make it last for hours."""

    def __init__(self) -> None:
        self._late = 0

    async def ask(self, hook: Hook, asked: Question) -> Opinion:
        if self._late >= GIVE_UP_AFTER:
            return Opinion(None, "it did not answer in time for others of this pass", failed=True)
        opinion = await hook.ask(asked)
        self._late = self._late + 1 if opinion.late else 0
        return opinion
