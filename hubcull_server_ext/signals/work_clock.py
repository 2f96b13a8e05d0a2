"""Our clock of work as the server's own activity: for other cullers and the Hub's page, if asked for.

jupyter_server takes every setting whose name ends in ``_last_activity`` into its
``last_activity``. This keeps one there: now while something computes, the end of what
computed last afterwards. `foreign` leaves it out, so that it never comes back to us.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from hubcull_server_ext import wire
from hubcull_server_ext.snapshot import SignalSource, SourceError

SETTING = "hubcull_last_activity"


class WorkClock:
    """Publishes the end of the newest work; `publish` after each look of the sources.

    Args:
        settings: the tornado application's settings.
        sources: those that see work.
        utcnow: the wall clock, as an aware datetime.

    """

    def __init__(
        self,
        settings: MutableMapping[str, Any],
        sources: Sequence[SignalSource],
        utcnow: Callable[[], datetime],
    ) -> None:
        self._settings, self._sources, self._utcnow = settings, tuple(sources), utcnow

    def publish(self, now: float) -> None:
        """Set the time (``now``: monotonic s); it is never taken back, and without work never set."""
        ages = [age for source in self._sources for age in _ages(source, now)]
        if ages:
            newest = self._utcnow() - timedelta(seconds=min(ages))
            earlier = self._settings.get(SETTING)
            if not isinstance(earlier, datetime) or newest > earlier:
                self._settings[SETTING] = newest


def _ages(source: SignalSource, now: float) -> list[float]:
    """Return how long ago a source last saw each piece of work go on; what it can not see says nothing."""
    try:
        signals: Sequence[wire.Signal] = source.collect(now)
    except SourceError as error:
        signals = error.signals
    except Exception:
        return []  # the collector asks it, too, and says so in the report
    work = (signal for signal in signals if signal.clock is wire.Clock.WORK)
    return [0.0 if signal.going_on_for is not None else signal.ended_ago or 0.0 for signal in work]
