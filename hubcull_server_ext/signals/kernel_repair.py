"""Floods of messages: a long queue against losing any, and when to ask a shell whether some were lost.

It only says when to ask: a kernel that is silent and computes nothing, long after a flood. What
the answer proves is in `kernel_state`. A kernel whose process we do not know is never asked.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import Any

import zmq
from zmq.eventloop.zmqstream import ZMQStream

from hubcull_server_ext.signals.kernel_processes import process_of
from hubcull_server_ext.signals.processes import ProcessTable

_RECEIVE_AHEAD = 50_000
"""Messages that may wait for us while the server is busy; with the usual 1000 a flood loses some."""
_FLOOD = 1000
"""Messages between two looks; no queue on the way from a kernel is known to hold fewer."""
_LONG = 60.0
"""Seconds for which something must have been in flight."""
_QUIET = 30.0
"""Seconds without a message and without computing after which the shell is asked."""
_NEXT_TO_NOTHING = 0.02
"""Processor seconds per second: an idle kernel's housekeeping stays below this."""
_SHORTEST = 10.0
"""Seconds over which use is judged at least, so that one moment's work is not much."""


class Repair:
    """One kernel's floods and silences; times in monotonic seconds. ``wanted``: its shell should be asked."""

    def __init__(self) -> None:
        self.wanted = False
        self._messages = 0
        self._flood_at: float | None = None
        self._heard_at = 0.0
        self._quiet: tuple[float, float] | None = None

    def heard(self, now: float, tells: bool) -> None:
        """Count a message; ``tells`` is False for answers to what front ends ask by themselves."""
        self._messages += 1
        if tells:
            self._heard_at = now

    def flooded(self, now: float) -> bool:
        """Tell whether so many messages came since the last look that some may be missing."""
        flood, self._messages = self._messages > _FLOOD, 0
        if flood:
            self._flood_at = now
        return flood

    def considers(self, since: float | None, now: float) -> bool:
        """Whether the use of the processor matters; ``since`` is the begin of the oldest request in flight.

        Without a flood since then nothing was lost, and a kernel that answers in mid-cell stays unasked.
        """
        if since is None or now - since <= _LONG or self._flood_at is None or self._flood_at < since:
            self.wanted, self._quiet = False, None
            return False
        return True

    def take_use(self, used: float | None, now: float) -> bool:
        """Take the processor seconds used so far, None if unknown; return whether to begin to ask."""
        before, self.wanted = self.wanted, False
        if used is None:
            self._quiet = None
            return False
        if self._quiet is not None and self._heard_at <= self._quiet[0]:
            began, then = self._quiet
            if 0 <= used - then <= _NEXT_TO_NOTHING * max(now - began, _SHORTEST):
                self.wanted = now - began > _QUIET
                return self.wanted and not before
        self._quiet = (now, used)
        return False


def receive_ahead(stream: ZMQStream) -> None:
    """Let more messages wait for us; the limit holds only for a connection made after it is set."""
    endpoint = stream.socket.getsockopt(zmq.LAST_ENDPOINT)
    if not isinstance(endpoint, bytes) or not endpoint:
        return
    address = endpoint.rstrip(b"\0").decode()
    stream.socket.setsockopt(zmq.RCVHWM, _RECEIVE_AHEAD)
    with suppress(zmq.ZMQError):
        stream.socket.disconnect(address)
        stream.socket.connect(address)


async def processor_time(manager: Any) -> float | None:
    """Return the processor seconds that a kernel's processes used so far, None where they are not known."""
    pid = process_of(manager)
    return await asyncio.get_running_loop().run_in_executor(None, _time_of_child, pid)


def _time_of_child(pid: int | None) -> float | None:
    """Return what a child process of ours and all below it used; a number that is not ours says nothing."""
    table = ProcessTable()
    table.refresh()
    root = None if pid is None else table.get(pid)
    if root is None or root.parent != os.getpid():
        return None
    return sum(member.used + member.used_by_dead for member in table.below(root)) / os.sysconf("SC_CLK_TCK")
