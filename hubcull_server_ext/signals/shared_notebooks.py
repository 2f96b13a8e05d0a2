"""Where a shared notebook was changed: what people write, apart from what their pages write of a kernel.

It knows how jupyter_ydoc lays a notebook out and where jupyter_server_ydoc holds it. It reads where
something changed and never what it says, and keeps nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tornado.web import RequestHandler

_WATCHER = "_hubcull_cells"
_OF_A_KERNEL = frozenset({"execution_count", "execution_state", "outputs"})
"""Parts of a cell that a page writes when a kernel speaks."""
_OF_ITS_METADATA = frozenset({"execution", "trusted"})
_CELL, _PART, _METADATA = 1, 2, "metadata"


def is_a_persons(path: Sequence[object], names: Iterable[object]) -> bool:
    """Whether a change in a list of cells is one that no kernel causes.

    Args:
        path: from that list to what changed: empty for the list, then a cell's number, then names.
        names: which of its parts were set, where it has named parts.

    """
    set_now = frozenset(names)
    if len(path) == _CELL:
        return not set_now or not set_now <= _OF_A_KERNEL
    if len(path) < _PART or path[1] != _METADATA:
        return len(path) < _PART or path[1] not in _OF_A_KERNEL
    if len(path) == _PART:
        return not set_now or not set_now <= _OF_ITS_METADATA
    return path[_PART] not in _OF_ITS_METADATA


class Cells:
    """The cells of one room's notebook, watched as long as there is the room."""

    def __init__(self, cells: Any) -> None:
        self._cells = cells  # its observers are its own
        self._changed: Callable[[], None] = lambda: None
        self.senders: dict[str | None, float] = {}
        """Whose pages have sent something for this notebook -> when (monotonic s)."""
        self._cells.observe_deep(self._see)

    def call(self, changed: Callable[[], None]) -> None:
        """Call this, and nobody else, when somebody's change was taken up; it must not raise."""
        self._changed = changed

    def _see(self, events: Any) -> None:
        """Look where something changed; what can not be told is somebody's."""
        try:
            found = any(is_a_persons(event.path, getattr(event, "keys", None) or ()) for event in events)
        except Exception:
            found = True
        if found:
            self._changed()


def cells_of(handler: RequestHandler) -> Cells | None:
    """Return the cells of the notebook whose room a websocket is in; None where they can not be found."""
    room: Any = getattr(handler, "room", None)
    try:
        found = vars(room).get(_WATCHER)
        if not isinstance(found, Cells):
            found = Cells(room.ydoc["cells"])
            setattr(room, _WATCHER, found)
    except Exception:  # another version's room
        return None
    return found
