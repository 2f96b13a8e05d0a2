"""One kernel under watch: whether we hear it, whether its process lives, and what is doubtful about it.

It knows how a subscription, a probe and what the kernel does belong together; it finds no kernels.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from zmq.eventloop.zmqstream import ZMQStream

from hubcull_server_ext.signals.kernel_flow import Flow
from hubcull_server_ext.signals.kernel_messages import (
    ECHO,
    STATUS,
    KernelMessage,
    UnreadableMessageError,
    family,
    headers,
    parse,
    tells_little,
    type_in,
)
from hubcull_server_ext.signals.kernel_probe import Probe
from hubcull_server_ext.signals.kernel_repair import Repair
from hubcull_server_ext.signals.kernel_requests import CHATTER
from hubcull_server_ext.signals.kernel_state import KernelState

_ATTACH_GRACE = 15.0
"""Seconds that a kernel may take to open its ports before "not watched" becomes a failure."""


_PATIENCE = 1.0
"""Seconds for which one look waits for word whether a process lives; of another machine it may never come."""


class Pulse:
    """Whether a kernel's process lives, as its manager says. One question at a time, and none cut short.

    Where a provisioner has the process on another machine, its answer comes over a network, or never.
    """

    def __init__(self) -> None:
        self._asked: asyncio.Future[Any] | None = None

    async def lives(self, manager: Any) -> bool | None:
        """Return what the manager says, None while it says nothing; raises whatever it raises."""
        if self._asked is None:
            answer = manager.is_alive()
            if not inspect.isawaitable(answer):
                return bool(answer)
            self._asked = asyncio.ensure_future(answer)
        asked = self._asked
        await asyncio.wait({asked}, timeout=_PATIENCE)
        if self._asked is not asked or not asked.done():
            return None
        self._asked = None
        return bool(asked.result())

    def forget(self) -> None:
        """Let go of a question: the process that it was about has been lost."""
        if self._asked is not None:
            self._asked.cancel()
        self._asked = None


class Questions:
    """What a kernel asks while no page is open: jupyter_server keeps it, each message with its channel."""

    def __init__(self) -> None:
        self._list, self._read = 0, 0

    def new(self, messages: object) -> Iterator[list[bytes]]:
        """Yield the frames of each message on stdin since the last time."""
        if not isinstance(messages, list):
            self._list, self._read = 0, 0
            return
        if id(messages) != self._list or len(messages) < self._read:
            self._list, self._read = id(messages), 0
        begin, self._read = self._read, len(messages)
        for channel, frames in messages[begin:]:
            if channel == "stdin":
                yield frames


@dataclass(slots=True)
class Watched:
    """One kernel under watch; ``unreadable`` is the reason why its newest message could not be read."""

    state: KernelState = field(default_factory=KernelState)
    first_seen: float = 0.0
    replaced: float | None = None
    """When the process that was there first was lost (monotonic s); the next one begins then."""
    stream: ZMQStream | None = None
    ports: tuple[int, ...] = ()
    manager: Any = None
    failure: str | None = None
    unreadable: str | None = None
    pulse: Pulse = field(default_factory=Pulse)
    probe: Probe = field(default_factory=Probe)
    repair: Repair = field(default_factory=Repair)
    questions: Questions = field(default_factory=Questions)
    flow: Flow | None = None
    unread: list[bytes] | None = None
    """The newest message, where it was one that tells little: only the newest of these matters, and then."""
    parent: tuple[bytes, bool] = (b"", False)
    """The last parent's header, and whether it asks for more than front ends do by themselves."""
    families: dict[str, bytes] = field(default_factory=dict)
    """How the topics of statuses and of cells' echoes begin, as far as they came; empty where they differ."""
    dead: bool = False
    told: bool = False
    """Whether the loss of its process was told, and somebody is about to tell it once more."""
    pid: int | None = None
    """Its process at the last look, None after a loss and where nobody says."""
    looked: float = 0.0
    """When that was (monotonic s)."""
    noticed: bool = False
    """Whether that it is another process was seen before anybody told."""

    def passes(self, frames: list[bytes], now: float) -> bool:
        """Take a message that tells little without reading it, as a widget's are; False leaves it to be read.

        Nothing of it matters but that it came, unless something waits or nothing has been heard yet.
        """
        if self.state.waiting or self.probe.first_heard is None:
            return False
        header, parent = headers(frames)
        if not tells_little(header):
            return False
        if parent != self.parent[0]:
            self.parent = parent, type_in(parent) not in CHATTER
        self.repair.heard(now, tells=self.parent[1])
        self.unread = frames
        return True

    def learn(self, topic: bytes, message: KernelMessage) -> None:
        """Take note under which topic a message that tells something came."""
        if message.msg_type in {STATUS, ECHO}:
            found = family(topic, message.msg_type)
            same = self.families.get(message.msg_type, found) == found
            self.families[message.msg_type] = found if same else b""

    def enough(self) -> bytes | None:
        """Return how the topics begin of all that must be heard, None where that is not known, or is all.

        The rest is output, and worth only that it came: unless a request waits, or has asked before we heard
        of it, for output may prove that it goes on.
        """
        waits = self.state.waiting or self.state.unmatched is not None
        if waits or self.probe.first_heard is None:
            return None
        echo = self.families.get(ECHO)
        return echo if echo and echo == self.families.get(STATUS) else None

    def widen(self) -> None:
        """Hear all at once where less is not enough any more, as when a cell begins to wait in mid-flood."""
        if self.flow is not None and self.enough() is None:
            self.flow.hear_all()

    def read_unread(self, now: float) -> None:
        """Read the newest message, if that was left out: what comes next may be compared with it.

        One that can not be read is a doubt, and never keeps what comes next from being read.
        """
        frames, self.unread = self.unread, None
        try:
            if frames is not None:
                self.state.observe(parse(frames), now)
        except UnreadableMessageError as error:
            self.unreadable = str(error)

    def catch_up(self, now: float) -> None:
        """Take and read all that has come so far."""
        if self.flow is not None:
            self.flow.catch_up()
        self.read_unread(now)

    def notice(self, pid: int | None, now: float) -> bool:
        """Begin anew if it is another process than at the last look, and nobody has told; see `lose`.

        jupyter_server before 2.6 announces no restart, and of a kernel manager of another make none does.
        """
        before, self.pid = self.pid, self.pid if pid is None else pid
        looked, self.looked = self.looked, now
        if before is None or before == self.pid:
            return False
        # Where it was heard to start since the last look, what is in flight is its own.
        changed = self.lose(now, forget=self.state.started_at <= looked)
        self.pid, self.noticed = pid, True
        return changed

    def knows(self, pid: int | None) -> bool:
        """Tell whether the restart that led to this process was noticed; it counts once, whoever tells it."""
        return self.noticed and pid is not None and pid == self.pid

    def prove(self, now: float) -> None:
        """Find out whether we hear the kernel; while its shell does not answer, take it for busy."""
        if self.repair.flooded(now):
            self.probe.doubt()
        known_to_work = not self.state.only_suspected and not self.repair.wanted
        if self.stream is None or self.dead or known_to_work or self.state.main_shell_waits:
            return  # a busy shell need not be asked
        self.probe.step(self.manager, now)
        if self.probe.suspected_since is not None:
            self.state.suspect(self.probe.suspected_since)

    def lose(self, now: float, forget: bool = True) -> bool:
        """Begin anew, for its process is gone; return whether that changed what a report would say.

        The next process has to be heard first, too. One that we were not yet known to hear may have died at
        work, and counts; a loss that is told twice counts once. ``forget``: whether what is in flight was of
        that process.
        """
        self.catch_up(now)
        silent, self.told = self.probe.proven or self.told or self.stream is None, False
        self.probe.reset()
        self.pulse.forget()
        self.pid, self.noticed = None, False
        self.replaced = now
        if not (forget and self.state.clear(now)):
            if silent:
                return False
            self.state.may_have_worked(now)
        return True

    def detach(self) -> None:
        """Close the subscription."""
        self.probe.reset()
        self.pulse.forget()
        if self.stream is not None and not self.stream.closed():
            self.stream.close()
        self.stream = self.flow = None
        self.families.clear()

    def started(self, now: float, limit: float) -> float | None:
        """Return when its process had started (monotonic s), None while it may still be starting.

        One that the server started and that never said anything for ``limit`` seconds is taken for stuck: it
        has nothing in flight, for to begin a cell is to say so. Not if jupyter_server heard what we did not,
        or if it has answered, and only what it publishes is not heard.
        """
        if self.probe.first_heard is not None:
            return self.probe.first_heard
        late = (self.first_seen if self.replaced is None else self.replaced) + limit
        heard_elsewhere = getattr(self.manager, "execution_state", None) in {"busy", "idle"}
        owned = getattr(self.manager, "owns_kernel", True) is True
        silent = not heard_elsewhere and not self.probe.answered
        return late if limit and owned and silent and now >= late else None

    def problem(self, now: float, start_limit: float) -> str | None:
        """Return what is in doubt about the kernel, if anything is; a start takes ``start_limit`` s."""
        if self.failure is not None:
            return f"a kernel can not be watched: {self.failure}"
        if self.unreadable is not None:
            return f"a kernel's messages can not be read: {self.unreadable}"
        if self.stream is None:
            late = now - self.first_seen > _ATTACH_GRACE
            return "a kernel can not be watched: it has opened no ports" if late else None
        if self.probe.proven or self.dead or self.state.in_flight or self.state.waiting:
            return None
        if self.probe.first_heard is None and self.started(now, start_limit) is not None:
            return None
        return "a kernel has not answered yet"
