"""How the rows of VS Code in the browser are made: code-server, its page in Chromium."""

from __future__ import annotations

from pathlib import Path

from harness.processes import find_below
from tests.e2e.matrix.scene import A_PERSON, Scene
from tests.e2e.matrix.stage import Maker
from tests.e2e.matrix.tab import Tab

_FILE = '.explorer-folders-view .monaco-list-row:has-text("notes.md")'
_TEXT = ".monaco-editor .view-lines"
_MANY = "for each in $(seq 100); do sleep 9999 & done; wait"


def _editor(scene: Scene) -> Tab:
    """Open a folder with one file, and have it looked at that its page is served, extensions and all."""
    work = scene.folder / "work"
    work.mkdir()
    (work / "notes.md").write_text("a line\n")
    tab = Tab(scene, f"app/?folder={work}", _FILE)
    host = find_below(scene.browser.server_pid, "--type=extensionHost", within=60)
    told = [_told(host)]

    def searches() -> bool:
        told.append(_told(host))
        return tab.tell("look")[1] > 0 and told[-1] > told[-2]

    scene.premise("the page is there, and its extension host reads on", searches)
    return tab


def _told(pid: int) -> int:
    """Return how many bytes a process has read by its calls."""
    return int((Path("/proc") / str(pid) / "io").read_text().split()[1])


def typing(scene: Scene) -> None:
    """Row 38b: the page saves by itself."""
    tab = _editor(scene)
    tab.tell(f"click {_FILE}")
    tab.tell(f"click {_TEXT}")
    scene.again(lambda: tab.tell("type word"), A_PERSON)
    notes = scene.folder / "work" / "notes.md"
    scene.premise("it was saved", lambda: notes.read_text().count("word") > 2)


def left_open(scene: Scene) -> None:
    """Row 38e."""
    scene.start(["sh", "-c", _MANY])
    _editor(scene)


MAKERS: dict[str, Maker] = {"38b": typing, "38e": left_open}
