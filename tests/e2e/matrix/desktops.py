"""How the rows of a desktop in the browser are made: jupyter-remote-desktop-proxy, noVNC in Chromium."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import cycle
from pathlib import Path

import psutil

from harness.processes import find_below
from tests.e2e.matrix.scene import A_PERSON, Scene
from tests.e2e.matrix.stage import Maker
from tests.e2e.matrix.tab import Tab

_PLACES = cycle(("300 200", "620 420", "700 300"))
"""Where the pointer is moved to, in turn; all but the first are on the window in the midst."""


@contextmanager
def _turn() -> Iterator[None]:
    """Let one desktop begin at a time: two that look for a free display take the same, and end each other."""
    with (Path(tempfile.gettempdir()) / f"hubcull-desktops-{os.getuid()}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _desktop(scene: Scene) -> Tab:
    """Open the desktop, and have it looked at that its picture moves by itself."""
    with _turn():
        tab = Tab(scene, "desktop/", '#status:text-is("Connected")')
    session = psutil.Process(find_below(scene.browser.server_pid, "vncserver -rfbunixpath"))
    scene.at_end(partial(_end, scene, session))
    picture, copied = scene.folder / "tab.png", scene.folder / "told"

    def moves() -> bool:
        found, sizes, pictures = 0, set(), set()
        for _ in range(3):
            found += tab.tell("look")[1]
            sizes.add(copied.stat().st_size)
            pictures.add(picture.read_bytes())
            time.sleep(1.2)
        return found == len(sizes) == len(pictures) == 3

    scene.premise("the viewer is connected, and its picture moves", moves)
    return tab


def _end(scene: Scene, session: psutil.Process) -> None:
    """End the server, which would start the desktop anew, and have the desktop give its display back."""
    if scene.running():
        scene.hub.api.stop_server(scene.user)
    with suppress(psutil.Error):  # it ended with its server
        session.terminate()
        session.wait(10)


def working(scene: Scene) -> None:
    """Row 38c."""
    tab = _desktop(scene)
    tab.tell("click canvas")

    def work() -> None:
        for order in (f"move {next(_PLACES)}", "type word"):
            tab.tell(order)

    scene.again(work, A_PERSON)
    felt = scene.folder / "felt"
    scene.premise("the keys arrive", lambda: felt.read_text().count("KeyPress") > 10)


def left_open(scene: Scene) -> None:
    """Row 38d."""
    _desktop(scene)


MAKERS: dict[str, Maker] = {"38c": working, "38d": left_open}
