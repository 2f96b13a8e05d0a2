"""What is known of a kernel, as signals on the wire; pure.

It knows `kernel_state` and the wire, and neither sockets nor jupyter_server.
"""

from __future__ import annotations

from hubcull_server_ext import wire
from hubcull_server_ext.signals.kernel_state import HUMAN_REQUESTS, KernelState


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


def state_signals(kernel_id: str, state: KernelState, now: float) -> list[wire.Signal]:
    """Return the work that goes on or the newest that ended, and the requests."""
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
