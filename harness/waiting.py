"""Waiting for something to become true, within a bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(probe: Callable[[], T | None], within: float, what: str, every: float = 0.1) -> T:
    """Call ``probe`` every ``every`` seconds until it returns something true, and return that.

    Raises:
        TimeoutError: after ``within`` seconds; its text is ``what`` and the bound.

    """
    end = time.monotonic() + within
    while True:
        if found := probe():
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"not within {within:g} s: {what}")
        time.sleep(every)


def stays(probe: Callable[[], object], seconds: float, every: float = 0.2) -> bool:
    """Whether ``probe`` is true now and at every look during ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not probe():
            return False
        time.sleep(every)
    return bool(probe())
