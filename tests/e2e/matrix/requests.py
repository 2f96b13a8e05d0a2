"""How the rows of requests are made, and of tabs, by sending what a tab sends."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from itertools import count

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
    """Row 5a: a notebook's websockets, and nothing else."""
    kernel = scene.browser.open_kernel()
    events = Socket(f"{scene.browser.url}api/events/subscribe", scene.browser.token)
    scene.premise("its websockets are open", lambda: kernel.socket.open and events.open)
    scene.at_end(events.close)


REQUESTS: dict[str, Maker] = {"9": writing, "27": reloading, "45": down_and_up, "48": monitoring}
TABS: dict[str, Maker] = {"4a": visible_tab, "5a": hidden_tab}
MAKERS: dict[str, Maker] = REQUESTS | TABS
