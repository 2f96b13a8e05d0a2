"""What one remote kernel is doing, told from its websockets and from its gateway's model of it; pure.

The gateway's word lies in one way that we know: what a side panel asks in mid-cell turns the state to
idle. The websockets, over which such questions go, show when that may have happened.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hubcull_server_ext.signals.kernel_messages import IOPUB, STATUS, STDIN, KernelMessage
from hubcull_server_ext.signals.kernel_requests import CELL
from hubcull_server_ext.signals.kernel_state import KernelState

_MARGIN = 1.0
"""Seconds by which a question to the gateway must be younger than what it is to say something about."""
_STARTS = 60.0
"""Seconds that a kernel may be starting; then nobody has made it do anything yet."""
_AT_REST = frozenset({"idle", "dead", "terminating"})
_STARTING = frozenset({"starting", "restarting"})


@dataclass(slots=True)
class Remote:
    """One remote kernel; times in monotonic seconds."""

    first_seen: float
    state: KernelState = field(default_factory=KernelState)
    model: dict[str, Any] | None = None
    heard_at: float = float("-inf")
    told_at: float = float("-inf")
    misled: bool = False
    """Whether the gateway may have taken another request's end for that of the cell that runs."""
    idle_at: float | None = None
    """When the gateway first called it idle since we last heard of it, although a cell seems to run."""
    activity: str | None = None
    """The gateway's newest time of activity that came after all that we heard, as it writes it."""

    def heard(self, channel: str, message: KernelMessage, now: float) -> bool:
        """Take a message of its websocket; return whether it changed what a report would say."""
        if message.deletion is not None:
            self.state.deletes(message.deletion)
        if channel == STDIN:
            return self.state.on_stdin(message, now)
        if channel != IOPUB:
            return False
        if message.msg_type == STATUS:
            self.heard_at, self.activity, self.idle_at = now, None, None
        changed = self.state.observe(message, now)
        runs = any(request.kind == CELL for request in self.state.in_flight.values())
        self.misled = runs and (self.misled or (message.state == "idle" and message.parent_type != CELL))
        return changed

    def told(self, model: dict[str, Any] | None, asked_at: float, now: float) -> bool:
        """Take what the gateway says; return whether that changed what a report would say.

        Args:
            model: the kernel's REST model, None where the gateway did not name it.
            asked_at: when the gateway was asked.
            now: when it answered.

        """
        before, self.model, earlier, self.told_at = self.model, model, self.told_at, asked_at
        if model is None:
            return False
        state, activity = model.get("execution_state"), str(model.get("last_activity"))
        moved = before is not None and str(before.get("last_activity")) != activity
        if state == "busy":
            return self._begins(asked_at, earlier if before is not None else now)
        if asked_at < self.heard_at + _MARGIN:
            return False
        if state in _STARTING:
            return self.state.clear(now)  # by another process than the one that ran what we know of
        if state not in _AT_REST:
            return False
        if self.misled and self._unmoved_since_heard(activity):
            return False
        if not self.state.only_suspected and not self._says_so_again(asked_at):
            return False
        self.misled = False
        if self.state.shell_was_free(asked_at, now):
            return True
        if moved and self.heard_at < earlier - _MARGIN:  # it did something of which we heard nothing
            self.state.may_have_worked(now)
            return True
        return False

    def _begins(self, asked_at: float, since: float) -> bool:
        """Take it for busy unless we know why it was, when the gateway was asked."""
        self.idle_at = None
        ended = self.state.last is not None and self.state.last.ended >= asked_at
        if ended or self.state.in_flight or self.state.main_shell_waits:
            return False
        self.state.suspect(since)
        return True

    def _says_so_again(self, asked_at: float) -> bool:
        """Whether the gateway calls it idle again: what may have misled it was still to be heard."""
        if self.idle_at is None:
            self.idle_at = asked_at
        return asked_at >= self.idle_at + _MARGIN

    def _unmoved_since_heard(self, activity: str) -> bool:
        """Whether nothing has ended at the gateway since the last that we heard of."""
        if self.activity is None:
            self.activity = activity
        return self.activity == activity

    def gone(self, now: float) -> None:
        """Note that it is gone, whatever it was doing."""
        if not self.state.clear(now) and self.model is None:
            self.state.may_have_worked(now)

    def doubt(self, now: float) -> str | None:
        """Return what is not known of it, if it is not known to be at work or at rest."""
        if self.state.in_flight:
            return None
        if self.model is None:
            return "a kernel's gateway has not spoken of it yet"
        state = self.model.get("execution_state")
        if state in _AT_REST or state == "busy":
            return None
        if state in _STARTING:
            return "a kernel starts" if now - self.first_seen < _STARTS else None
        return "a kernel's gateway gives it a state that we do not know"
