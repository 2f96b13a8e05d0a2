"""How the rows of documents are made that the server holds, and whose cells it runs itself."""

from __future__ import annotations

import json
import time

from harness.waiting import wait_until
from tests.e2e.matrix.scene import Scene
from tests.e2e.matrix.stage import Maker
from tests.e2e.matrix.tab import Tab

_CELL = ".jp-NotebookPanel .jp-Cell .cm-content"
_KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
_SLOWEST = 11.0
"""Seconds, longer than between two ticks of a page's timers, each of which ticks once more when hidden."""


def _notebook(scene: Scene, code: str) -> Tab:
    """Open a notebook with one cell, and wait until it has its kernel."""
    cell: dict[str, object] = {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}}
    cells = [{**cell, "outputs": [], "source": code}]
    text = {"cells": cells, "metadata": _KERNEL, "nbformat": 4, "nbformat_minor": 5}
    scene.file("a.ipynb", json.dumps(text))
    tab = Tab(scene, "lab/tree/a.ipynb", _CELL)
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
    scene.acted = time.monotonic()

    def is_silent() -> bool:
        time.sleep(_SLOWEST)
        return tab.tell("look")[0] == 0

    wait_until(is_silent, 60, "the page falls silent")

    def holds() -> bool:
        sent, found = tab.tell("look")
        return sent == 0 and found > 0

    scene.premise("the page is there, and sends no request", holds)


MAKERS: dict[str, Maker] = {"64": silent_cell, "64a": nobody_types}
