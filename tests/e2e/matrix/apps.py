"""How the rows of apps beside JupyterLab are made."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from urllib.parse import urlsplit

from harness.processes import find_below
from tests.e2e.matrix.scene import A_PERSON, Scene
from tests.e2e.matrix.stage import Maker

TAKEN = "taken"
"""The file in the user's folder into which the app writes a dot for each event that was taken."""


def _again(scene: Scene, path: str, every: float | Sequence[float] = 4) -> None:
    """Send a request to the app, again and again, and have it looked at that the app runs."""

    def ask() -> None:
        answer = scene.browser.call("GET", path)
        if answer.status != 200:
            raise ConnectionError(f"{path}: {answer.status}")

    scene.again(ask, every)
    scene.premise("the app runs", lambda: find_below(scene.browser.server_pid, "app.py", within=2) > 0)


def resource_usage(scene: Scene) -> None:
    """Row 25: both of its bars poll, at about the rate they have."""
    assert scene.browser.call("GET", "lab").ok

    def poll() -> None:
        answer = scene.browser.call("GET", "api/metrics/v1")
        if not answer.ok or "rss" not in answer.json():
            raise ConnectionError(f"api/metrics/v1: {answer.status}")

    scene.again(poll)


def clicking(scene: Scene) -> None:
    """Row 38."""
    _again(scene, "app/page", A_PERSON)


def heartbeats(scene: Scene) -> None:
    """Row 39."""
    _again(scene, "app/heartbeat")


def uneven_heartbeats(scene: Scene) -> None:
    """Row 39a."""
    _again(scene, "app/heartbeat", A_PERSON)


def forgotten_stream(scene: Scene) -> None:
    """Row 40: read the beginning of the stream, and leave."""
    parts = urlsplit(f"{scene.browser.url}app/events")
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    headers = {"Authorization": f"token {scene.browser.token}", "Accept": "text/event-stream"}
    connection.request("GET", parts.path, headers=headers)
    response = connection.getresponse()
    assert response.status == 200, response.status
    assert response.readline().startswith(b"data:")
    connection.close()
    taken = scene.folder / TAKEN
    sizes = [0]

    def grows() -> bool:
        sizes.append(taken.stat().st_size)
        return sizes[-1] > sizes[-2] + 5

    scene.premise("the server still takes the events", grows)


MAKERS: dict[str, Maker] = {
    "25": resource_usage,
    "38": clicking,
    "39": heartbeats,
    "39a": uneven_heartbeats,
    "40": forgotten_stream,
}
