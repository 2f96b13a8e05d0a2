"""How the rows of terminals are made."""

from __future__ import annotations

import json
import socket
from itertools import cycle

import psutil

from harness.processes import alive, below, find_below
from harness.waiting import wait_until
from tests.e2e.matrix.kernels import COMPUTE, computes
from tests.e2e.matrix.scene import Scene
from tests.e2e.matrix.stage import Maker


def _leave(scene: Scene, line: str, fragment: str) -> int:
    """Type a command, close the tab, have it looked at that it runs, and return its pid."""
    pid = scene.browser.leave_command(line, fragment)
    scene.premise(f"{line!r} runs", lambda: alive(pid))
    return pid


def _train(scene: Scene) -> None:
    scene.file("train.py", f"import time\n{COMPUTE}")


def idle_prompt(scene: Scene) -> None:
    """Row 28: leave a prompt after a command."""
    terminal = scene.browser.open_terminal()
    terminal.type("echo a-word | tr a-w A-W")
    wait_until(lambda: "A-WORD" in terminal.shown, 15, "the command has run")
    scene.premise("its shell lives", scene.has_shell)
    terminal.close()


def top_in_open_tab(scene: Scene) -> None:
    """Row 29: look at top, the tab open."""
    terminal = scene.browser.open_terminal()
    terminal.type("top -d 1")
    pid = find_below(scene.browser.server_pid, "top -d 1")
    shown = [0]

    def moves() -> bool:
        shown.append(len(terminal.shown))
        return alive(pid) and shown[-1] > shown[-2]

    scene.premise("top draws, the tab open", moves)


def watch_in_closed_tab(scene: Scene) -> None:
    """Row 29a."""
    _leave(scene, "watch -n 1 date", "watch -n 1 date")


def _growing_log(scene: Scene) -> None:
    """Write a log that grows while the server is watched; not by a process of the server's."""
    log = scene.folder / "log"
    scene.file("log", "a line\n")

    def grow() -> None:
        with log.open("a") as file:
            file.write("a line\n")

    scene.again(grow)


def log_through_a_filter(scene: Scene) -> None:
    """Row 29b: the tab stays open, so that its terminal's output is sent."""
    _growing_log(scene)
    terminal = scene.browser.open_terminal()
    terminal.type("tail -f log | grep line")
    pid = find_below(scene.browser.server_pid, "grep line")
    shown = [0]

    def moves() -> bool:
        shown.append(len(terminal.shown))
        return alive(pid) and shown[-1] > shown[-2]

    scene.premise("the filter shows the log, the tab open", moves)


def log_through_a_program(scene: Scene) -> None:
    """Row 29c: what it makes of the lines is not known."""
    _growing_log(scene)
    scene.file("collect.py", "import sys\nfor line in sys.stdin:\n    pass\n")
    _leave(scene, f"tail -f log | {scene.python} collect.py", "collect.py")


def long_sleep(scene: Scene) -> None:
    """Rows 30 and 30a."""
    _leave(scene, "sleep 9999", "sleep 9999")


def training(scene: Scene) -> None:
    """Row 31."""
    _train(scene)
    computes(scene, _leave(scene, f"{scene.python} train.py > log", "train.py"))


def left_open(scene: Scene) -> None:
    """Row 32: a pager, an editor, an interpreter and a shell within a shell, each in its own terminal."""
    scene.file("text", "a line\n" * 500)
    _leave(scene, "less text", "less text")
    _leave(scene, "vi text", "vi text")
    _leave(scene, f"{scene.python} -q -i -u", "-q -i -u")
    _leave(scene, "bash --norc", "bash --norc")


def jobs_behind_the_prompt(scene: Scene) -> None:
    """Row 33."""
    _train(scene)
    computes(scene, _leave(scene, f"nohup {scene.python} train.py > log 2>&1 &", "train.py"))


def _away(scene: Scene, line: str) -> None:
    """Start a job that leaves the server's own processes, and close the tab; `JOB` stands for its command."""
    _train(scene)
    job = f"{scene.python} train.py {scene.user}"
    terminal = scene.browser.open_terminal()
    terminal.type(line.replace("JOB", job))
    pid = wait_until(lambda: scene.find_marked(job), 15, f"{line!r} runs")
    terminal.close()
    scene.premise(f"{line!r} runs", lambda: alive(pid))
    computes(scene, pid)


def in_its_own_session(scene: Scene) -> None:
    """Row 34."""
    _away(scene, "setsid -f JOB > log 2>&1")


def in_tmux(scene: Scene) -> None:
    """Row 34a."""
    _away(scene, f"tmux -S {scene.folder}/tmux new-session -d 'exec JOB'")


def resized_and_reconnected(scene: Scene) -> None:
    """Row 35: a window is moved about, and its connection lost and taken up again."""
    first = scene.browser.open_terminal()
    sizes = cycle([(24, 80), (40, 120)])
    name = first.name
    first.close()

    def again() -> None:
        rows, columns = next(sizes)
        terminal = scene.browser.open_terminal(name)
        terminal.socket.send(["set_size", rows, columns, 600, 800])
        terminal.close()

    scene.again(again)
    scene.premise("its shell lives", scene.has_shell)


def long_notebook(scene: Scene, source: str = "import time; time.sleep(900)") -> None:
    """Write `long.ipynb`, whose cell takes long."""
    cell: dict[str, object]
    cell = {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "outputs": []}
    notebook = {
        "cells": [{**cell, "source": source}],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    scene.file("long.ipynb", json.dumps(notebook))


def notebook_converted(scene: Scene) -> None:
    """Row 36: nbconvert executes a notebook."""
    long_notebook(scene)
    line = f"{scene.python} -m nbconvert --to notebook --execute long.ipynb --output done"
    pid = _leave(scene, line, "nbconvert")
    kernel = find_below(pid, "ipykernel_launcher", within=120)
    scene.premise("its kernel runs", lambda: alive(kernel))


def slow_copy(scene: Scene) -> None:
    """Row 66: three processes that wait for each other."""
    scene.file("big", "x" * 20_000_000)
    pid = _leave(scene, "rsync --bwlimit=20 big there/", "rsync --bwlimit")
    scene.premise("the copy is not complete", lambda: not (scene.folder / "there" / "big").exists())
    scene.premise("it has begun", lambda: any((scene.folder / "there").iterdir()))
    scene.premise("its parts run", lambda: len(below(pid)) > 0)


def silent_build(scene: Scene) -> None:
    """Row 67: the recipe waits for a job on another machine, which says nothing until it ends."""
    job = socket.create_server(("127.0.0.1", 0))
    scene.at_end(job.close)
    wait = f"import socket; socket.create_connection(('127.0.0.1', {job.getsockname()[1]})).recv(1)"
    scene.file("Makefile", f'result:\n\t@{scene.python} -c "{wait}"\n')
    pid = _leave(scene, "make result", "make result")
    recipe = find_below(pid, "recv")
    scene.premise("its recipe waits", lambda: alive(recipe))
    used = psutil.Process(recipe).cpu_times
    scene.premise("without a processor", lambda: used().user < 5)


MAKERS: dict[str, Maker] = {
    "28": idle_prompt,
    "29": top_in_open_tab,
    "29a": watch_in_closed_tab,
    "29b": log_through_a_filter,
    "29c": log_through_a_program,
    "30": long_sleep,
    "30a": long_sleep,
    "31": training,
    "32": left_open,
    "33": jobs_behind_the_prompt,
    "34": in_its_own_session,
    "34a": in_tmux,
    "35": resized_and_reconnected,
    "36": notebook_converted,
    "66": slow_copy,
    "67": silent_build,
}
