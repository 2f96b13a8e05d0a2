"""Questions to a kernel's shell, to prove that our subscription hears what the kernel publishes.

A subscription joins a moment after it was made, and what is published before that is lost: a silent cell
begun right after its kernel's start would never be seen. The answer to a question of our own, heard on the
subscription, proves that nothing is missed from then on, and that the shell was free at that moment.
``kernel_info_request`` moves no clock of jupyter_server (it is untracked there).
"""

from __future__ import annotations

from typing import Any

from zmq.eventloop.zmqstream import ZMQStream

from hubcull_server_ext.signals.kernel_messages import KernelMessage

_FREE_SHELL = 2.0
"""Seconds within which the shell of a kernel that has started answers, unless it is busy."""
_FIRST_PATIENCE = 10.0
"""Seconds before a question is taken for lost (its process died) and asked again; doubled each time."""


class _Question:
    """One ``kernel_info_request`` on the shell, under way from its making on."""

    def __init__(self, manager: Any, now: float) -> None:
        self.asked_at = now
        self.answered = False
        stream = manager.connect_shell()
        self._stream = stream if isinstance(stream, ZMQStream) else ZMQStream(stream)
        self._stream.on_recv(self._on_reply)
        message = manager.session.msg("kernel_info_request")
        self.id = message["header"]["msg_id"]
        manager.session.send(self._stream, message)

    def _on_reply(self, _frames: list[bytes]) -> None:
        self.answered = True

    def close(self) -> None:
        if not self._stream.closed():
            self._stream.close(linger=0)


class Probe:
    """Whether we are known to hear one process of a kernel; `step` now and then until we do.

    Times in monotonic seconds. ``proven`` says that we are; ``suspected_since`` that the shell has not
    answered for so long that the kernel must be taken for busy; ``first_heard`` when the process was
    first heard to do what it was asked: it had started by then.
    """

    def __init__(self) -> None:
        self.proven = False
        self.first_heard: float | None = None
        self.suspected_since: float | None = None
        self._question: _Question | None = None
        self._answered = False
        self._patience = _FIRST_PATIENCE

    def step(self, manager: Any, now: float) -> None:
        """Ask, ask again, or give up waiting; raises whatever a manager without a shell raises."""
        question = self._question
        if self.proven:
            if question is not None and question.answered:
                self._drop()
            return
        if question is None or question.answered:  # answered, yet not heard: we had not joined
            self._ask(manager, now)
            return
        waited = now - question.asked_at
        if waited >= self._patience:
            self._patience *= 2  # a busy shell must not find a pile of questions when its cell ends
            self._ask(manager, now)
        if waited >= _FREE_SHELL and _has_started(manager) and self.suspected_since is None:
            self.suspected_since = question.asked_at

    def hears(self, message: KernelMessage, now: float) -> bool:
        """Tell whether this published message proves that we hear the kernel, and its shell is free."""
        if self.first_heard is None and message.parent_id:
            self.first_heard = now
        question = self._question
        if self.proven or question is None or message.parent_id != question.id or message.state != "idle":
            return False
        self.proven, self.suspected_since = True, None
        return True

    @property
    def answered(self) -> bool:
        """Whether this process has ever answered a question, heard on our subscription or not."""
        return self._answered or (self._question is not None and self._question.answered)

    @property
    def asked_at(self) -> float:
        """When the newest question was asked; before all time where there is none."""
        return float("-inf") if self._question is None else self._question.asked_at

    def doubt(self) -> None:
        """Ask once more whether we hear the kernel; a question under way is question enough."""
        self.proven = False
        if self._question is not None and self._question.answered:
            self._drop()

    def reset(self) -> None:
        """Begin anew: another process of the kernel has to be heard."""
        self._drop()
        self.proven, self.first_heard, self._answered = False, None, False
        self.suspected_since, self._patience = None, _FIRST_PATIENCE

    def _ask(self, manager: Any, now: float) -> None:
        self._drop()
        self._question = _Question(manager, now)

    def _drop(self) -> None:
        self._answered = self.answered
        if self._question is not None:
            self._question.close()
        self._question = None


def _has_started(manager: Any) -> bool:
    """Ask jupyter_server's own state one thing only, whether there is a process; it can only protect here."""
    return getattr(manager, "execution_state", None) in {"busy", "idle"}
