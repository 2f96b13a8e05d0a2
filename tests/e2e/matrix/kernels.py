"""How the rows of kernels are made."""

from __future__ import annotations

import psutil

from harness.processes import alive, find_below
from harness.waiting import wait_until
from tests.e2e.matrix.scene import Scene
from tests.e2e.matrix.stage import Maker

COMPUTE = "while True:\n    sum(range(300_000)); time.sleep(0.05)\n"
"""Computes all the time, at a fraction of a core: the machine has others to run."""


def _cell(scene: Scene, body: str) -> int:
    """Begin a cell, close its tab, have it looked at that it still runs, and return its kernel's pid."""
    ended = scene.folder / "cell-ended"
    kernel = scene.browser.leave_cell(f"import time\n{body}\nopen({str(ended)!r}, 'w').close()")
    pid = scene.browser.kernel_pid(kernel)
    scene.premise("the cell runs", lambda: alive(pid) and not ended.exists())
    return pid


def _computes(scene: Scene, pid: int) -> None:
    """Have it looked at that the process uses a processor."""
    process = psutil.Process(pid)
    used = [sum(process.cpu_times()[:2])]

    def more() -> bool:
        used.append(sum(process.cpu_times()[:2]))
        return used[-1] > used[-2] + 0.2

    scene.premise("it computes", more)


def _idle_kernels(scene: Scene, connections: int = 0) -> None:
    def holds() -> bool:
        status = scene.status()
        return bool(status["kernels"] == 1 and status["connections"] == connections)

    scene.premise(f"one kernel is left, with {connections} websockets", holds)


def computing_cell(scene: Scene) -> None:
    """Row 1."""
    _computes(scene, _cell(scene, COMPUTE))


def waiting_cell(scene: Scene) -> None:
    """Row 2."""
    _cell(scene, "time.sleep(900)")


def printing_cell(scene: Scene) -> None:
    """Row 3."""
    _cell(scene, "while True:\n    print('.', flush=True); time.sleep(1)")


def idle_kernel(scene: Scene) -> None:
    """Row 7."""
    with scene.browser.open_kernel() as kernel:
        assert kernel.run("1 + 1")["status"] == "ok"
    _idle_kernels(scene)


def background_thread(scene: Scene) -> None:
    """Row 16."""
    code = f"import threading, time\ndef work():\n    {COMPUTE.replace(chr(10), chr(10) + '    ')}\n"
    with scene.browser.open_kernel() as kernel:
        assert kernel.run(code + "threading.Thread(target=work, daemon=True).start()")["status"] == "ok"
        _computes(scene, scene.browser.kernel_pid(kernel.id))
    _idle_kernels(scene)


def bash_cell(scene: Scene) -> None:
    """Row 17."""
    kernel = scene.browser.leave_cell("%%bash\nwhile true; do sleep 0.2; done # of-row-17")
    pid = find_below(scene.browser.kernel_pid(kernel), "bash")
    scene.premise("the command runs", lambda: alive(pid))


def input_waits(scene: Scene) -> None:
    """Row 18."""
    kernel = scene.browser.open_kernel()
    asked = kernel.ask_for_input("input('Name? ')")
    assert asked["prompt"] == "Name? "
    pid = scene.browser.kernel_pid(kernel.id)
    scene.premise("it waits, the tab open", lambda: alive(pid) and kernel.socket.open)


def crashed_cell(scene: Scene) -> None:
    """Row 20."""
    kernel = scene.browser.leave_cell("import time; time.sleep(900)")
    old = scene.browser.crash_kernel(kernel)

    def restarted() -> bool:
        return scene.browser.kernel_pid(kernel) != old

    wait_until(restarted, 20, "the server restarts the kernel")
    scene.premise("the new kernel runs", restarted)


MAKERS: dict[str, Maker] = {
    "1": computing_cell,
    "2": waiting_cell,
    "3": printing_cell,
    "7": idle_kernel,
    "16": background_thread,
    "17": bash_cell,
    "18": input_waits,
    "20": crashed_cell,
}
