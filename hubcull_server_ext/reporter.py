"""The loop that reports: when to send, what to make of the answer, when to try again.

It owns no clock, no network and no source of signals; all are handed in. It trusts only
answers that are recognisably the service's, and never raises into the server.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hubcull_server_ext import wire

_FIRST_RETRY = 5.0
_MAX_RETRY_IN = 3600.0
_DEADLINE_EPSILON = 0.1
"""Seconds past a deadline at which to report, so that our own figures have surely reached it."""
_MIN_POKE_GAP = 1.0


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back: the HTTP status and the body."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Tools:
    """What the reporter is handed.

    ``build`` looks and returns a report for a sequence number; ``send`` posts it; ``now`` is monotonic
    seconds; ``wait`` returns when the event is set or after so many seconds; ``random`` is in [0, 1).
    """

    build: Callable[[int], Awaitable[wire.Report]]
    send: Callable[[bytes], Awaitable[HttpAnswer]]
    now: Callable[[], float]
    wait: Callable[[asyncio.Event, float], Awaitable[None]]
    random: Callable[[], float]


async def wait_for_event(event: asyncio.Event, seconds: float) -> None:
    """Return when the event is set, or after ``seconds``: the real `Tools.wait`."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        return


class Reporter:
    """Reports for as long as the server lives; `run` is a task, `poke` says that something changed.

    Args:
        tools: clock, transport and the rest.
        log: the server's own log.
        first_within: the first report goes out within so many seconds, at random.

    """

    def __init__(self, tools: Tools, log: logging.Logger, first_within: float = 5.0) -> None:
        self._tools = tools
        self._log = log
        self._first_within = first_within
        self._poked = asyncio.Event()
        self._sequence = 0
        self._failures = 0
        self._told: set[str] = set()
        self._interval = wire.FIRST_INTERVAL
        self._deadline_at: float | None = None
        self._sent_at: float | None = None

    def poke(self) -> None:
        """Say that something changed: with a deadline near, it is reported at once."""
        if self._deadline_is_near():
            self._poked.set()

    async def run(self) -> None:
        """Report until cancelled; nothing else ends it."""
        delay = self._tools.random() * self._first_within
        while True:
            try:
                await self._pause(delay)
                delay = await self._report()
            except Exception as error:
                delay = self._retry(f"an error of its own ({type(error).__name__})")
                await asyncio.sleep(_MIN_POKE_GAP)  # whatever is broken, it must not spin

    async def _pause(self, delay: float) -> None:
        """Wait for the next report's time, or less when poked; once a second at most."""
        until = self._tools.now() + delay
        while (left := until - self._tools.now()) > 0:
            await self._tools.wait(self._poked, left)
            if self._poked.is_set():
                self._poked.clear()
                earliest = self._tools.now()
                if self._sent_at is not None:
                    earliest = max(earliest, self._sent_at + _MIN_POKE_GAP)
                until = min(until, earliest)

    def _deadline_is_near(self) -> bool:
        return self._deadline_at is not None and self._deadline_at - self._tools.now() < self._interval

    async def _report(self) -> float:
        """Send one report; return the seconds until the next."""
        self._poked.clear()  # what happens from here on may miss this report, and is told in the next
        try:
            report = await self._tools.build(self._sequence)
            self._sequence += 1
            self._sent_at = self._tools.now()
            answer = await self._tools.send(wire.to_bytes(report))
        except Exception as error:
            return self._retry(f"no answer ({type(error).__name__})")
        return self._digest(answer)

    def _digest(self, answer: HttpAnswer) -> float:
        try:
            data = json.loads(answer.body)
        except (ValueError, RecursionError):
            return self._retry(f"HTTP {answer.status} that is not JSON, so not from the service")
        # Any other status than 200 with a reply in it would be somebody between us and the service.
        if answer.status == 200:
            try:
                return self._accept(wire.reply_from_json(data))
            except wire.InvalidMessageError:
                return self._retry("HTTP 200 that is not the service's reply")
        try:
            return self._refused(wire.refusal_from_json(data))
        except wire.InvalidMessageError:
            return self._retry(f"HTTP {answer.status} that is not the service's")

    def _accept(self, reply: wire.Reply) -> float:
        if self._failures:
            self._log.info("hubcull reports are taken again")
        self._failures = 0
        self._told.clear()
        self._interval = min(max(reply.report_in, wire.MIN_INTERVAL), wire.MAX_INTERVAL)
        # Jitter only shortens: the service counts on the interval that it asked for.
        delay = self._interval * (0.9 + 0.1 * self._tools.random())
        self._deadline_at = None
        if reply.deadline_in is not None:
            self._deadline_at = self._tools.now() + reply.deadline_in
            if reply.deadline_in > 0:
                delay = min(delay, reply.deadline_in + _DEADLINE_EPSILON)
        return max(delay, wire.MIN_INTERVAL * 0.9)

    def _refused(self, refusal: wire.Refusal) -> float:
        self._failures += 1
        self._say(refusal.code, f"hubcull refused the report ({refusal.code}): {refusal.message}")
        seconds = min(max(refusal.retry_in, wire.MIN_INTERVAL), _MAX_RETRY_IN)
        return seconds * (1.0 + 0.1 * self._tools.random())

    def _retry(self, problem: str) -> float:
        """Back off: doubling from 5 s, never beyond the interval, and never in step with the others."""
        self._failures += 1
        self._say(problem, f"hubcull could not report: {problem}; trying again")
        ceiling = min(self._interval, wire.MAX_INTERVAL)
        delay = min(_FIRST_RETRY * 2.0 ** min(self._failures - 1, 10), ceiling)
        return max(delay * (0.5 + 0.5 * self._tools.random()), wire.MIN_INTERVAL)

    def _say(self, key: str, text: str) -> None:
        """Log a problem once as a warning, and again only after reports were taken in between."""
        level = logging.DEBUG if key in self._told else logging.WARNING
        self._told.add(key)
        self._log.log(level, "%s", text)
