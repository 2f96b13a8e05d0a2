"""Signals of other packages, found by the entry point group ``hubcull.signals``; see `api`.

It loads them, each apart, and asks them. It knows nothing of what they watch; whatever one
of them does wrong, the others and the server go on.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from hubcull_server_ext.api import GROUP, Ask, Claim
from hubcull_server_ext.signals.asking import AnswerError, AskingSource, InThread, Question

LIMIT = 5.0
"""Seconds that a plugin may take to answer."""
_MOST = 20


class PluginsSource(AskingSource):
    """Asks every plugin; `start` loads them.

    Args:
        server: the running server, handed to each plugin.
        interval: seconds between two questions.
        clock: monotonic seconds.
        limit: seconds that an answer may take.

    """

    def __init__(
        self, server: Any, interval: float, clock: Callable[[], float], limit: float = LIMIT
    ) -> None:
        super().__init__("plugins", (), interval, clock)
        self._server, self._limit = server, limit

    def start(self) -> None:
        """Load the plugins; one that can not be loaded is named as failed for good."""
        for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)[:_MOST]:
            name = f"plugin:{_plain(point.name)}"
            try:
                self.questions.append(Question(name, self._asks(point), self._limit, self._clock))
            except Exception as error:
                self.broken.append(f"{name}: {type(error).__name__} while it was loaded")

    def _asks(self, point: EntryPoint) -> Callable[[], Awaitable[Iterable[Claim]]]:
        ask: Ask = point.load()(self._server)
        if not callable(ask):
            raise TypeError(point.name)
        if inspect.iscoroutinefunction(ask):
            return ask

        def call() -> Iterable[Claim]:
            answer = ask()
            if inspect.isawaitable(answer):
                raise AnswerError("an ordinary function returned something to be awaited; make it async")
            return tuple(answer)  # what is made on the way is made here, in the thread

        return InThread(call)


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:_LONGEST_NAME]


_LONGEST_NAME = 40
