"""What goes to an app behind a proxy: a person's acts, told from what its page does by itself; pure.

Of a request it is given the method, the path behind the app's own, the names of the
arguments and the body's length; of a frame the frame, of which it looks at the first
bytes. It keeps no content.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from hubcull_server_ext.signals import vscode
from hubcull_server_ext.signals.beat import Beat, LongPoll

HEARTBEATS = (
    r"events/get_events$",  # RStudio, a long poll
    r"_stcore/(health|host-config)$",  # Streamlit
    r"_reload-hash$",  # Dash, while it is developed
    r"heartbeat/\w+$",  # Gradio
    r"healthz$",  # code-server
)
"""Paths behind an app's own that its page, or a monitor, asks for by itself."""

_MOST_KEYS = 300
_TOGETHER = 0.05
"""Seconds within which frames are parts of one message: Bokeh's page sends a head, which keeps its beat, and
a body that is never twice as long."""
_RFB = b"RFB 0"
"""With this a desktop's viewer begins (RFC 6143, 7.1.1)."""
_RFB_INPUT = frozenset({4, 5, 6, 255})
"""Keys, pointer and clipboard, and the keys of QEMU's extension; all else comes by itself."""
_RFB_CLIPBOARD = 6
_RFB_EXTENDED = 0x80
"""The sign of a clipboard's length: it is negative where the message is of the extension."""
_RFB_ANSWERS = 0x01 | 0x02 | 0x04 | 0x10
"""What a viewer says of clipboards by itself: what it can do, that it wants the desktop's, and its own when
that is asked for. With the one flag left it tells that a person has copied something."""
_VSCODE_HEADER = 13
_VSCODE_CHATTER = frozenset({3, 9, 10, 11})
"""The kinds of a frame without a body by which VS Code's page acknowledges, keeps, times the connection."""


class Request(NamedTuple):
    """A finished request: when it was asked and answered (monotonic s), and what tells it from others."""

    start: float
    end: float
    method: str
    path: str
    arguments: frozenset[str] = frozenset()
    length: int = 0
    stream: bool = False
    """Whether it asked for a stream of events; it may have been going on after its reader had left."""


class AppTraffic:
    """The requests to one app.

    Args:
        heartbeats: regular expressions; a path in which one is found is asked for by itself.

    """

    def __init__(self, heartbeats: Sequence[re.Pattern[str]]) -> None:
        self._heartbeats = tuple(heartbeats)
        self._seen: OrderedDict[Hashable, tuple[Beat, LongPoll]] = OrderedDict()

    def act(self, request: Request) -> float | None:
        """Return when a person acted by this request (monotonic s), or None where nobody did."""
        if any(pattern.search(request.path) for pattern in self._heartbeats):
            return None
        key = request.method, request.path, request.arguments, request.length
        beat, poll = self._seen.pop(key) if key in self._seen else (Beat(), LongPoll())
        self._seen[key] = beat, poll
        while len(self._seen) > _MOST_KEYS:
            self._seen.popitem(last=False)
        by_itself = beat.comes(request.start) | poll.answered(request.start, request.end)
        if by_itself:
            return None
        return request.start if request.stream else request.end


class SocketTraffic:
    """The frames that a browser sends through one websocket."""

    def __init__(self) -> None:
        self._beats: OrderedDict[tuple[bool, int], Beat] = OrderedDict()
        self._begun = False
        self._is_desktop = self._is_vscode = False
        self._beaten = float("-inf")
        """When the newest frame came that kept a beat (monotonic s)."""

    def act(self, frame: str | bytes, at: float) -> bool:
        """Tell whether a person acted by this frame, which came at ``at`` (monotonic s)."""
        if not frame:
            return False
        if isinstance(frame, bytes):
            if not self._begun:
                self._is_desktop, self._is_vscode = frame.startswith(_RFB), vscode.begins(frame)
            self._begun = True
            if self._is_desktop:
                return _is_at_the_desktop(frame)
            if _is_vscode_chatter(frame) or (self._is_vscode and vscode.comes_by_itself(frame)):
                return False
        key = isinstance(frame, bytes), len(frame)
        beat = self._beats.pop(key, None) or Beat()
        self._beats[key] = beat
        while len(self._beats) > _MOST_KEYS:
            self._beats.popitem(last=False)
        if beat.comes(at):
            self._beaten = at
        return at - self._beaten > _TOGETHER


def _is_at_the_desktop(frame: bytes) -> bool:
    """Whether a viewer's frame is a person's: what a program there copies, a viewer asks for by itself."""
    flags = frame[8] if len(frame) >= 12 and frame[4] & _RFB_EXTENDED else 0
    if frame[0] == _RFB_CLIPBOARD and flags & _RFB_ANSWERS:
        return False
    return frame[0] in _RFB_INPUT


def _is_vscode_chatter(frame: bytes) -> bool:
    return len(frame) == _VSCODE_HEADER and frame[0] in _VSCODE_CHATTER and not any(frame[9:])
