"""A tab of a real browser, in a process of its own, which `programs/tab.py` is."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path

import psutil

from harness.processes import below, kill_tree
from harness.waiting import wait_until
from tests.e2e.matrix.scene import Scene
from tests.e2e.matrix.servers import APPS

_PROGRAM = Path(__file__).parent / "programs" / "tab.py"
_SLOWEST = 11.0
"""Seconds, longer than between two ticks of a page's timers, each of which ticks once more when hidden."""
_KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}


class Tab:
    """One browser with one page of the scene's server, closed with the scene.

    Args:
        path: behind the server's own address.
        selector: what the page shows once it is there.

    """

    def __init__(self, scene: Scene, path: str, selector: str) -> None:
        page = f"/user/{scene.user}/{path}"
        command = [
            str(APPS / "python"),
            str(_PROGRAM),
            scene.hub.url,
            scene.user,
            scene.hub.place.password,
            page,
            selector,
            str(scene.folder / "tab.png"),
        ]
        self._log = (scene.folder / f"tab-{scene.user}.log").open("w")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        self._turn = threading.Lock()
        self._frozen: list[psutil.Process] = []
        scene.at_end(self.close)
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ConnectionError(f"the browser has ended: {Path(self._log.name).read_text()[-1500:]}")
        return line.strip()

    def tell(self, order: str) -> tuple[int, int]:
        """Have something done: hide, scroll, click SELECTOR, type TEXT, press KEY, move X Y, look.

        Returns how many requests the page sent since the last look, and how many elements there are for the
        selector. Whoever opens it or looks leaves a picture of the page beside the log.
        """
        assert self._process.stdin is not None
        with self._turn:
            self._process.stdin.write(f"{order}\n")
            self._process.stdin.flush()
            sent, found = self._answer().split()
        return int(sent), int(found)

    def freeze(self) -> None:
        """Have its machine fall asleep: nothing of it runs any more, and its connections stay."""
        self._frozen = below(self._process.pid)
        for process in self._frozen:
            process.suspend()

    @property
    def is_frozen(self) -> bool:
        """Whether nothing of it runs."""
        return bool(self._frozen) and all(p.status() == psutil.STATUS_STOPPED for p in self._frozen)

    def close(self) -> None:
        """End the browser, unless it has been."""
        if self._process.returncode is not None:
            return
        kill_tree(self._process.pid)
        self._process.wait()
        self._log.close()


def notebook(scene: Scene, code: str, page: str, selector: str) -> Tab:
    """Write a notebook with one cell, `a.ipynb`, and open it."""
    cell: dict[str, object] = {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}}
    cells = [{**cell, "outputs": [], "source": code}]
    text = {"cells": cells, "metadata": _KERNEL, "nbformat": 4, "nbformat_minor": 5}
    scene.file("a.ipynb", json.dumps(text))
    return Tab(scene, page, selector)


def falls_silent(scene: Scene, tab: Tab) -> None:
    """Wait until the page sends nothing more, and have it looked at that it stays so."""
    scene.acted = time.monotonic()

    def has_ended() -> bool:
        time.sleep(_SLOWEST)
        return tab.tell("look")[0] == 0

    wait_until(has_ended, 60, "the page falls silent")

    def holds() -> bool:
        sent, found = tab.tell("look")
        return sent == 0 and found > 0

    scene.premise("the page is there, and sends no request", holds)
