"""Take reports: prove the reporter, read the wire, keep the evidence, answer with the verdict.

With `receipt` the only place that turns wire messages into the service's own words, and so the seam between
versions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn

from hubcull_hub.directory import Directory
from hubcull_hub.identity import Entry, Rejection, TokenBook
from hubcull_hub.model import (
    Instant,
    Policy,
    Reason,
    Received,
    ServerKey,
    ServerState,
    Verdict,
)
from hubcull_hub.policy import decide, report_interval
from hubcull_hub.reading import Reply, Report, read_report
from hubcull_hub.receipt import continues, receive, repeats
from hubcull_hub.sight import Sight
from hubcull_hub.standing import standing
from hubcull_hub.store import Store
from hubcull_server_ext import wire

log = logging.getLogger(__name__)

CHECK_AGAIN = 600.0
"""Seconds for which a token need not be checked again while report after report shows the same due server:
one that a dry run or a budget leaves running must not cost the Hub a question with each of them."""

SOON = 10.0
"""Seconds after which a server that reports while the Hub still starts it is to report again: it is shown as
pending until then, and the Hub tells nobody when that ends."""

MOST_WARNED = 1000
"""Of so many whose reports are wrong it is remembered that the log has said so."""


class Refused(Exception):  # noqa: N818 - an answer to the reporter, not a fault of ours
    """A report that is not taken: the HTTP status and the refusal to send."""

    def __init__(self, status: int, code: str, message: str, retry_in: float = 60.0) -> None:
        super().__init__(message)
        self.status, self.refusal = status, wire.Refusal(code, message, retry_in)


class Ingest:
    """Takes reports, one call of `accept` each."""

    def __init__(
        self,
        book: TokenBook,
        directory: Directory,
        store: Store,
        sight: Sight,
        policy: Policy,
        now: Callable[[], Instant],
        awaits_check: Callable[[ServerKey, datetime], bool] = lambda *_: False,
    ) -> None:
        self._awaits_check = awaits_check
        self._book, self._directory, self._store = book, directory, store
        self._sight, self._policy, self._now = sight, policy, now
        self._interval = report_interval(policy)
        self.refused: dict[str, int] = {}
        """How many reports were refused, by code."""
        self._warned: set[str] = set()

    async def accept(self, token: str, body: bytes) -> Reply:
        """Take one report and return the reply.

        Args:
            token: as sent; it proves which server this is.
            body: of the request, JSON.

        Raises:
            Refused: when the report is not taken; nothing is remembered of it then.
            HubError: when the Hub could not be asked about the token or the server.

        """
        try:
            return await self._accept(token, body)
        except Refused as refused:
            code = refused.refusal.code
            self.refused[code] = self.refused.get(code, 0) + 1
            raise

    async def _accept(self, token: str, body: bytes) -> Reply:
        asked = self._now()
        known = self._book.known(token, asked.mono)
        entry = await self._look(token, asked) if known is None else self._believe(known, asked)
        key = _key_of(entry)
        report = self._read(body, key)
        listed = self._directory.known(key, asked, younger_than=report.uptime)
        if listed is not None and listed.started is not None:
            server, started = listed, listed.started
        else:
            server, started = await self._server(token, key, report.uptime)
        if entry.started is not None and entry.started != started:
            entry = await self._look(token, asked, fresh=True)
        previous = self._store.report(key, started)
        if previous is not None and not continues(previous, report) and entry.checked_at < asked.mono:
            entry = await self._look(token, asked, fresh=True)
        if entry.started != started:
            self._book.bind(token, started)
        now = asked
        if entry is not known or server is not listed:  # the Hub was asked: much may have changed meanwhile
            now, previous = self._now(), self._store.report(key, started)
        self._sight.look(now)
        self._sight.report_came(now)
        if previous is not None and repeats(previous, report):
            return self._reply(server, self._decide(server, now), now)
        validated = entry.checked_at >= asked.mono or self._still_due(previous, entry, asked)
        received = receive(
            report,
            started,
            previous,
            now,
            policy=self._policy,
            interval=self._interval,
            heard=self._sight.heard,
            validated=validated,
        )
        self._store.put_report(key, received)
        verdict = self._decide(server, now)
        if verdict.reason is Reason.UNCONFIRMED or (not validated and self._awaits_check(key, started)):
            await self._validate(token, key, received, previous, now)
            verdict = self._decide(server, now)
        return self._reply(server, verdict, now)

    def _still_due(self, previous: Received | None, entry: Entry, now: Instant) -> bool:
        """Tell whether the last report showed the same server due, its token checked for that lately."""
        if previous is None or not previous.validated or now.mono - entry.checked_at >= CHECK_AGAIN:
            return False
        return standing(previous, self._policy).ends <= 0

    async def _validate(
        self, token: str, key: ServerKey, received: Received, previous: Received | None, now: Instant
    ) -> None:
        """Check the token of a report that may lead to a stop; one that is not believed is not remembered."""
        validated: Received | None = None
        try:
            await self._look(token, now, fresh=True)
            validated = received._replace(validated=True)
        except Refused:
            validated = previous
            raise
        finally:
            if validated is not None and self._store.report(key, received.started) is received:
                self._store.put_report(key, validated)

    async def _look(self, token: str, now: Instant, *, fresh: bool = False) -> Entry:
        """Look a token up, asking the Hub where that must be, and turn a rejection into a refusal."""
        return self._believe(await self._book.look(token, now.mono, fresh=fresh), now)

    def _believe(self, entry: Entry, now: Instant) -> Entry:
        """Return an entry that proves a server; raise the refusal of any other."""
        rejection = entry.proof_or_rejection
        if isinstance(rejection, Rejection):
            if rejection.user is not None:
                self._warn(rejection.user, f"a report for user {rejection.user}: {rejection.message}")
                self._store.mark_doubt(rejection.user, Reason.UNPROVEN, now)
            raise Refused(403, rejection.code.value, rejection.message)
        return entry

    def _warn(self, whom: str, text: str) -> None:
        """Log what is wrong with somebody's reports once as a warning: they come again and again."""
        log.log(logging.DEBUG if whom in self._warned else logging.WARNING, "%s", text)
        if len(self._warned) > MOST_WARNED:
            self._warned.clear()
        self._warned.add(whom)

    def _read(self, body: bytes, key: ServerKey) -> Report:
        """Read the wire; the server it claims to be must be the one the token proves."""
        try:
            report = read_report(body)
        except wire.InvalidMessageError as error:
            raise self._unreadable(400, key, f"the report can not be read: {error}") from error
        if report.server != str(key) and ServerKey.parse(report.server) != key:
            self._store.mark_doubt(key, Reason.UNREADABLE, self._now())
            message = f"the token is that of {key}, the report speaks for {report.server!r}"
            raise Refused(403, "another-server", message)
        return report

    async def refuse_large(self, token: str, limit: int) -> NoReturn:
        """Refuse a body that is larger than ``limit`` bytes; who sent it is known to report all the same."""
        entry = await self._look(token, self._now())
        raise self._unreadable(413, _key_of(entry), f"a report has at most {limit} bytes")

    def _unreadable(self, status: int, key: ServerKey, message: str) -> Refused:
        """Return the refusal of a report that means nothing to us: its server is unknown then, never idle."""
        self._warn(str(key), f"{key}: {message}")
        self._store.mark_doubt(key, Reason.UNREADABLE, self._now())
        return Refused(status, "unreadable", message)

    async def _server(self, token: str, key: ServerKey, uptime: float) -> tuple[ServerState, datetime]:
        """Return the server as the Hub lists it; one whose process is younger than our view is read anew.

        The token of one that is not listed is checked again when the Hub was asked for it, and no oftener:
        that of a stopped server is gone, whichever of the two we learn of first.
        """
        asks = self._directory.pause(key) <= 0
        server = await self._directory.find(key, younger_than=uptime)
        if server is None or server.started is None:
            if asks:
                await self._look(token, self._now(), fresh=True)
            message = f"the Hub does not list {key} as running"
            pause = max(self._directory.pause(key), 1.0)
            raise Refused(404, "not-listed", message, retry_in=pause)
        return server, server.started

    def _decide(self, server: ServerState, now: Instant) -> Verdict:
        return decide(self._store.evidence(server, self._sight.watch(), now), self._policy, now)

    def _reply(self, server: ServerState, verdict: Verdict, now: Instant) -> Reply:
        settled = server.ready and server.pending is None
        left = None if verdict.deadline is None else (verdict.deadline - now.utc).total_seconds()
        return Reply(
            verdict.action,
            verdict.reason,
            verdict.text,
            verdict.rule,
            self._interval if settled else min(SOON, self._interval),
            None if left is None else max(0.0, left),
        )


def _key_of(entry: Entry) -> ServerKey:
    proof = entry.proof_or_rejection
    assert not isinstance(proof, Rejection)  # noqa: S101 - `_look` has refused those
    return proof.key
