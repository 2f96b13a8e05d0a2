"""How the rows of tabs in a real browser are made."""

from __future__ import annotations

import time

from harness.ports import free_ports
from harness.waiting import wait_until
from tests.e2e.matrix.scene import A_PERSON, Scene
from tests.e2e.matrix.stage import Maker
from tests.e2e.matrix.tab import Tab, falls_silent, notebook

_CELL = ".jp-NotebookPanel .jp-Cell"
_TEXT = ".jp-FileEditor .cm-content"
_TALKS = (
    "import threading, time\ndef work():\n    while True: print('ti' + 'ck'); time.sleep(1)\n"
    "threading.Thread(target=work, daemon=True).start()"
)
"""A cell's thread that prints, and does not stop."""


def _notebook(
    scene: Scene, page: str = "lab/tree/a.ipynb", selector: str = _CELL, source: str = "1 + 1"
) -> Tab:
    """Open a notebook, and wait until its page is connected to its kernel."""
    tab = notebook(scene, source, page, selector)
    wait_until(lambda: scene.status()["connections"] == 1, 60, "the page is connected to its kernel")
    return tab


def _text(scene: Scene) -> Tab:
    """Open a text in an editor."""
    scene.file("notes.md", "a line\n\n" * 500)
    return Tab(scene, "lab/tree/notes.md?factory=Editor", _TEXT)


def _shared_text(scene: Scene) -> Tab:
    """Open a text that is shared in an editor."""
    _shares(scene)
    return _text(scene)


def _shares(scene: Scene) -> None:
    """Have it looked at that the server keeps a document's history, as of shared ones.

    The page would miss the server's part of jupyter-scheduler, and ask about it until somebody answers.
    """
    folder = scene.folder / ".jupyter" / "labconfig"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "page_config.json").write_text('{"disabledExtensions": {"@jupyterlab/scheduler": true}}')
    scene.premise("the document is shared", lambda: (scene.folder / ".jupyter_ystore.db").stat().st_size > 0)


def _autosave(scene: Scene) -> None:
    """Have JupyterLab save every five seconds and not every two minutes: scaled as the timeout is."""
    folder = scene.folder / ".jupyter" / "lab" / "user-settings" / "@jupyterlab" / "docmanager-extension"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plugin.jupyterlab-settings").write_text('{"autosaveInterval": 5}')


def _polls(scene: Scene, tab: Tab) -> None:
    def holds() -> bool:
        sent, found = tab.tell("look")
        return sent > 0 and found > 0

    scene.premise("the page is there, and sends requests", holds)


def visible(scene: Scene) -> None:
    """Row 4."""
    _polls(scene, Tab(scene, "lab", ".jp-Launcher"))


def hidden(scene: Scene) -> None:
    """Row 5."""
    tab = _notebook(scene)
    tab.tell("hide")
    falls_silent(scene, tab)


def classic(scene: Scene) -> None:
    """Row 6."""
    falls_silent(scene, _notebook(scene, "notebooks/a.ipynb", ".code_cell"))


def asleep(scene: Scene) -> None:
    """Row 8."""
    tab = _notebook(scene)
    tab.tell("look")
    tab.freeze()
    scene.premise("nothing of the browser runs", lambda: tab.is_frozen)


def writing(scene: Scene) -> None:
    """Row 9a."""
    _autosave(scene)
    tab = _text(scene)
    tab.tell(f"click {_TEXT}")
    scene.again(lambda: tab.tell("type word"), A_PERSON)
    notes = scene.folder / "notes.md"
    scene.premise("it was saved", lambda: notes.read_text().count("word") > 2)


_PRINTS = (
    "import threading, time\n"
    "def work():\n    while True:\n        print('.', flush=True); time.sleep(1)\n"
    "threading.Thread(target=work, daemon=True).start()"
)


def saving_nothing(scene: Scene) -> None:
    """Row 11: what is printed after its cell has ended makes the page save, and nobody has written it."""
    _autosave(scene)
    tab = _notebook(scene, source=_PRINTS)
    tab.tell(f"click {_CELL} .cm-content")
    tab.tell("press Shift+Enter")
    _polls(scene, tab)
    saved = [0.0]

    def saves() -> bool:
        saved.append((scene.folder / "a.ipynb").stat().st_mtime)
        return saved[-1] > saved[-2] and '"text": [' in (scene.folder / "a.ipynb").read_text()

    scene.premise("the page saves what is printed", saves)


def reading(scene: Scene) -> None:
    """Row 12."""
    tab = _text(scene)
    scene.again(lambda: tab.tell("scroll"), A_PERSON)
    _polls(scene, tab)


def dashboard(scene: Scene) -> None:
    """Rows 41, 41a and 41b."""
    tab = Tab(scene, "app/", "text=moves")
    scene.premise("the page is there", lambda: tab.tell("look")[1] > 0)


def dask(scene: Scene) -> None:
    """Row 41d: a cluster that has nothing to do, looked at."""
    (port,) = free_ports(1)
    code = "from distributed import Client, LocalCluster\ncluster = LocalCluster(n_workers=1, "
    code += f"threads_per_worker=1, dashboard_address='127.0.0.1:{port}')\nclient = Client(cluster)"
    with scene.browser.open_kernel() as kernel:
        assert kernel.run(code, within=60)["status"] == "ok"
    tab = Tab(scene, f"proxy/{port}/status", "text=Workers")
    scene.premise("the page is there", lambda: tab.tell("look")[1] > 0)


def shared_and_quiet(scene: Scene) -> None:
    """Row 43."""
    tab = _shared_text(scene)
    tab.tell("hide")
    falls_silent(scene, tab)


def shared_and_seen(scene: Scene) -> None:
    """Row 43a."""
    _polls(scene, _shared_text(scene))


def shared_and_printed(scene: Scene) -> None:
    """Row 44d; see row 15b for the pause."""
    _shares(scene)
    tab = _notebook(scene, source=_TALKS)
    time.sleep(7)
    tab.tell(f"click {_CELL} .cm-content")
    tab.tell("press Shift+Enter")
    saved, counts = scene.folder / "a.ipynb", [5]

    def grows() -> bool:
        counts.append(saved.read_text().count("tick"))
        return counts[-1] > counts[-2]

    def has_begun() -> bool:
        return saved.read_text().count("tick") > counts[0]

    wait_until(has_begun, 60, "the page has written into the notebook what is printed")
    scene.premise("it goes on, and the server saves it", grows)
    tab.tell("hide")
    falls_silent(scene, tab)


def shared_and_written(scene: Scene) -> None:
    """Row 44."""
    tab = _shared_text(scene)
    tab.tell(f"click {_TEXT}")
    scene.again(lambda: tab.tell("type word"), A_PERSON)
    notes = scene.folder / "notes.md"
    scene.premise("it was saved by the server", lambda: notes.read_text().count("word") > 2)


TABS: dict[str, Maker] = {
    "4": visible,
    "5": hidden,
    "6": classic,
    "8": asleep,
    "9a": writing,
    "11": saving_nothing,
    "12": reading,
    "43": shared_and_quiet,
    "43a": shared_and_seen,
    "44d": shared_and_printed,
}
DASHBOARDS: dict[str, Maker] = {**dict.fromkeys(("41", "41a", "41b"), dashboard), "41d": dask}
