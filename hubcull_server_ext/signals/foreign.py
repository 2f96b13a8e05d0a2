"""What other extensions claim: jupyter_server's two conventions for registering activity.

Every setting whose name ends in ``_last_activity``, and every item of the setting
``last_activity_times``, holds the aware time of somebody's newest activity. What we do not
know protects, and is reported by name. It knows nothing of who wrote the times.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from hubcull_server_ext import wire
from hubcull_server_ext.snapshot import SourceError

# The first is moved by every poll of a tab, the second by resizes and replays; the requests and
# terminals sources tell these apart. The others would be our own words coming back.
_NOT_FOREIGN = frozenset({"api_last_activity", "terminal_last_activity", "hubcull_last_activity", "hubcull"})
_SUFFIX = "_last_activity"


class ForeignSource:
    """Reads other extensions' claims out of the web application's settings.

    Args:
        settings: the tornado application's settings, read anew each time.
        utcnow: the wall clock, as an aware datetime.
        covered: names of claims behind which another source sees more than the claim says.

    """

    name = "foreign"

    def __init__(
        self,
        settings: Mapping[str, Any],
        utcnow: Callable[[], datetime],
        covered: Collection[str] = (),
    ) -> None:
        self._settings = settings
        self._utcnow = utcnow
        self._ignored = _NOT_FOREIGN.union(covered)

    def collect(self, now: float) -> list[wire.Signal]:
        """Return one presence signal per claim; a time in the future counts as this moment.

        Raises:
            SourceError: for a value that is no aware datetime; it names the key and keeps the others.

        """
        utcnow = self._utcnow()
        signals: list[wire.Signal] = []
        broken: list[str] = []
        for key, value in self._claims():
            if isinstance(value, datetime) and value.utcoffset() is not None:
                signals.append(_signal(key, (utcnow - value).total_seconds()))
            else:
                broken.append(f"{key} is {type(value).__name__}")
        if broken:
            raise SourceError(f"not an aware datetime: {', '.join(broken)}", signals)
        return signals

    def _claims(self) -> Iterator[tuple[str, object]]:
        for key, value in list(self._settings.items()):
            if key.endswith(_SUFFIX) and key not in self._ignored:
                yield key, value
        times = self._settings.get("last_activity_times")
        if isinstance(times, Mapping):
            yield from ((str(key), value) for key, value in list(times.items()) if key not in self._ignored)
        elif times is not None:
            yield "last_activity_times", times


def _signal(key: str, age: float) -> wire.Signal:
    return wire.Signal(wire.Kind.FOREIGN, f"setting:{key}", wire.Clock.PRESENCE, age=max(0.0, age), label=key)
