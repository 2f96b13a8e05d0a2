"""How well the service can see: since when it has watched without a gap, and how long it has listened.

Fed by the loop and by ingest with `now`; it reads no clock of its own.
"""

from __future__ import annotations

import logging
from datetime import datetime

from hubcull_hub.model import Instant, Watch

log = logging.getLogger(__name__)

CLOCK_JUMP = 5.0
"""Seconds by which wall and monotonic clock may part between two looks before either is doubted."""

LONGEST_GAP = 600.0
"""Seconds between two reports, of any servers, up to which the time between them counts as listening."""


OUTAGE = 120.0
"""Seconds of time-outs, with no answer in between, that make an outage of the Hub."""

CLOCKS_APART = 60.0
"""Seconds by which the Hub's clock and ours may differ; ``last_activity`` and ``started`` are by its."""


class Sight:
    """The service's eyesight. `watch` is what a decision may know of it."""

    def __init__(self, now: Instant, heard: float = 0.0) -> None:
        self.heard = heard
        """The listening clock (s): runs only while reports come in, whoever sends them."""
        self.unfit: str | None = "the Hub has not answered yet"
        """Why nothing may be stopped at all, or None."""
        self.lost = False
        """Whether the last call to the Hub found nobody there."""
        self._since = now.mono
        self._looked = now
        self._report: float | None = None
        self._jumped: float | None = None
        self._silent_since: float | None = None
        self._apart = 0.0

    def watch(self) -> Watch:
        """Return what a decision may know."""
        return Watch(self._since, self.heard, self._unfit(), self._jumped)

    def _unfit(self) -> str | None:
        if self.lost:
            return "the Hub can not be reached"
        if abs(self._apart) > CLOCKS_APART:
            return f"the Hub's clock is {self._apart:+.0f} s from ours; set both by a time server"
        return self.unfit

    def look(self, now: Instant) -> None:
        """Compare our two clocks: after a jump, or a suspended machine, nothing seen before may condemn."""
        apart = (now.utc - self._looked.utc).total_seconds() - (now.mono - self._looked.mono)
        self._looked = now
        if abs(apart) > CLOCK_JUMP:
            log.warning("the wall clock moved by %.0f s; what was seen before only protects now", apart)
            self._since = self._jumped = now.mono

    def report_came(self, now: Instant) -> None:
        """Run the listening clock on; a long gap means that we, or the way to us, were not there."""
        if self._report is not None and now.mono - self._report <= LONGEST_GAP:
            self.heard += max(0.0, now.mono - self._report)
        self._report = now.mono

    def hub_lost(self) -> None:
        """Note that nobody answers for the Hub: it may be restarting."""
        self.lost = True

    def hub_silent(self, now: Instant) -> None:
        """Note that the Hub gave no answer in time; one that goes on like that is lost."""
        if self._silent_since is None:
            self._silent_since = now.mono
        if now.mono - self._silent_since > OUTAGE:
            self.lost = True

    def hub_answered(self, now: Instant, hub_time: datetime | None = None) -> None:
        """Note an answer of the Hub, dated by it; the first one after an outage begins the warm-up anew."""
        if hub_time is not None:
            self._apart = (hub_time - now.utc).total_seconds()
        if self.lost:
            log.info("the Hub answers again; idle stops wait for the warm-up")
            self._since, self.lost = now.mono, False
        self._silent_since = None
