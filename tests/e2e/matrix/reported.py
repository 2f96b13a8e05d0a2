"""How the rows are made that people have reported, and some beside the first fifty."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import zmq

from harness.processes import alive, find_below
from harness.sockets import Socket
from harness.waiting import wait_until
from tests.e2e.matrix import multiplexers, waits
from tests.e2e.matrix.kernels import COMPUTE, computes, rests
from tests.e2e.matrix.scene import Scene
from tests.e2e.matrix.stage import Maker


class _Trickle(BaseHTTPRequestHandler):
    """Answers with a file that takes for ever."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x" * 1000)
                time.sleep(0.5)
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def unknown_poll(scene: Scene) -> None:
    """Row 51: a tab of an extension that asks every few seconds."""
    assert scene.browser.call("GET", "lab").ok

    def poll() -> None:
        answer = scene.browser.call("GET", "polled/news")
        if answer.status != 200:
            raise ConnectionError(f"polled/news: {answer.status}")

    scene.again(poll)


def chatter(scene: Scene) -> None:
    """Row 52: what front ends ask a kernel when somebody switches between tabs, after a cell."""
    kernel = scene.browser.open_kernel()
    assert kernel.run("1 + 1")["status"] == "ok"

    def switch() -> None:
        kernel.send("kernel_info_request")
        kernel.send("comm_info_request", {"target_name": "jupyter.widget"})
        debug = {"seq": 1, "type": "request", "command": "debugInfo", "arguments": {}}
        kernel.send("debug_request", debug, channel="control")

    scene.again(switch)
    scene.premise("its websocket is open", lambda: kernel.socket.open)


def cell_has_ended(scene: Scene) -> None:
    """Row 53: a cell that took longer than the timeout."""
    with scene.browser.open_kernel() as kernel:
        assert kernel.run("import time; time.sleep(45)", within=90)["status"] == "ok"
    scene.premise("a kernel is left", lambda: bool(scene.status()["kernels"] == 1))


def reconnecting(scene: Scene) -> None:
    """Row 54: a forgotten tab whose websocket is lost and taken up again."""
    with scene.browser.open_kernel() as kernel:
        assert kernel.run("1 + 1")["status"] == "ok"

    def reconnect() -> None:
        with scene.browser.open_kernel(kernel.id):
            pass

    scene.again(reconnect)


def download(scene: Scene) -> None:
    """Row 55: it neither prints nor computes."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Trickle)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    scene.at_end(server.shutdown)
    pid = scene.browser.leave_command(
        f"curl -s -o big http://127.0.0.1:{server.server_port}/", "curl -s -o big"
    )
    scene.premise("the download goes on", lambda: alive(pid))


def waiting_loop(scene: Scene) -> None:
    """Row 56."""
    kernel = scene.browser.leave_cell("import time\nwhile True: time.sleep(1)")
    pid = scene.browser.kernel_pid(kernel)
    scene.premise("the kernel runs", lambda: alive(pid))


def prompt_in_open_tab(scene: Scene) -> None:
    """Row 57."""
    terminal = scene.browser.open_terminal()
    terminal.type("echo a-word | tr a-w A-W")
    wait_until(lambda: "A-WORD" in terminal.shown, 15, "the command has run")
    scene.premise("the tab is open", lambda: terminal.socket.open)


def gone_kernel(scene: Scene) -> None:
    """Row 58: what the page of a notebook does whose kernel was stopped, by whomever."""
    with scene.browser.open_kernel() as kernel:
        assert kernel.run("1 + 1")["status"] == "ok"
    assert scene.browser.call("DELETE", f"api/kernels/{kernel.id}").status == 204

    def ask() -> None:
        answer = scene.browser.call("GET", f"api/kernels/{kernel.id}")
        try:
            Socket(f"{scene.browser.url}api/kernels/{kernel.id}/channels", scene.browser.token).close()
        except ConnectionError:
            if answer.status == 404:
                return
        raise ConnectionError(f"the kernel is there: {answer.status}")

    scene.again(ask)


def job_behind_the_prompt(scene: Scene) -> None:
    """Row 59."""
    scene.file("train.py", f"import time\n{COMPUTE}")
    pid = scene.browser.leave_command(f"{scene.python} train.py > log &", "train.py")
    scene.premise("the job runs", lambda: alive(pid))
    computes(scene, pid)


def printing_script(scene: Scene) -> None:
    """Row 70."""
    scene.file("script.py", "import time\nwhile True:\n    print('.', flush=True); time.sleep(2)\n")
    pid = scene.browser.leave_command(f"{scene.python} script.py", "script.py")
    scene.premise("the script runs", lambda: alive(pid))


def job_of_a_notebook(scene: Scene) -> None:
    """Row 16f."""
    scene.file("train.py", f"import time\n{COMPUTE}")
    with scene.browser.open_kernel() as kernel:
        line = f"import os; os.system('nohup {scene.python} train.py > log 2>&1 &')"
        assert kernel.run(line)["status"] == "ok"
        job = f"{scene.python} train.py"
        pid = wait_until(lambda: _of_user(scene, job), 15, "the job runs")
    scene.premise("the job runs", lambda: alive(pid))
    computes(scene, pid)


def _of_user(scene: Scene, command: str) -> int | None:
    """Return the pid of a process with this command line in the user's folder, wherever it went."""
    for process in psutil.process_iter():
        try:
            if " ".join(process.cmdline()) == command and process.cwd() == str(scene.folder):
                return process.pid
        except psutil.Error:
            continue
    return None


def stopped_job(scene: Scene) -> None:
    """Row 60: stopped with Ctrl-Z and forgotten."""
    scene.file("train.py", f"import time\n{COMPUTE}")
    terminal = scene.browser.open_terminal()
    terminal.type(f"{scene.python} train.py > log")
    pid = find_below(scene.browser.server_pid, "train.py")
    terminal.socket.send(["stdin", "\x1a"])

    def is_stopped() -> bool:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)

    wait_until(is_stopped, 15, "the job is stopped")
    terminal.close()
    scene.premise("the job is there, stopped", is_stopped)


def never_started(scene: Scene) -> None:
    """Rows 61 and 61a: a kernel whose program never answers."""
    spec = {"argv": [scene.python, "-c", "import time; time.sleep(900)"], "display_name": "Stuck"}
    folder = scene.folder / ".local" / "share" / "jupyter" / "kernels" / "stuck"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps({**spec, "language": "python"}))
    answer = scene.browser.call("POST", "api/kernels", {"name": "stuck"})
    assert answer.ok, answer.body
    scene.premise("it is starting", lambda: bool(scene.status()["kernels"] == 1))


def slow_copy(scene: Scene) -> None:
    """Row 62: it waits for a slow disk most of the time, in a session of its own."""
    copy = (
        "import time\nblock = bytes(100_000)\n"
        "while True:\n    with open('copy', 'wb') as copy:\n        copy.write(block)\n    time.sleep(0.2)\n"
    )
    scene.file("copy.py", copy)
    job = f"{scene.python} copy.py {scene.user}"
    terminal = scene.browser.open_terminal()
    terminal.type(f"setsid -f {job}")
    pid = wait_until(lambda: scene.find_marked(job), 15, "the copy runs")
    terminal.close()
    scene.premise("the copy runs", lambda: alive(pid))


def idle_pool(scene: Scene) -> None:
    """Row 16b: its work was done long ago."""
    code = "from multiprocessing import Pool\npool = Pool(2)\nprint(pool.map(abs, range(100)))"
    with scene.browser.open_kernel() as kernel:
        pid = scene.browser.kernel_pid(kernel.id)  # its processes have the same command line
        assert kernel.run(code)["status"] == "ok"
    scene.premise("its processes are there", lambda: len(psutil.Process(pid).children()) >= 2)


def flood(scene: Scene) -> None:
    """Row 49: a cell prints more than is kept for whoever does not read at once, and goes on."""
    lines = 20_000
    through = scene.folder / "through"
    code = (
        f"import time\nfor i in range({lines}): print(i, flush=True)\n"
        f"open({str(through)!r}, 'w').close()\ntime.sleep(900)"
    )
    with scene.browser.open_kernel() as kernel:
        pid = scene.browser.kernel_pid(kernel.id)
        slow = _subscribe(pid)
        scene.at_end(slow.close)
        time.sleep(1)  # a subscription joins a moment after it was made
        kernel.begin(code)
    wait_until(through.exists, 90, "the cell has printed all")
    rests(pid)  # it has published it, too
    printed = [frames for frames in iter(lambda: _next(slow), []) if b'"stream"' in b"".join(frames[-4:-3])]
    assert 0 < len(printed) < lines, f"{len(printed)} of {lines} messages came: none was dropped"
    scene.premise("the kernel runs", lambda: alive(pid))


def _subscribe(kernel: int) -> zmq.Socket[bytes]:
    """Subscribe to what a kernel publishes, with the usual queue of 1000 messages and little beside it."""
    words = psutil.Process(kernel).cmdline()
    found = json.loads(Path(words[words.index("-f") + 1]).read_text())
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.RCVBUF, 65536)
    socket.setsockopt(zmq.RCVTIMEO, 1000)
    socket.setsockopt(zmq.LINGER, 0)
    socket.subscribe(b"")
    socket.connect(f"tcp://{found['ip']}:{found['iopub_port']}")
    return socket


def _next(socket: zmq.Socket[bytes]) -> list[bytes]:
    """Return the frames of the next message, none where no more comes."""
    try:
        return socket.recv_multipart()
    except zmq.Again:
        return []


MAKERS: dict[str, Maker] = {
    **multiplexers.MAKERS,
    "16b": idle_pool,
    **waits.DEBUGGERS,
    "49": flood,
    "51": unknown_poll,
    "52": chatter,
    "53": cell_has_ended,
    "54": reconnecting,
    "55": download,
    "56": waiting_loop,
    "57": prompt_in_open_tab,
    "16f": job_of_a_notebook,
    "58": gone_kernel,
    "59": job_behind_the_prompt,
    "70": printing_script,
    "60": stopped_job,
    "61": never_started,
    "61a": never_started,
    "62": slow_copy,
}
