"""Cullers that the server has itself: what would end kernels, terminals or the server beside hubcull.

It reads their settings, which may differ from server to server, and says them; it changes
nothing. Whoever runs a Hub finds them in ``hubcull explain``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hubcull_server_ext import wire

_ALSO = ("cull_connected", "cull_busy")


class InterplaySource:
    """Says which cullers of its own the server has on.

    Args:
        server: the running ServerApp.

    """

    name = "interplay"
    strength = wire.Strength.WEAK

    def __init__(self, server: Any) -> None:
        self._server = server

    def collect(self, _now: float) -> list[wire.Signal]:
        """Return one signal that moves no clock for each of them, ``count`` its timeout in seconds."""
        return [
            wire.Signal(
                wire.Kind.SERVER_CULLER,
                owner,
                wire.Clock.NONE,
                wire.Strength.WEAK,
                label=label,
                count=min(seconds, wire.LARGEST_INTEGER),
            )
            for owner, label, seconds in self._found()
        ]

    def words(self) -> str:
        """Return all of them in one line for the log, empty where there are none."""
        return "; ".join(f"{owner}.{label} = {seconds} s" for owner, label, seconds in self._found())

    def _found(self) -> Iterator[tuple[str, str, int]]:
        """Yield who culls, by which settings, after how many seconds."""
        settings = self._server.web_app.settings
        kernels = self._server.kernel_manager
        idle = _seconds(kernels, "cull_idle_timeout")
        if idle:
            also = [name for name in _ALSO if getattr(kernels, name, False) is True]
            yield "MappingKernelManager", ", ".join(["cull_idle_timeout", *also]), idle
        inactive = _seconds(settings.get("terminal_manager"), "cull_inactive_timeout")
        if inactive:
            yield "TerminalManager", "cull_inactive_timeout", inactive
        shutdown = _seconds(self._server, "shutdown_no_activity_timeout")
        if shutdown:
            yield "ServerApp", "shutdown_no_activity_timeout", shutdown


def _seconds(owner: object, name: str) -> int:
    value = getattr(owner, name, 0)
    return value if isinstance(value, int) and value > 0 else 0
