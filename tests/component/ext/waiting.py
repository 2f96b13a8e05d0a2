"""Waiting for a condition in a running server, with a bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def until(condition: Callable[[], T | bool | None], within: float = 15.0) -> T | bool:
    """Return the condition's value once it is true, looking 20 times a second.

    Raises:
        AssertionError: when it is not within so many seconds.

    """
    end = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {within} s: {condition}"
        await asyncio.sleep(0.05)
    return value
