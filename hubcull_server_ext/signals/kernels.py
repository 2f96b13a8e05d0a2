"""Kernels: an own subscription to what each publishes, kept attached through every restart.

It knows how to find kernels in a jupyter_server and when a kernel's process is replaced;
what the messages mean is in `kernel_state`. It decides nothing. All it ever sends to a kernel
are the questions of its `kernel_probe` after each start of its process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from zmq.eventloop.zmqstream import ZMQStream

from hubcull_server_ext import wire
from hubcull_server_ext.signals.kernel_flow import Flow
from hubcull_server_ext.signals.kernel_messages import (
    CONTROL,
    STDIN,
    KernelMessage,
    UnreadableMessageError,
    parse,
)
from hubcull_server_ext.signals.kernel_processes import process_of
from hubcull_server_ext.signals.kernel_repair import processor_time, receive_ahead
from hubcull_server_ext.signals.kernel_requests import CHATTER
from hubcull_server_ext.signals.kernel_signals import Departed, connections, state_signals
from hubcull_server_ext.signals.kernel_watched import Watched
from hubcull_server_ext.snapshot import SourceError

KERNEL_ACTIONS = "https://events.jupyter.org/jupyter_server/kernel_actions/v1"


class KernelManagers(Protocol):
    """What we use of jupyter_server's MappingKernelManager."""

    def list_kernel_ids(self) -> list[str]:
        """Return the ids of the running kernels."""

    def get_kernel(self, kernel_id: str) -> Any:
        """Return one kernel's manager."""

    def kernel_model(self, kernel_id: str) -> Any:
        """Return the REST model of one kernel."""


class EventLogger(Protocol):
    """What we use of jupyter_events' EventLogger."""

    def add_listener(self, *, schema_id: str | None = None, listener: Any) -> None:
        """Listen to one schema's events."""

    def remove_listener(self, *, schema_id: str | None = None, listener: Any) -> None:
        """Stop listening."""


class KernelsSource:
    """Watches every kernel of the server; `start`, `reconcile` and `sample` every few seconds, `stop`.

    Args:
        managers: jupyter_server's kernel manager.
        events: its event logger, where there is one.
        clock: monotonic seconds, read once per message.
        changed: called when something happened that a report would say.
        start_limit: seconds after which a kernel that never said anything is taken for stuck; 0 for never.

    """

    name = "kernels"
    channels = frozenset({STDIN})
    asked = frozenset({CONTROL})

    def __init__(
        self,
        managers: KernelManagers,
        events: EventLogger | None,
        clock: Callable[[], float],
        changed: Callable[[], None] = lambda: None,
        start_limit: float = 0.0,
    ) -> None:
        self._start_limit = start_limit
        self._managers = managers
        self._events = events
        self._clock = clock
        self._changed = changed
        self._watched: dict[str, Watched] = {}
        self._departed = Departed()

    def start(self) -> None:
        """Listen to kernel actions and attach to the kernels that already run."""
        if self._events is not None:
            self._events.add_listener(schema_id=KERNEL_ACTIONS, listener=self._on_action)
        self.reconcile()

    def stop(self) -> None:
        """Close every subscription; nothing is observed any more."""
        if self._events is not None:
            self._events.remove_listener(listener=self._on_action)
        for watched in self._watched.values():
            watched.detach()

    def reconcile(self) -> None:
        """Attach to new kernels, drop those that are gone, follow those whose ports changed."""
        now = self._clock()
        ids = set(self._managers.list_kernel_ids())
        for kernel_id in set(self._watched) - ids:
            self._forget(kernel_id, now)
        for kernel_id in ids:
            watched = self._watched.setdefault(kernel_id, Watched(first_seen=now))
            try:
                watched.catch_up(now)
                if watched.notice(process_of(self._managers.get_kernel(kernel_id)), now):
                    self._changed()
                self._follow(kernel_id, watched, now)
                self._read_buffer(kernel_id, watched, now)
                watched.prove(now)
                watched.failure = None
            except Exception as error:
                watched.failure = type(error).__name__

    async def sample(self) -> None:
        """Look at kernels that may be at work: whether they live, and whether we lost its end."""
        await asyncio.gather(*map(self._look_at, list(self._watched.values())))

    def collect(self, now: float) -> list[wire.Signal]:
        """Return work, requests and connections of every kernel.

        Raises:
            SourceError: when a kernel can not be watched; the others' signals come with it.

        """
        signals: list[wire.Signal] = []
        for kernel_id, watched in self._watched.items():
            signals.extend(state_signals(kernel_id, watched.state, now))
            signals.extend(self._connections(kernel_id))
        signals.extend(self._departed.signals(now))
        found = {each.problem(now, self._start_limit) for each in self._watched.values()}
        problems = sorted(text for text in found if text is not None)
        if problems:
            raise SourceError("; ".join(problems), signals)
        return signals

    def on_socket(self, kernel_id: str, channel: str, message: KernelMessage) -> None:
        """Take a question or an answer that went over a websocket, or a subshell's end; the rest we hear."""
        watched, now = self._watched.get(kernel_id), self._clock()
        if watched is None:
            return
        watched.catch_up(now)  # what came before it on its other way
        if message.deletion is not None:
            watched.state.deletes(message.deletion)
        if channel == STDIN and watched.state.on_stdin(message, now):
            self._changed()
        watched.widen()

    def free_since(self, kernel_id: str) -> float | None:
        """Return since when a kernel has nothing in flight (monotonic s), None while it has.

        Nor has its start an end before its process answers: what it uses for that is nobody's work. One that
        is stuck has nothing in flight: what it still does counts as what others do in the background.
        """
        watched = self._watched.get(kernel_id)
        started = None if watched is None else watched.started(self._clock(), self._start_limit)
        since = None if watched is None else watched.state.free_since
        return None if started is None or since is None else max(started, since)

    def _follow(self, kernel_id: str, watched: Watched, now: float) -> None:
        """Attach where we are not, or not any more, on the kernel's present ports."""
        manager = self._managers.get_kernel(kernel_id)
        ports = tuple(getattr(manager, "ports", ()))
        if watched.stream is not None and watched.manager is manager and ports == watched.ports:
            return
        if not any(ports):
            return  # still starting; its ports are not chosen yet
        first = watched.stream is None
        if not first:
            watched.state.clear(now)
            watched.detach()
        stream = manager.connect_iopub()
        watched.stream = stream if isinstance(stream, ZMQStream) else ZMQStream(stream)
        receive_ahead(watched.stream)
        take = partial(self._on_message, watched)
        watched.flow = Flow(watched.stream, take, self._clock, watched.enough)
        if watched.manager is not manager:
            for event in ("restart", "dead"):
                manager.add_restart_callback(partial(self._on_death_told, watched), event)
        watched.ports, watched.manager = ports, manager
        if first:
            watched.state.attach(str(getattr(manager, "execution_state", "") or ""), now)

    def _on_message(self, watched: Watched, frames: list[bytes]) -> None:
        """Take one published message; runs in the server's loop and must never raise."""
        try:
            now = self._clock()
            if watched.passes(frames, now):
                return
            watched.read_unread(now)
            message = parse(frames)
            watched.unreadable = None
            watched.learn(frames[0], message)
            watched.repair.heard(now, tells=message.parent_type not in CHATTER)
            if watched.probe.hears(message, now):
                watched.state.shell_is_free(now)
                if watched.repair.wanted and not watched.state.shell_was_free(watched.probe.asked_at, now):
                    watched.probe.doubt()  # asked before it began: ask again
            if watched.state.observe(message, now):
                watched.widen()
                self._changed()
        except UnreadableMessageError as error:
            watched.unreadable = str(error)
        except Exception as error:
            watched.failure = type(error).__name__

    async def _look_at(self, watched: Watched) -> None:
        settled = watched.probe.proven and not (watched.state.in_flight or watched.dead)
        if watched.manager is None or settled:
            return
        with suppress(Exception):  # what can not be known goes on
            await self._look_for_death(watched)
            await self._look_for_loss(watched)

    async def _look_for_death(self, watched: Watched) -> None:
        """Clear what ran in a process that is gone, where nobody restarts it and so tells us."""
        alive = await watched.pulse.lives(watched.manager)
        if alive is None:
            return
        if alive is False and not watched.dead:
            self._on_process_lost(watched)
        watched.dead = alive is False

    async def _look_for_loss(self, watched: Watched) -> None:
        """See whether the kernel is so quiet after a flood that its shell should be asked."""
        state, repair = watched.state, watched.repair
        if not repair.considers(state.main_shell_since, self._clock()):
            return
        used = await processor_time(watched.manager)
        if repair.take_use(used, self._clock()):
            watched.probe.doubt()

    def _on_death_told(self, watched: Watched) -> None:
        """Take the restarter's word that a process is dead; what it does about it is announced later."""
        watched.told = False
        self._on_process_lost(watched, more_follows=True)

    def _on_process_lost(self, watched: Watched, more_follows: bool = False) -> None:
        if watched.lose(self._clock()):
            self._changed()
        watched.told = more_follows

    async def _on_action(self, logger: object, schema_id: str, data: dict[str, Any]) -> None:
        """Take a kernel's start, restart or shutdown as jupyter_server announces it."""
        if data.get("status") != "success":
            return
        watched, action = self._watched.get(str(data.get("kernel_id"))), data.get("action")
        if watched is not None and action == "shutdown":
            self._on_process_lost(watched, more_follows=True)
        elif watched is not None and action == "restart" and not watched.knows(process_of(watched.manager)):
            self._on_process_lost(watched)
        self.reconcile()

    def _forget(self, kernel_id: str, now: float) -> None:
        """Drop a kernel that is gone, keeping its newest facts until others have newer ones."""
        watched = self._watched.pop(kernel_id)
        watched.lose(now)
        watched.detach()
        self._departed.add(kernel_id, watched.state)
        self._changed()

    def _read_buffer(self, kernel_id: str, watched: Watched, now: float) -> None:
        """Read the questions that jupyter_server keeps for a page that was closed, where it does."""
        buffers = getattr(self._managers, "_kernel_buffers", None)
        kept = buffers[kernel_id] if isinstance(buffers, dict) and kernel_id in buffers else None
        messages = kept.get("buffer") if isinstance(kept, dict) else None
        for frames in watched.questions.new(messages):
            with suppress(UnreadableMessageError):
                watched.state.asks(parse(frames), now)
                watched.widen()

    def _connections(self, kernel_id: str) -> list[wire.Signal]:
        """Return how many websockets a kernel has, as jupyter_server's REST model says."""
        try:
            return connections(kernel_id, self._managers.kernel_model(kernel_id))
        except Exception:
            return []
