"""How the rows of documents are made that the server holds, and whose cells it runs itself."""

from __future__ import annotations

from harness.waiting import wait_until
from tests.e2e.matrix import browser
from tests.e2e.matrix.scene import A_PERSON, Scene
from tests.e2e.matrix.stage import Maker
from tests.e2e.matrix.tab import Tab, falls_silent, notebook

_CELL = ".jp-NotebookPanel .jp-Cell .cm-content"


def _notebook(scene: Scene, code: str) -> Tab:
    """Open a notebook with one cell, and wait until it has its kernel."""
    tab = notebook(scene, code, "lab/tree/a.ipynb", _CELL)
    wait_until(lambda: scene.status()["kernels"] == 1, 60, "its kernel is there")
    return tab


def _run(scene: Scene, tab: Tab) -> None:
    """Run the cell, and wait until it writes that it has begun; its page's websocket is not counted."""
    tab.tell(f"click {_CELL}")
    tab.tell("press Shift+Enter")
    wait_until((scene.folder / "began").exists, 60, "the cell has begun")
    scene.premise("the kernel has no connections", lambda: scene.status()["connections"] == 0)


def silent_cell(scene: Scene) -> None:
    """Row 64."""
    tab = _notebook(scene, "import time\nopen('began', 'w')\ntime.sleep(9999)\nopen('ended', 'w')")
    _run(scene, tab)
    tab.close()
    scene.premise("the cell has not ended", lambda: not (scene.folder / "ended").exists())


def nobody_types(scene: Scene) -> None:
    """Row 64a."""
    tab = _notebook(scene, "open('began', 'w')")
    _run(scene, tab)
    tab.tell("hide")
    falls_silent(scene, tab)


def typing(scene: Scene) -> None:
    """Row 64b."""
    tab = _notebook(scene, "")
    tab.tell(f"click {_CELL}")
    scene.again(lambda: tab.tell("type word"), A_PERSON)
    notes = scene.folder / "a.ipynb"
    scene.premise("it was saved by the server", lambda: notes.read_text().count("word") > 2)


MAKERS: dict[str, Maker] = {"64": silent_cell, "64a": nobody_types}
EDITS: dict[str, Maker] = {"44": browser.shared_and_written, "64b": typing}
