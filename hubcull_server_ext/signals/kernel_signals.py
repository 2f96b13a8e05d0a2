"""What is known of a kernel, as signals on the wire; pure.

It knows `kernel_state` and the wire, and neither sockets nor jupyter_server.
"""

from __future__ import annotations

from hubcull_server_ext import wire
from hubcull_server_ext.signals.kernel_requests import COMM_REQUESTS, HUMAN_REQUESTS
from hubcull_server_ext.signals.kernel_state import KernelState


def source_name(kernel_id: str) -> str:
    """Return how reports name a kernel."""
    return f"kernel:{kernel_id[:8]}"


def newest(one: KernelState, other: KernelState) -> KernelState:
    """Merge what two departed kernels left: the newer end of work, the newest request of each type."""
    spans = [state.last for state in (one, other) if state.last is not None]
    requests = dict(one.requests)
    for kind, at in other.requests.items():
        requests[kind] = max(at, requests.get(kind, at))
    return KernelState(last=max(spans, key=lambda span: span.ended, default=None), requests=requests)


class Departed:
    """What kernels that are gone left: the newest, until others have newer."""

    def __init__(self) -> None:
        self._kernel_id: str | None = None
        self._state = KernelState()

    def add(self, kernel_id: str, state: KernelState) -> None:
        """Take what a kernel left."""
        merged = newest(self._state, state)
        if self._kernel_id is None or merged.last is state.last:
            self._kernel_id = kernel_id
        self._state = merged

    def signals(self, now: float) -> list[wire.Signal]:
        """Return it as signals of the kernel whose work ended last."""
        return [] if self._kernel_id is None else state_signals(self._kernel_id, self._state, now)


def connections(kernel_id: str, model: object) -> list[wire.Signal]:
    """Return how many websockets a kernel has by its REST model; it is worth nothing."""
    count = model.get("connections") if isinstance(model, dict) else None
    if not isinstance(count, int) or count < 0:
        return []
    return [wire.Signal(wire.Kind.KERNEL_CONNECTIONS, source_name(kernel_id), wire.Clock.NONE, count=count)]


def state_signals(kernel_id: str, state: KernelState, now: float) -> list[wire.Signal]:
    """Return the work that goes on, the newest that ended, a person waited for, and the requests."""
    source = source_name(kernel_id)
    signals: list[wire.Signal] = []
    if state.in_flight:
        going_on_for = max(0.0, now - state.began)
        signals.append(
            wire.Signal(
                wire.Kind.KERNEL_BUSY,
                source,
                wire.Clock.WORK,
                going_on_for=going_on_for,
                label=state.label,
            )
        )
    span = state.ended_beside if state.in_flight else state.last
    if span is not None:
        signals.append(
            wire.Signal(
                wire.Kind.KERNEL_BUSY,
                source,
                wire.Clock.WORK,
                ended_ago=max(0.0, now - span.ended),
                lasted=max(0.0, span.ended - span.began),
                label=span.label,
            )
        )
    if state.waiting:
        oldest = min(state.waiting.values(), key=lambda wait: wait.since)
        age, label = max(0.0, now - oldest.since), "debugger" if oldest.halted else None
        signals.append(wire.Signal(wire.Kind.KERNEL_INPUT, source, wire.Clock.NONE, age=age, label=label))
    signals.extend(_request_signals(source, state, now))
    return signals


def _request_signals(source: str, state: KernelState, now: float) -> list[wire.Signal]:
    """Return the newest human request, the newest of widgets, and each type nobody knows by its own name."""
    signals = []
    for signal_kind, types in (
        (wire.Kind.KERNEL_REQUEST, HUMAN_REQUESTS),
        (wire.Kind.KERNEL_COMM, COMM_REQUESTS),
    ):
        of_kind = [kind for kind in state.requests if kind in types]
        if of_kind:
            newest_kind = max(of_kind, key=lambda name: state.requests[name])
            signals.append(_event(signal_kind, source, newest_kind, now - state.requests[newest_kind]))
    signals.extend(
        _event(wire.Kind.FOREIGN, source, kind, now - at)
        for kind, at in state.requests.items()
        if kind not in HUMAN_REQUESTS | COMM_REQUESTS
    )
    return signals


def _event(signal_kind: str, source: str, label: str, age: float) -> wire.Signal:
    return wire.Signal(signal_kind, source, wire.Clock.PRESENCE, age=max(0.0, age), label=label)
