"""How well the service can see: since when it has watched without a gap, and how long it has listened.

Fed by the loop and by ingest with `now`; it reads no clock of its own.
"""

from __future__ import annotations

import logging

from hubcull_hub.model import Instant, Watch

log = logging.getLogger(__name__)

CLOCK_JUMP = 5.0
"""Seconds by which wall and monotonic clock may part between two looks before either is doubted."""

LONGEST_GAP = 600.0
"""Seconds between two reports, of any servers, up to which the time between them counts as listening."""


class Sight:
    """The service's eyesight. `watch` is what a decision may know of it."""

    def __init__(self, now: Instant, heard: float = 0.0) -> None:
        self.heard = heard
        """The listening clock (s): runs only while reports come in, whoever sends them."""
        self.unfit: str | None = "the Hub has not answered yet"
        """Why nothing may be stopped at all, or None."""
        self._since = now.mono
        self._looked = now
        self._report: float | None = None
        self.lost = False
        """Whether the last call to the Hub found nobody there."""

    def watch(self) -> Watch:
        """Return what a decision may know."""
        unfit = "the Hub can not be reached" if self.lost else self.unfit
        return Watch(since=self._since, heard=self.heard, unfit=unfit)

    def look(self, now: Instant) -> None:
        """Compare the two clocks: after a jump (or a suspended machine) nothing seen before may condemn."""
        apart = (now.utc - self._looked.utc).total_seconds() - (now.mono - self._looked.mono)
        self._looked = now
        if abs(apart) > CLOCK_JUMP:
            log.warning("the wall clock moved by %.0f s; what was seen before only protects now", apart)
            self._since = now.mono

    def report_came(self, now: Instant) -> None:
        """Run the listening clock on; a long gap means that we, or the way to us, were not there."""
        if self._report is not None and now.mono - self._report <= LONGEST_GAP:
            self.heard += max(0.0, now.mono - self._report)
        self._report = now.mono

    def hub_lost(self) -> None:
        """Note that the Hub could not be reached: it may be restarting."""
        self.lost = True

    def hub_answered(self, now: Instant) -> None:
        """Note an answer of the Hub; the first one after an outage begins the warm-up anew."""
        if self.lost:
            log.info("the Hub answers again; idle stops wait for the warm-up")
            self._since, self.lost = now.mono, False
