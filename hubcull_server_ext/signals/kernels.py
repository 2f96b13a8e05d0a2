"""Kernels: an own subscription to what each publishes, kept attached through every restart.

It knows how to find kernels in a jupyter_server and when a kernel's process is replaced;
what the messages mean is in `kernel_state`. It decides nothing. All it ever sends to a kernel
are the questions of its `kernel_probe` after each start of its process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from zmq.eventloop.zmqstream import ZMQStream

from hubcull_server_ext import wire
from hubcull_server_ext.signals.kernel_probe import Probe
from hubcull_server_ext.signals.kernel_state import HUMAN_REQUESTS, KernelState, UnreadableMessageError, parse
from hubcull_server_ext.snapshot import SourceError

KERNEL_ACTIONS = "https://events.jupyter.org/jupyter_server/kernel_actions/v1"

_GATEWAY_CLASSES = frozenset({"GatewayMappingKernelManager", "GatewayKernelManager"})
_ATTACH_GRACE = 15.0
"""Seconds that a kernel may take to open its ports before "not watched" becomes a failure."""


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


@dataclass(slots=True)
class _Watched:
    """One kernel under watch; ``unreadable`` is the reason why its newest message could not be read."""

    state: KernelState = field(default_factory=KernelState)
    first_seen: float = 0.0
    stream: ZMQStream | None = None
    ports: tuple[int, ...] = ()
    manager: Any = None
    failure: str | None = None
    unreadable: str | None = None
    probe: Probe = field(default_factory=Probe)


class KernelsSource:
    """Watches every kernel of the server; `start`, `reconcile` every few seconds, `stop`.

    Args:
        managers: jupyter_server's kernel manager.
        events: its event logger, where there is one.
        clock: monotonic seconds, read once per message.
        changed: called when something happened that a report would say.

    """

    name = "kernels"

    def __init__(
        self,
        managers: KernelManagers,
        events: EventLogger | None,
        clock: Callable[[], float],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._managers = managers
        self._events = events
        self._clock = clock
        self._changed = changed
        self._watched: dict[str, _Watched] = {}
        self._departed: tuple[str, KernelState] | None = None

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
            _detach(watched)

    def reconcile(self) -> None:
        """Attach to new kernels, drop those that are gone, follow those whose ports changed."""
        if self._on_gateway():
            return
        now = self._clock()
        ids = set(self._managers.list_kernel_ids())
        for kernel_id in set(self._watched) - ids:
            self._forget(kernel_id, now)
        for kernel_id in ids:
            watched = self._watched.setdefault(kernel_id, _Watched(first_seen=now))
            try:
                self._follow(kernel_id, watched, now)
                _prove(watched, now)
                watched.failure = None
            except Exception as error:
                watched.failure = type(error).__name__

    def collect(self, now: float) -> list[wire.Signal]:
        """Return work, requests and connections of every kernel.

        Raises:
            SourceError: when a kernel can not be watched; the others' signals come with it.

        """
        if self._on_gateway():
            raise SourceError("kernels run on a gateway: not watched yet")
        signals: list[wire.Signal] = []
        for kernel_id, watched in self._watched.items():
            signals.extend(_state_signals(kernel_id, watched.state, now))
            signals.extend(self._connections(kernel_id))
        if self._departed is not None:
            signals.extend(_state_signals(*self._departed, now))
        problems = sorted({text for w in self._watched.values() if (text := _problem(w, now))})
        if problems:
            raise SourceError("; ".join(problems), signals)
        return signals

    def _on_gateway(self) -> bool:
        names = {cls.__name__ for cls in type(self._managers).__mro__}
        return bool(names & _GATEWAY_CLASSES) and bool(self._managers.list_kernel_ids())

    def _follow(self, kernel_id: str, watched: _Watched, now: float) -> None:
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
            _detach(watched)
        stream = manager.connect_iopub()
        watched.stream = stream if isinstance(stream, ZMQStream) else ZMQStream(stream)
        watched.stream.on_recv(partial(self._on_message, watched))
        if watched.manager is not manager:
            for event in ("restart", "dead"):
                manager.add_restart_callback(partial(self._on_process_lost, watched), event)
        watched.ports, watched.manager = ports, manager
        if first:
            watched.state.attach(str(getattr(manager, "execution_state", "") or ""), now)

    def _on_message(self, watched: _Watched, frames: list[bytes]) -> None:
        """Take one published message; runs in the server's loop and must never raise."""
        try:
            message = parse(frames)
            watched.unreadable = None
            if watched.probe.hears(message):
                watched.state.shell_is_free(self._clock())
            if watched.state.observe(message, self._clock()):
                self._changed()
        except UnreadableMessageError as error:
            watched.unreadable = str(error)
        except Exception as error:
            watched.failure = type(error).__name__

    def _on_process_lost(self, watched: _Watched) -> None:
        """Begin anew: the next process of the kernel has to be heard first, too."""
        watched.probe.reset()
        if watched.state.clear(self._clock()):
            self._changed()

    async def _on_action(self, logger: object, schema_id: str, data: dict[str, Any]) -> None:
        """Take a kernel's start, restart or shutdown as jupyter_server announces it."""
        if data.get("status") != "success":
            return
        watched = self._watched.get(str(data.get("kernel_id")))
        if watched is not None and data.get("action") in {"restart", "shutdown"}:
            self._on_process_lost(watched)
        self.reconcile()

    def _forget(self, kernel_id: str, now: float) -> None:
        """Drop a kernel that is gone, keeping its newest facts until others have newer ones."""
        watched = self._watched.pop(kernel_id)
        watched.state.clear(now)
        _detach(watched)
        previous = self._departed[1] if self._departed is not None else KernelState()
        merged = _newest(previous, watched.state)
        source = (
            kernel_id if self._departed is None or merged.last is watched.state.last else self._departed[0]
        )
        self._departed = (source, merged)
        self._changed()

    def _connections(self, kernel_id: str) -> list[wire.Signal]:
        """Return how many websockets a kernel has, as jupyter_server's REST model says; worth nothing."""
        try:
            model = self._managers.kernel_model(kernel_id)
        except Exception:
            return []
        count = model.get("connections") if isinstance(model, dict) else None
        if not isinstance(count, int) or count < 0:
            return []
        source = _source(kernel_id)
        return [wire.Signal(wire.Kind.KERNEL_CONNECTIONS, source, wire.Clock.NONE, count=count)]


def _source(kernel_id: str) -> str:
    return f"kernel:{kernel_id[:8]}"


def _prove(watched: _Watched, now: float) -> None:
    """Find out whether we hear the kernel; while its shell does not answer, take it for busy."""
    if watched.stream is None:
        return
    watched.probe.step(watched.manager, now)
    if watched.probe.suspected_since is not None:
        watched.state.suspect(watched.probe.suspected_since)


def _detach(watched: _Watched) -> None:
    watched.probe.reset()
    if watched.stream is not None and not watched.stream.closed():
        watched.stream.close()
    watched.stream = None


def _problem(watched: _Watched, now: float) -> str | None:
    if watched.failure is not None:
        return f"a kernel can not be watched: {watched.failure}"
    if watched.unreadable is not None:
        return f"a kernel's messages can not be read: {watched.unreadable}"
    if watched.stream is None and now - watched.first_seen > _ATTACH_GRACE:
        return "a kernel can not be watched: it has opened no ports"
    if watched.stream is not None and not watched.probe.proven and not watched.state.in_flight:
        return "a kernel has not answered yet"
    return None


def _newest(one: KernelState, other: KernelState) -> KernelState:
    """Merge what two departed kernels left: the newer end of work, the newest request of each type."""
    spans = [state.last for state in (one, other) if state.last is not None]
    requests = dict(one.requests)
    for kind, at in other.requests.items():
        requests[kind] = max(at, requests.get(kind, at))
    return KernelState(last=max(spans, key=lambda span: span.ended, default=None), requests=requests)


def _state_signals(kernel_id: str, state: KernelState, now: float) -> list[wire.Signal]:
    source = _source(kernel_id)
    signals: list[wire.Signal] = []
    if state.in_flight:
        going_on_for = max(0.0, now - state.began)
        signals.append(wire.Signal(wire.Kind.KERNEL_BUSY, source, wire.Clock.WORK, going_on_for=going_on_for))
    elif state.last is not None:
        span = state.last
        signals.append(
            wire.Signal(
                wire.Kind.KERNEL_BUSY,
                source,
                wire.Clock.WORK,
                ended_ago=max(0.0, now - span.ended),
                lasted=max(0.0, span.ended - span.began),
            )
        )
    signals.extend(_request_signals(source, state, now))
    return signals


def _request_signals(source: str, state: KernelState, now: float) -> list[wire.Signal]:
    """Return the newest human request, and each type nobody knows: those count by their own name."""
    signals = []
    human = {kind: at for kind, at in state.requests.items() if kind in HUMAN_REQUESTS}
    if human:
        kind = max(human, key=lambda name: human[name])
        age = max(0.0, now - human[kind])
        signals.append(
            wire.Signal(wire.Kind.KERNEL_REQUEST, source, wire.Clock.PRESENCE, age=age, label=kind)
        )
    for kind, at in state.requests.items():
        if kind not in HUMAN_REQUESTS:
            age = max(0.0, now - at)
            signals.append(wire.Signal(wire.Kind.FOREIGN, source, wire.Clock.PRESENCE, age=age, label=kind))
    return signals
