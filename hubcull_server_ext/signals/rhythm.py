"""Requests that come like clockwork: a page's timer makes them, and no person; pure.

A person's requests, also those that a page sends while somebody types, do not keep the same
distance for a minute. One that is late or early is a person's again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

_BEATS = 12
"""Distances in a row that must be the same at least."""
_LONG = 60.0
"""Seconds that they must span, or as much as is remembered."""
_REMEMBERED = 64
_MOST_TIMERS = 3
"""Timers of the same kind that may run one between the other: so many tabs are open."""
_SHORTEST = 1.0
"""Seconds: what comes more often than this is no timer that we know of."""
_SHARE, _SLACK = 0.1, 0.2
"""How far a distance may be from the usual one: a share of it, and seconds for a busy machine."""
_MOST_KEYS = 200


class Rhythms:
    """Remembers when requests came, by what they ask for; at most 200 different ones."""

    def __init__(self) -> None:
        self._times: dict[Hashable, deque[float]] = {}

    def beats(self, key: Hashable, now: float) -> bool:
        """Take note of a request at ``now`` (monotonic s); return whether it is one in a steady rhythm.

        Args:
            key: what asks for what; requests with the same key are taken for one another's followers.
            now: when it came.

        """
        times = self._times.pop(key, None) or deque(maxlen=_REMEMBERED)
        self._times[key] = times
        times.append(now)
        while len(self._times) > _MOST_KEYS:
            del self._times[next(iter(self._times))]
        return any(_steady(list(times)[-_REMEMBERED:], timers) for timers in range(1, _MOST_TIMERS + 1))


def _steady(times: list[float], timers: int) -> bool:
    """Whether each request follows the one so many before it in always the same distance."""
    gaps = [later - earlier for earlier, later in zip(times, times[timers:], strict=False)]
    if len(gaps) < _BEATS or gaps[-1] < _SHORTEST:
        return False
    usual = sorted(gaps[-_BEATS:])[_BEATS // 2]
    matching = 0
    for gap in reversed(gaps):
        if abs(gap - usual) > _SHARE * usual + _SLACK:
            break
        matching += 1
    enough = matching >= _BEATS and times[-1] - times[-1 - timers - matching + 1] >= _LONG
    return enough or matching == _REMEMBERED - timers
