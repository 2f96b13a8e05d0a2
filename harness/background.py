"""One event loop in a thread, so that plain synchronous tests can hold websockets open."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="harness-loop", daemon=True).start()
    return loop


def run(work: Coroutine[Any, Any, T], within: float = 30) -> T:
    """Run a coroutine in the background loop and return its result; TimeoutError after ``within`` seconds."""
    return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, within), _loop()).result()
