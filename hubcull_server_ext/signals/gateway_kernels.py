"""Kernels behind a gateway: what goes over their websockets here, and what the gateway says of them.

There is nothing to subscribe to and no process here. The websockets tell of every request while
a page is open; the gateway's own list tells whether a kernel is busy at all. It knows how these two
are asked; what they mean together is in `gateway_state`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from hubcull_server_ext import wire
from hubcull_server_ext.signals.gateway_state import Remote
from hubcull_server_ext.signals.kernel_messages import CONTROL, IOPUB, STDIN, KernelMessage
from hubcull_server_ext.signals.kernel_signals import Departed, connections, state_signals
from hubcull_server_ext.snapshot import SourceError

_BETWEEN_LOOKS = 10.0
"""Seconds between two questions to the gateway, as often as a page asks it."""
_PATIENCE = 10.0
"""Seconds for its answer."""
_CLASS = "GatewayMappingKernelManager"


class GatewayManagers(Protocol):
    """What we use of jupyter_server's GatewayMappingKernelManager."""

    def list_kernel_ids(self) -> list[str]:
        """Return the ids of our kernels."""

    async def list_kernels(self) -> list[dict[str, Any]]:
        """Ask the gateway, and return the REST models of our kernels."""


def are_remote(managers: object) -> bool:
    """Whether kernels run behind a gateway."""
    return any(cls.__name__ == _CLASS for cls in type(managers).__mro__)


class GatewayKernels:
    """Watches kernels behind a gateway; `sample` now and then, after `hurry` at once.

    Args:
        managers: jupyter_server's kernel manager.
        clock: monotonic seconds.
        changed: called when something happened that a report would say.

    """

    name = "kernels"
    channels = frozenset({STDIN, IOPUB})
    asked = frozenset({CONTROL})

    def __init__(
        self,
        managers: GatewayManagers,
        clock: Callable[[], float],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._managers, self._clock, self._changed = managers, clock, changed
        self._kernels: dict[str, Remote] = {}
        self._departed = Departed()
        self._next = float("-inf")
        self._failure: str | None = None

    def hurry(self) -> None:
        """Let the next sample ask whatever the time: a report is due."""
        self._next = float("-inf")

    async def sample(self) -> None:
        """Ask the gateway, if it is time to."""
        asked_at = self._clock()
        self._follow(asked_at)
        if asked_at < self._next or not self._kernels:
            return
        self._next = asked_at + _BETWEEN_LOOKS
        try:
            models = await asyncio.wait_for(self._managers.list_kernels(), _PATIENCE)
            found = {str(model["id"]): model for model in models}
        except Exception as error:
            self._failure = type(error).__name__
            return
        self._failure = None
        now = self._clock()
        self._follow(now)
        changes = [remote.told(found.get(key), asked_at, now) for key, remote in self._kernels.items()]
        if any(changes):
            self._changed()

    def on_socket(self, kernel_id: str, channel: str, message: KernelMessage) -> None:
        """Take a message of a kernel's websocket, in either direction."""
        now = self._clock()
        if kernel_id in self._managers.list_kernel_ids():
            remote = self._kernels.setdefault(kernel_id, Remote(first_seen=now))
            if remote.heard(channel, message, now):
                self._changed()

    def collect(self, now: float) -> list[wire.Signal]:
        """Return work, requests and connections of every kernel.

        Raises:
            SourceError: when the gateway does not answer, or says of a kernel what we do not understand.

        """
        signals = self._departed.signals(now)
        for kernel_id, remote in self._kernels.items():
            signals.extend(state_signals(kernel_id, remote.state, now))
            signals.extend(connections(kernel_id, remote.model))
        if self._kernels and self._failure is not None:
            raise SourceError(f"the kernels' gateway can not be asked: {self._failure}", signals)
        doubts = sorted({doubt for remote in self._kernels.values() if (doubt := remote.doubt(now))})
        if doubts:
            raise SourceError("; ".join(doubts), signals)
        return signals

    def free_since(self, kernel_id: str) -> float | None:
        """Return since when a kernel has nothing in flight (monotonic s), None while it has."""
        remote = self._kernels.get(kernel_id)
        return float("-inf") if remote is None else remote.state.free_since

    def _follow(self, now: float) -> None:
        """Begin with new kernels, and end with those that are gone."""
        ids = set(self._managers.list_kernel_ids())
        for kernel_id in set(self._kernels) - ids:
            remote = self._kernels.pop(kernel_id)
            remote.gone(now)
            self._departed.add(kernel_id, remote.state)
            self._changed()
        for kernel_id in ids - set(self._kernels):
            self._kernels[kernel_id] = Remote(first_seen=now)
            self._next = float("-inf")
