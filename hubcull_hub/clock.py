"""The service's only view of real time; everything else is given `now`."""

from __future__ import annotations

import time
from datetime import datetime, timezone

from hubcull_hub.model import Instant


def now() -> Instant:
    """Return this moment, read from both clocks."""
    return Instant(datetime.now(timezone.utc), time.monotonic())
