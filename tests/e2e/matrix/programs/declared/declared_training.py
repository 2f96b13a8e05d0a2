"""A package with a signal of its own, as docs/signals.md says."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hubcull_server_ext.api import Claim, Work


def watch(server: Any) -> Callable[[], list[Claim]]:
    """Return what is to be asked: it computes for as long as `training.running` has been there."""
    running = Path(server.root_dir) / "training.running"

    def claims() -> list[Claim]:
        if not running.exists():
            return []
        return [Work(going_on_for=max(0.0, time.time() - running.stat().st_mtime), label="training")]

    return claims
