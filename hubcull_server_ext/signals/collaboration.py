"""Shared documents: edits by people, apart from what their pages say of themselves.

A browser sends each change of a shared document through its room's websocket, and every
few seconds, also from a hidden tab, that it is still there. It looks at the first bytes of
each message, as the Y protocols lay them out, and keeps nothing of an edit. It knows the
rooms of jupyter_server_ydoc, of jupyter_collaboration before 2, and of
jupyter_server_documents.
"""

from __future__ import annotations

from collections.abc import Callable

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
from hubcull_server_ext.snapshot import SourceError

_ROOMS = frozenset(
    {
        ("jupyter_server_ydoc", "YDocWebSocketHandler"),
        ("jupyter_collaboration", "YDocWebSocketHandler"),
        ("jupyter_server_documents", "YRoomWebsocket"),
    }
)
_SYNC, _AWARENESS = 0, 1
_ASKS, _ANSWERS = 0, 1
_EMPTY = b"\x00\x00"
"""An update that changes nothing: no insertions, no deletions."""
_MOST = 50
_REPORTED = 10


class CollaborationSource:
    """Watches the websockets of shared documents.

    Args:
        hook: shows the requests.
        clock: monotonic seconds.
        kernels_speak: whether a kernel has published something just now. What a browser receives from one it
            writes into the document, and that can not be told from typing by looking at the message.
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
        """Return the newest edit of each person, by kind of document.

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
        key = document_kind(str(handler.path_args[0]) if handler.path_args else ""), user_name(user)

        def see(_socket: WebSocketHandler, message: str | bytes) -> None:
            if not self._stopped and is_edit(message) and not self._kernels_speak():
                self._edits.pop(key, None)
                self._edits[key] = self._clock()
                if len(self._edits) > _MOST:
                    del self._edits[next(iter(self._edits))]
                self._changed()

        watch_messages(handler, see, self._failed)


def is_room(handler: type[object]) -> bool:
    """Whether a handler's class is that of a shared document's websocket."""
    return any((cls.__module__.partition(".")[0], cls.__name__) in _ROOMS for cls in handler.__mro__)


def document_kind(room: str) -> str:
    """Return what kind of document a room is of, ``notebook`` or ``file``; its name and id stay here."""
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
