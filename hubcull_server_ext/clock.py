"""The extension's only view of real time; everything else is given `now`."""

from __future__ import annotations

import time
from datetime import datetime, timezone

monotonic = time.monotonic
"""Seconds on a clock that never goes backwards; only differences mean something.

It is read at each request and message, where a function of ours around it would cost more than reading it.
"""


def utcnow() -> datetime:
    """Return the aware UTC time, for ages of the timestamps that jupyter_server keeps."""
    return datetime.now(timezone.utc)


def wall() -> float:
    """Return seconds since the epoch, for ages of file times."""
    return time.time()


def boottime() -> float:
    """Return seconds since the machine (or its time namespace) booted, for ages of processes.

    Linux counts a process's start on this clock, which goes on while the machine sleeps.

    Raises:
        AttributeError: on a platform without that clock.

    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)
