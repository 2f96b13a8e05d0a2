"""Shared documents: edits by people, apart from what their pages say of themselves.

A browser sends each change of a shared document through its room's websocket, and every
few seconds, also from a hidden tab, that it is still there. It looks at the first bytes of
each message, as the Y protocols lay them out, and keeps nothing of an edit. It knows the
rooms of jupyter_server_ydoc, of jupyter_collaboration before 2, and of
jupyter_server_documents. What a page writes of a kernel, `shared_notebooks` tells apart.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

from hubcull_server_ext import wire
from hubcull_server_ext.signals.hook import (
    RequestHook,
    authenticated_user,
    is_new_socket,
    user_name,
    watch_messages,
)
from hubcull_server_ext.signals.shared_notebooks import Cells, cells_of
from hubcull_server_ext.snapshot import SourceError

_ROOMS = frozenset(
    {
        ("jupyter_server_ydoc", "YDocWebSocketHandler"),
        ("jupyter_collaboration", "YDocWebSocketHandler"),
        ("jupyter_server_documents", "YRoomWebsocket"),
    }
)
_SERVER_WRITES = "jupyter_server_documents"
"""Of these rooms the server itself writes what a kernel says, and pages write what people do."""
_SYNC, _AWARENESS = 0, 1
_ASKS, _ANSWERS = 0, 1
_TEXT, _NOTEBOOK = "file", "notebook"
_EMPTY = b"\x00\x00"
"""An update that changes nothing: no insertions, no deletions."""
_TAKEN_UP_WITHIN = 10.0
"""Seconds from a message to the change that it makes in the server's own copy of a notebook."""
_MOST = 50
_REPORTED = 10


class CollaborationSource:
    """Watches the websockets of shared documents.

    Args:
        hook: shows the requests.
        clock: monotonic seconds.
        kernels_speak: whether a kernel has published something just now. What a browser receives from one it
            writes into the notebook, and that can not be told from typing by looking at the message.
        changed: called when a person edited something.

    """

    name = "collaboration"

    def __init__(
        self,
        hook: RequestHook,
        clock: Callable[[], float],
        kernels_speak: Callable[[], bool] = lambda: False,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._hook, self._clock, self._changed = hook, clock, changed
        self._kernels_speak = kernels_speak
        self._edits: dict[tuple[str, str | None], float] = {}
        self._doubtful: float | None = None
        self._failure: Exception | None = None
        self._stopped = False
        hook.add(self._see, is_room)

    def reconcile(self) -> None:
        """See to it that requests are seen."""
        self._hook.reconcile()

    def stop(self) -> None:
        """See nothing any more."""
        self._stopped = True

    def collect(self, now: float) -> list[wire.Signal]:
        """Return the newest edit of each person, by kind of document, and the newest that may be a kernel's.

        Raises:
            SourceError: when a message could not be looked at since the last time; with all that was seen.

        """
        signals = [
            wire.Signal(
                wire.Kind.DOCUMENT_EDIT,
                self.name,
                wire.Clock.PRESENCE,
                age=max(0.0, now - at),
                label=label,
                actor=actor,
            )
            for (label, actor), at in list(reversed(self._edits.items()))[:_REPORTED]
        ]
        if self._doubtful is not None:
            signals.append(self._page(max(0.0, now - self._doubtful)))
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise SourceError(f"an edit could not be looked at: {type(failure).__name__}", signals)
        return signals

    def _see(self, handler: RequestHandler) -> None:
        """Watch each new room; whatever happens here, the server goes on."""
        try:
            if not self._stopped and is_new_socket(handler):
                self._watch(handler)
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._failure = error

    def _watch(self, handler: RequestHandler) -> None:
        user = authenticated_user(handler)
        if not user or not isinstance(handler, WebSocketHandler):
            return
        kind = document_kind(str(handler.path_args[0]) if handler.path_args else "")
        name = user_name(user)
        shows_kernels = kind != _TEXT and not is_of(type(handler), _SERVER_WRITES)

        def see(socket: WebSocketHandler, message: str | bytes) -> None:
            if self._stopped or not is_edit(message):
                return
            if not shows_kernels or not self._kernels_speak():
                self._edited(kind, name)
            else:
                self._may_be_of_a_kernel(socket, message, kind, name)

        watch_messages(handler, see, self._failed)

    def _edited(self, kind: str, name: str | None) -> None:
        self._edits.pop((kind, name), None)
        self._edits[kind, name] = self._clock()
        if len(self._edits) > _MOST:
            del self._edits[next(iter(self._edits))]
        self._changed()

    def _may_be_of_a_kernel(
        self, socket: WebSocketHandler, message: str | bytes, kind: str, name: str | None
    ) -> None:
        """Let the notebook tell where it is changed; where that can not be seen, a page may do it itself."""
        cells, now = cells_of(socket), self._clock()
        if cells is None or message[0] != _SYNC:
            self._doubtful = now
            return
        cells.senders[name] = now
        cells.call(partial(self._taken_up, cells, kind))

    def _taken_up(self, cells: Cells, kind: str) -> None:
        """Count a person's change, as that of whoever has just sent something, if that is one only."""
        now, senders = self._clock(), cells.senders
        cells.senders = {name: at for name, at in senders.items() if now - at <= _TAKEN_UP_WITHIN}
        if cells.senders and not self._stopped:
            (name, *others) = cells.senders
            self._edited(kind, None if others else name)

    def _page(self, age: float) -> wire.Signal:
        weak, presence = wire.Strength.WEAK, wire.Clock.PRESENCE
        return wire.Signal(wire.Kind.VISIBLE_TAB, self.name, presence, weak, age=age, label=_NOTEBOOK)


def is_of(handler: type[object], package: str) -> bool:
    """Whether a handler's class is one of a package's, or is made of one."""
    return any(cls.__module__.partition(".")[0] == package for cls in handler.__mro__)


def is_room(handler: type[object]) -> bool:
    """Whether a handler's class is that of a shared document's websocket."""
    return any((cls.__module__.partition(".")[0], cls.__name__) in _ROOMS for cls in handler.__mro__)


def document_kind(room: str) -> str:
    """Return what kind of document a room is of, ``notebook`` or ``file``; its name and id stay here.

    One that is of neither by its name may be a notebook.
    """
    parts = room.split(":")
    return parts[1] if len(parts) == 3 and parts[1].isalpha() else "document"


def is_edit(message: str | bytes) -> bool:
    """Tell whether a browser's message changes a document. What is not part of the protocol protects.

    The first byte says whether it is about the document's content or about who is there. Of the first kind
    there are questions, answers and updates; an answer, sent at each connection, counts if it inserts
    something that the server did not have.
    """
    if not isinstance(message, bytes) or len(message) < 2:
        return bool(message)
    if message[0] != _SYNC:
        return message[0] != _AWARENESS
    if message[1] == _ASKS:
        return False
    update = _after_length(message[2:])
    return update[:1] != b"\x00" if message[1] == _ANSWERS else update != _EMPTY


def _after_length(field: bytes) -> bytes:
    """Return what follows a length of as many bytes as it needs, the last of which is below 128."""
    end = next((i for i, byte in enumerate(field) if byte < 128), len(field))
    return field[end + 1 :]
