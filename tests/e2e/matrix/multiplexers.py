"""How the rows of tmux and screen are made that are not those of a terminal's own."""

from __future__ import annotations

from harness.processes import alive
from harness.waiting import wait_until
from tests.e2e.matrix.kernels import COMPUTE, computes
from tests.e2e.matrix.scene import Scene
from tests.e2e.matrix.stage import Maker


def tmux_prompt(scene: Scene) -> None:
    """Row 34b."""
    terminal = scene.browser.open_terminal()
    terminal.type(f"tmux -S {scene.folder}/tmux new-session -d 'exec bash --norc -s {scene.user}'")
    name = f"bash --norc -s {scene.user}"
    pid = wait_until(lambda: scene.find_marked(name), 15, "the prompt is there")
    terminal.close()
    scene.premise("the prompt is there", lambda: alive(pid))


def in_a_window_of_tmux(scene: Scene) -> None:
    """Row 63: somebody is before it, types there, and closes the browser."""
    scene.file("train.py", f"import time\n{COMPUTE}")
    job = f"{scene.python} train.py {scene.user}"
    terminal = scene.browser.open_terminal()
    terminal.type(f"tmux -S {scene.folder}/tmux new-session bash --norc -s {scene.user}")
    prompt = f"bash --norc -s {scene.user}"
    wait_until(lambda: scene.find_marked(prompt), 15, "the window is there")
    terminal.type(f"{job} > log")
    pid = wait_until(lambda: scene.find_marked(job), 15, "the job runs")
    terminal.close()
    scene.premise("the job runs", lambda: alive(pid))
    computes(scene, pid)


def in_screen(scene: Scene) -> None:
    """Row 34d."""
    scene.file("train.py", f"import time\n{COMPUTE}")
    job = f"{scene.python} train.py {scene.user}"
    terminal = scene.browser.open_terminal()
    folder = scene.folder / "screens"
    folder.mkdir(mode=0o700)
    terminal.type(f"SCREENDIR={folder} screen -dmS training {job}")
    pid = wait_until(lambda: scene.find_marked(job), 15, "the job runs")
    terminal.close()
    scene.premise("the job runs", lambda: alive(pid))
    computes(scene, pid)


MAKERS: dict[str, Maker] = {
    "34b": tmux_prompt,
    "34d": in_screen,
    "63": in_a_window_of_tmux,
}
