"""The requests that kernels get: whose they are, and what is kept of one; plain values.

It knows their types, and nothing of messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

CELL = "execute_request"
HUMAN_REQUESTS = frozenset(
    {"execute_request", "complete_request", "inspect_request", "is_complete_request", "input_reply"}
)
# What a widget sends, for a person or for an animation that runs by itself in the page.
COMM_REQUESTS = frozenset({"comm_msg", "comm_open"})
# What front ends and the server ask by themselves: opening a notebook, reconnecting, a side panel.
CHATTER = frozenset(
    {
        "kernel_info_request",
        "comm_info_request",
        "comm_close",
        "history_request",
        "debug_request",
        "usage_request",
        "connect_request",
        "shutdown_request",
        "interrupt_request",
        "create_subshell_request",
        "delete_subshell_request",
        "list_subshell_request",
    }
)


class Request(NamedTuple):
    """A request in flight: its type, the subshell it runs in, and since when (monotonic seconds)."""

    kind: str
    subshell: str
    since: float

    @property
    def can_halt(self) -> bool:
        """Whether a debugger that halts all halts this: what a person or a widget asks the main shell."""
        return not self.subshell and self.kind in HUMAN_REQUESTS | COMM_REQUESTS


class Run(NamedTuple):
    """What a shell does without a break: since and until when (monotonic s; None: it goes on), and what."""

    began: float
    ended: float | None = None
    label: str | None = None
    """The type of what ran, of cells and others a cell; None where it was only suspected."""


class Wait(NamedTuple):
    """A request that waits for a person: since when (monotonic s), and the date of the kernel's word for it.

    It has asked for input, or is ``halted`` by a debugger.
    """

    request: Request
    since: float
    date: str
    halted: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """A finished run of work, in seconds on the monotonic clock."""

    began: float
    ended: float
    label: str | None = field(default=None, compare=False)
    """The type of what ran; None where it was only suspected."""
