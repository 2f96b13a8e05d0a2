"""How a counter of what processes use is doing: a source of its own, which says no signals.

What it counts is part of the jobs in the background. Without this nobody would learn that it
counts nothing, or could switch it off.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

from hubcull_server_ext import wire
from hubcull_server_ext.signals.process import Process
from hubcull_server_ext.signals.usage import Counter, Identity
from hubcull_server_ext.snapshot import SourceError, UnavailableError


class TellingCounter(Counter, Protocol):
    """A counter that knows how it is doing; it may have a ``remark``, on what it leaves out."""

    def check(self) -> None:
        """Raise `UnavailableError` where there is nothing to count, `SourceError` where it can not be."""


class CounterSource:
    """Reads a counter, and says in reports how that went.

    Args:
        name: the source's fixed name on the wire.
        counter: what counts; read in a thread.

    """

    strength = wire.Strength.WEAK

    def __init__(self, name: str, counter: TellingCounter) -> None:
        self.name, self._counter = name, counter
        self._failure: str | None = None

    @property
    def remark(self) -> str | None:
        """What a report says of the source although it is well."""
        remark: str | None = getattr(self._counter, "remark", None)
        return remark

    def read(self, processes: Sequence[Process], now: float) -> Mapping[Identity, float]:
        """Return what each process has used, and raise what the counter raises."""
        try:
            used = self._counter.read(processes, now)
        except Exception as error:
            self._failure = type(error).__name__
            raise
        self._failure = None
        return used

    def collect(self, _now: float) -> list[wire.Signal]:
        """Return nothing.

        Raises:
            UnavailableError: where there is nothing to count.
            SourceError: while it can not be counted.

        """
        if not sys.platform.startswith("linux"):
            raise UnavailableError("processes are watched on Linux only")
        if self._failure is not None:
            raise SourceError(f"can not be counted: {self._failure}")
        self._counter.check()
        return []
