"""How the rows are made in which a cell waits for a person: for an answer, or in a debugger."""

from __future__ import annotations

from itertools import count
from typing import Any

from harness.processes import alive
from harness.situations import Kernel
from harness.waiting import wait_until
from tests.e2e.matrix.scene import Scene
from tests.e2e.matrix.stage import Maker


def input_waits(scene: Scene) -> None:
    """Row 18."""
    kernel = scene.browser.open_kernel()
    asked = kernel.ask_for_input("input('Name? ')")
    assert asked["prompt"] == "Name? "
    pid = scene.browser.kernel_pid(kernel.id)
    scene.premise("it waits, the tab open", lambda: alive(pid) and kernel.socket.open)


def input_left(scene: Scene) -> None:
    """Row 18b."""
    with scene.browser.open_kernel() as kernel:
        assert kernel.ask_for_input("input('Name? ')")["prompt"] == "Name? "
    _is_left(scene, kernel)


def input_unseen(scene: Scene) -> None:
    """Row 18c: the page is gone when the question comes."""
    question = _Question(scene)
    with scene.browser.open_kernel() as kernel:
        kernel.begin(question.code, asks=True)
    question.come(pages=0)
    _is_left(scene, kernel)


def input_of_another_page(scene: Scene) -> None:
    """Row 18d: the question goes to the page that is gone, and to nobody else."""
    question = _Question(scene)
    with scene.browser.open_kernel() as kernel:
        other = scene.browser.open_kernel(kernel.id)
        kernel.begin(question.code, asks=True)
    question.come(pages=1)
    scene.premise("the other page is open", lambda: other.socket.open)

    def was_asked() -> bool:
        return any(m["header"]["msg_type"] == "input_request" for m in other.socket.received)

    scene.premise("it was not asked", lambda: not was_asked())


class _Question:
    """A cell that sleeps until it is told to ask, which it is when its page has gone."""

    def __init__(self, scene: Scene) -> None:
        self._scene, self._told, self._asked = scene, scene.folder / "told", scene.folder / "asked"
        sleep = f"import os, time\nwhile not os.path.exists({str(self._told)!r}): time.sleep(0.2)\n"
        self.code = f"{sleep}open({str(self._asked)!r}, 'w').close()\ninput('Name? ')"

    def come(self, pages: int) -> None:
        """Have it ask once no more pages than these are open."""
        wait_until(lambda: self._scene.status()["connections"] == pages, 20, f"{pages} pages are open")
        self._told.touch()
        wait_until(self._asked.exists, 20, "the cell asks")


def _is_left(scene: Scene, kernel: Kernel) -> None:
    pid = scene.browser.kernel_pid(kernel.id)
    scene.premise("its kernel runs, the tab closed", lambda: alive(pid) and not kernel.socket.open)
    scene.premise("no page is open", lambda: bool(scene.status()["connections"] == 0))


class Debugger:
    """What JupyterLab's debugger sends to a kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel, self._numbers = kernel, count(1)

    def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        """Send a request and return the body of its reply."""
        request = {"type": "request", "seq": next(self._numbers), "command": command, "arguments": arguments}
        content = self._kernel.ask("debug_request", request, channel="control")["content"]
        if not content.get("success"):
            raise ConnectionError(f"{command}: {content}")
        return dict(content.get("body") or {})

    def halt(self, code: str, line: int) -> None:
        """Run a cell up to its breakpoint, and show what a page shows of it."""
        self.ask("initialize", clientID="jupyterlab", adapterID="", pathFormat="path", linesStartAt1=True)
        self.ask("attach")
        path = self.ask("dumpCell", code=code)["sourcePath"]
        lines = [{"line": line}]
        self.ask("setBreakpoints", breakpoints=lines, source={"path": path}, sourceModified=False)
        self.ask("configurationDone")
        self._kernel.begin(code)
        halted = {"header__msg_type": "debug_event", "content__event": "stopped"}
        event = self._kernel.socket.wait_for("the cell halts", 30, **halted)
        frames = self.ask("stackTrace", threadId=event["content"]["body"]["threadId"])["stackFrames"]
        for scope in self.ask("scopes", frameId=frames[0]["id"])["scopes"]:
            self.ask("variables", variablesReference=scope["variablesReference"])


def _halted(scene: Scene) -> Kernel:
    """Have a cell halted that prints something first, and looked at that it stays so."""
    kernel = scene.browser.open_kernel()
    ended = scene.folder / "cell-went-on"
    Debugger(kernel).halt(f"print('so far')\nx = 1\nopen({str(ended)!r}, 'w').close()\n", line=2)
    pid = scene.browser.kernel_pid(kernel.id)
    scene.premise("the cell has not gone on", lambda: alive(pid) and not ended.exists())
    return kernel


def breakpoint_hit(scene: Scene) -> None:
    """Row 19: the tab open."""
    kernel = _halted(scene)
    scene.premise("the tab is open", lambda: kernel.socket.open)


def breakpoint_left(scene: Scene) -> None:
    """Row 19c: the tab closed."""
    _halted(scene).close()


def prompt_of_pdb(scene: Scene) -> None:
    """Row 19b: the debugger waits for its next word, the tab open."""
    kernel = scene.browser.open_kernel()
    asked = kernel.ask_for_input("import pdb; pdb.set_trace()\nprint('after it')")
    assert asked["prompt"]
    pid = scene.browser.kernel_pid(kernel.id)
    scene.premise("it waits, the tab open", lambda: alive(pid) and kernel.socket.open)


INPUTS: dict[str, Maker] = {
    "18": input_waits,
    "18b": input_left,
    "18c": input_unseen,
    "18d": input_of_another_page,
}
DEBUGGERS: dict[str, Maker] = {"19": breakpoint_hit, "19b": prompt_of_pdb, "19c": breakpoint_left}
