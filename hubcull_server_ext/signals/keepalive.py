"""jupyter-keepalive: a person's wish that the server stays, for a time that they chose.

The extension registers activity once a minute while the time runs. Its own countdown says
more: it is work that goes on since the wish, so that the operator's cap holds for it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hubcull_server_ext import wire
from hubcull_server_ext.snapshot import SourceError

CLAIM = "jupyter-keepalive"
"""The name under which it registers activity; our reading of its countdown takes its place."""
_COUNTDOWN = "keepalive_spinner"


class KeepaliveSource:
    """Reads the countdown out of the web application's settings.

    Args:
        settings: the tornado application's settings, read anew each time.
        clock: monotonic seconds.

    """

    name = "keepalive"

    def __init__(self, settings: Mapping[str, Any], clock: Callable[[], float]) -> None:
        self._settings, self._clock = settings, clock
        self._wish: object = None
        self._since: float | None = None
        self._ended: tuple[float, float] | None = None

    def sample(self) -> None:
        """Look whether a countdown runs; another deadline is another wish."""
        countdown = self._settings.get(_COUNTDOWN)
        if countdown is None:
            return
        now = self._clock()
        wish = getattr(countdown, "deadline", None)
        running = countdown.remaining > 0
        if self._since is not None and (not running or wish != self._wish):
            self._ended, self._since = (now, now - self._since), None
        if running and self._since is None:
            self._since, self._wish = now, wish

    def collect(self, now: float) -> list[wire.Signal]:
        """Return the wish that is kept, or the one that ended last.

        Raises:
            SourceError: for a countdown that can not be read.

        """
        kind, clock = wire.Kind.DECLARED, wire.Clock.WORK
        countdown = self._settings.get(_COUNTDOWN)
        if countdown is not None and not hasattr(countdown, "remaining"):
            raise SourceError("jupyter-keepalive's countdown has no time that remains; watch_keepalive=False")
        if self._since is not None:
            on = max(0.0, now - self._since)
            return [wire.Signal(kind, self.name, clock, going_on_for=on, label=CLAIM)]
        if self._ended is not None:
            at, lasted = self._ended
            ago = max(0.0, now - at)
            return [wire.Signal(kind, self.name, clock, ended_ago=ago, lasted=lasted, label=CLAIM)]
        return []
