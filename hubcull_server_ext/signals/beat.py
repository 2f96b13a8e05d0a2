"""What comes by itself, told from what a person does, by when it comes; pure.

A page's timers keep their beat and a long poll is asked anew as soon as it is answered; a
person does neither. What has not yet shown that it is one of these protects. It knows
nothing of what it is that comes, and keeps times only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice, pairwise
from statistics import median

_REMEMBERED = 13
_LAGS = (1, 2, 3)
"""How many pages, or tabs, may keep the same beat beside each other."""
_LEAST = 3
"""How many gaps of each of these must agree, before it is a beat."""
_SHARE = 0.75
"""The share of gaps that must agree: one that is late, or a person's act in between, ends no beat."""
_SLACK, _RELATIVE_SLACK = 0.3, 0.1
"""Seconds, and the share of the period, by which a beat may miss its time: servers and networks are busy."""
_SHORTEST_PERIOD = 0.9
"""Seconds; what comes oftener, as the keys of somebody who types, is not taken for a beat."""
_MISSED = 3
"""After so many periods without it, what comes is a page that was opened, or a machine that woke up."""
_LONG_POLL = 5.0
"""Seconds that a long poll waits for its answer at least."""
_ASKED_ANEW = 1.0
"""Seconds after the answer within which it is asked anew."""
_POLLS = 2
"""How many times in a row that must be seen."""


class Beat:
    """One thing that happens now and then."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_REMEMBERED)

    def comes(self, at: float) -> bool:
        """Take note that it happens at ``at`` (s); return whether it keeps a beat, and came no sooner."""
        times = self._times
        times.append(at)
        for lag in _LAGS:
            gaps = [later - sooner for sooner, later in zip(times, islice(times, lag, None), strict=False)]
            if len(gaps) < _LEAST * lag:
                return False
            period = median(gaps)
            slack = max(_SLACK, _RELATIVE_SLACK * period)
            agreeing = sum(abs(gap - period) <= slack for gap in gaps)
            if period < _SHORTEST_PERIOD or agreeing < _SHARE * len(gaps):
                continue
            if not _take_turns(times, lag, slack):
                continue
            if gaps[-1] > _MISSED * period + slack:
                times.clear()
                times.append(at)
                return False
            if gaps[-1] >= period - slack:
                return True
        return False


def _take_turns(times: Iterable[float], lag: int, slack: float) -> bool:
    """Whether so many timers come one after the other: the gaps between them come again, each in its turn.

    By their sums alone a person's uneven gaps look like two timers every now and then.
    """
    gaps = [later - sooner for sooner, later in pairwise(times)]
    again = [abs(gap - before) <= slack for before, gap in zip(gaps, gaps[lag:], strict=False)]
    return lag == 1 or sum(again) >= _SHARE * len(again)


class LongPoll:
    """One request that may be asked anew whenever it is answered."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque(maxlen=_REMEMBERED)
        self._chain = 0

    def answered(self, start: float, end: float) -> bool:
        """Take note that it was asked at ``start`` and answered at ``end`` (s); return whether it is one.

        ``start`` may be a little before the end of the one before, for clocks are read at different moments.
        """
        anew = any(-0.1 <= start - before <= _ASKED_ANEW for before in self._ends)
        self._chain = self._chain + 1 if anew else 0
        if end - start >= _LONG_POLL:
            self._ends.append(end)
        return self._chain >= _POLLS
