"""How the rows of requests are made, and of tabs, by sending what a tab sends."""

from __future__ import annotations

import base64
import http.client
import os
import socket
from collections.abc import Sequence
from itertools import count
from urllib.parse import urlsplit

from harness.sockets import Socket
from tests.e2e.matrix.scene import A_PERSON, Scene
from tests.e2e.matrix.stage import Maker

_POLLS = (
    ("GET", "api/kernels", None),
    ("GET", "api/sessions", None),
    ("GET", "api/terminals", None),
    ("GET", "api/contents/?content=1", None),
    ("GET", "lab/api/workspaces", None),
    ("PUT", "lab/api/workspaces/default", {"data": {}, "metadata": {"id": "default"}}),
)
"""What a visible JupyterLab tab sends every ten seconds by itself."""


def _send(scene: Scene, requests: Sequence[tuple[str, str, object]]) -> None:
    for method, path, body in requests:
        answer = scene.browser.call(method, path, body)
        if not answer.ok:
            raise ConnectionError(f"{method} {path}: {answer.status} {answer.body[:200]!r}")


def writing(scene: Scene) -> None:
    """Row 9: save a text that grows."""
    lines = count(1)

    def save() -> None:
        body = {"type": "file", "format": "text", "content": "a line\n" * next(lines)}
        _send(scene, [("PUT", "api/contents/notes.md", body)])

    scene.again(save, A_PERSON)


def reloading(scene: Scene) -> None:
    """Row 27."""
    scene.again(lambda: _send(scene, [("GET", "lab", None)]), A_PERSON)


def down_and_up(scene: Scene) -> None:
    """Row 45."""
    scene.file("big.bin", "x" * 3_000_000)
    content = base64.b64encode(b"y" * 1_000_000).decode()
    upload = {"type": "file", "format": "base64", "content": content}
    requests = [("GET", "files/big.bin", None), ("PUT", "api/contents/up.bin", upload)]
    scene.again(lambda: _send(scene, requests), A_PERSON)


_LARGE = 200_000_000
"""Bytes of a file that nobody sends or takes within a watch; what lies between the ends has 20 MB of it."""
_PIECE, _EVERY = 500_000, 2.0
"""Bytes that a slow network takes every so many seconds."""


class _Slow:
    """A connection to the server for a request that takes longer than anybody watches."""

    def __init__(self, scene: Scene, path: str) -> None:
        parts = urlsplit(f"{scene.browser.url}{path}")
        self.connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
        self.connection.connect()
        self.socket: socket.socket = self.connection.sock
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)
        scene.at_end(self.connection.close)
        self.path, self.headers = parts.path, {"Authorization": f"token {scene.browser.token}"}

    def ask(self) -> http.client.HTTPResponse:
        """Ask for a file; return its answer, which has not been read."""
        self.connection.request("GET", self.path, headers=self.headers)
        answer = self.connection.getresponse()
        assert answer.status == 200, answer.status
        return answer


def _take(scene: Scene, path: str) -> None:
    """Download slowly."""
    answer = _Slow(scene, path).ask()
    taken, looks = [0], [0]

    def take() -> None:
        taken[0] += len(answer.read(_PIECE))

    def goes_on() -> bool:
        looks.append(taken[0])
        return looks[-1] > looks[-2] and bool(answer.length)

    scene.again(take, _EVERY)
    scene.premise("the download goes on", goes_on)


def _large_file(scene: Scene) -> None:
    os.truncate(scene.file("large.bin", ""), _LARGE)


def slow_download(scene: Scene) -> None:
    """Row 45a."""
    _large_file(scene)
    _take(scene, "files/large.bin")


def stalled_download(scene: Scene) -> None:
    """Row 45b: begun, and neither taken nor given up."""
    _large_file(scene)
    slow = _Slow(scene, "files/large.bin")
    slow.ask().read(_PIECE)

    def waits() -> bool:
        return len(slow.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)) == 1

    scene.premise("its bytes wait to be taken", waits)


def slow_upload(scene: Scene) -> None:
    """Row 45c."""
    assert scene.browser.call("GET", "api/contents").ok
    slow = _Slow(scene, "api/contents/up.bin")
    slow.connection.putrequest("PUT", slow.path)
    for name, value in {**slow.headers, "Content-Length": str(_LARGE)}.items():
        slow.connection.putheader(name, value)
    slow.connection.endheaders()
    given, looks = [0], [0]

    def give() -> None:
        slow.socket.sendall(b" " * _PIECE)
        given[0] += _PIECE

    def goes_on() -> bool:
        looks.append(given[0])
        return looks[-2] < looks[-1] < _LARGE

    scene.again(give, _EVERY)
    scene.premise("the upload goes on", goes_on)


def slow_download_of_an_app(scene: Scene) -> None:
    """Row 45d."""
    _take(scene, "app/file")


def monitoring(scene: Scene) -> None:
    """Row 48."""
    _send(scene, [("GET", "lab", None)])
    paths = ("api/status", "metrics", "api/kernels?no_track_activity=1")
    scene.again(lambda: _send(scene, [("GET", path, None) for path in paths]))


def visible_tab(scene: Scene) -> None:
    """Row 4a: the polls of a page that was opened, at a rate scaled with the timeout."""
    _send(scene, [("GET", "lab", None)])
    scene.again(lambda: _send(scene, _POLLS))


def hidden_tab(scene: Scene) -> None:
    """Row 5a: a notebook's websockets, and nothing else after a cell; to open them is no act."""
    kernel = scene.browser.open_kernel()
    events = Socket(f"{scene.browser.url}api/events/subscribe", scene.browser.token)
    scene.at_end(events.close)
    assert kernel.run("1 + 1")["status"] == "ok"
    scene.premise("its websockets are open", lambda: kernel.socket.open and events.open)


REQUESTS: dict[str, Maker] = {
    "9": writing,
    "27": reloading,
    "45": down_and_up,
    "45a": slow_download,
    "45b": stalled_download,
    "45c": slow_upload,
    "45d": slow_download_of_an_app,
    "48": monitoring,
}
TABS: dict[str, Maker] = {"4a": visible_tab, "5a": hidden_tab}
MAKERS: dict[str, Maker] = REQUESTS | TABS
