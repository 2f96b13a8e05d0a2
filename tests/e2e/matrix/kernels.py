"""How the rows of kernels are made."""

from __future__ import annotations

import time
from textwrap import indent
from typing import Any

import psutil
from jupyter_client.blocking.client import BlockingKernelClient

from harness.processes import alive, below, command_line, find_below, kill_all
from harness.situations import Kernel
from harness.waiting import wait_until
from tests.e2e.matrix import waits
from tests.e2e.matrix.scene import A_PERSON, Scene
from tests.e2e.matrix.stage import Maker

COMPUTE = (
    "begun, used = time.monotonic(), time.process_time()\n"
    "while True:\n"
    "    if time.process_time() - used < 0.16 * (time.monotonic() - begun):\n        sum(range(1000))\n"
    "    else:\n        time.sleep(0.1)\n"
)
"""Computes with breaks, a sixth of a core in all: the machine has others to run. What they took from it for a
while it makes up for."""
COMPUTING = 0.1
"""Processor seconds per second that it uses at least, whatever else runs."""


def _cell(scene: Scene, body: str) -> int:
    """Begin a cell, close its tab, have it looked at that it still runs, and return its kernel's pid."""
    ended = scene.folder / "cell-ended"
    kernel = scene.browser.leave_cell(f"import time\n{body}\nopen({str(ended)!r}, 'w').close()")
    pid = scene.browser.kernel_pid(kernel)
    scene.premise("the cell runs", lambda: alive(pid) and not ended.exists())
    return pid


def computes(scene: Scene, pid: int) -> None:
    """Have it looked at that the process uses a processor."""
    process = psutil.Process(pid)
    looks = [(time.monotonic(), sum(process.cpu_times()[:2]))]

    def share() -> bool:
        looks.append((time.monotonic(), sum(process.cpu_times()[:2])))
        (then, before), (now, used) = looks[-2:]
        return used - before > COMPUTING * (now - then)

    scene.premise(f"it uses {COMPUTING:.0%} of a core", share)


def rests(pid: int) -> None:
    """Wait until a process has begun and computes no more."""
    process = psutil.Process(pid)
    used = [0.0]

    def done() -> bool:
        used.append(sum(process.cpu_times()[:2]))
        return used[-1] > 0.2 and used[-1] - used[-2] < 0.02

    wait_until(done, 60, f"process {pid} rests", every=1)


def _idle_kernels(scene: Scene, connections: int = 0) -> None:
    def holds() -> bool:
        status = scene.status()
        return bool(status["kernels"] == 1 and status["connections"] == connections)

    scene.premise(f"one kernel is left, with {connections} websockets", holds)


def computing_cell(scene: Scene) -> None:
    """Rows 1 and 1a."""
    computes(scene, _cell(scene, COMPUTE))


def waiting_cell(scene: Scene) -> None:
    """Row 2."""
    _cell(scene, "time.sleep(900)")


def printing_cell(scene: Scene) -> None:
    """Row 3."""
    _cell(scene, "while True:\n    print('.', flush=True); time.sleep(1)")


def printing_cell_watched(scene: Scene) -> None:
    """Row 3a."""
    kernel = scene.browser.open_kernel()
    kernel.begin("import time\nwhile True:\n    print('.', flush=True); time.sleep(1)")
    speaks(scene, kernel)


def speaks(scene: Scene, kernel: Kernel) -> None:
    """Have it looked at that its messages come."""
    came = [0]

    def moves() -> bool:
        came.append(len(kernel.socket.received))
        return came[-1] > came[-2] + 10

    scene.premise("its messages come", moves)


def idle_kernel(scene: Scene) -> None:
    """Row 7."""
    with scene.browser.open_kernel() as kernel:
        assert kernel.run("1 + 1")["status"] == "ok"
    _idle_kernels(scene)


def _thread(scene: Scene, work: str) -> None:
    """Run a cell that starts a thread and ends, and close its tab."""
    start = "import threading, time\n{}threading.Thread(target=work, daemon=True).start()"
    with scene.browser.open_kernel() as kernel:
        assert kernel.run(start.format(work))["status"] == "ok"
        computes(scene, scene.browser.kernel_pid(kernel.id))
    _idle_kernels(scene)


def background_thread(scene: Scene) -> None:
    """Row 16."""
    _thread(scene, f"def work():\n{indent(COMPUTE, '    ')}")


def bash_cell(scene: Scene) -> None:
    """Row 17."""
    kernel = scene.browser.leave_cell("%%bash\nwhile true; do sleep 0.2; done # of-row-17")
    pid = find_below(scene.browser.kernel_pid(kernel), "bash")
    scene.premise("the command runs", lambda: alive(pid))


def crashed_cell(scene: Scene) -> None:
    """Row 20."""
    kernel = scene.browser.leave_cell("import time; time.sleep(900)")
    old = scene.browser.crash_kernel(kernel)

    def restarted() -> bool:
        return scene.browser.kernel_pid(kernel) != old

    wait_until(restarted, 20, "the server restarts the kernel")
    scene.premise("the new kernel runs", restarted)


def background_process(scene: Scene) -> None:
    """Row 16a: a process that a cell started and did not wait for."""
    program = scene.file("burn.py", f"import time\n{COMPUTE}")
    with scene.browser.open_kernel() as kernel:
        run = kernel.run(f"import subprocess; subprocess.Popen(['python3', {str(program)!r}])")
        assert run["status"] == "ok"
        computes(scene, find_below(scene.browser.kernel_pid(kernel.id), "burn.py"))
    _idle_kernels(scene)


def printing_thread(scene: Scene) -> None:
    """Row 15: it computes, too."""
    work = COMPUTE.replace("    time.sleep", "    print('.', flush=True); time.sleep")
    _thread(scene, f"def work():\n{indent(work, '    ')}")


def talkative_thread(scene: Scene) -> None:
    """Row 15b: what it prints goes into a file, too, so that it can be told to go on.

    Whoever asks a kernel how it is right after the cell, as we do after its start, takes over what it prints.
    """
    talk = scene.folder / "talk"
    work = (
        f"def work():\n    while True:\n        print('.', flush=True); open({str(talk)!r}, 'a').write('.')\n"
    )
    start = (
        "import threading, time\n{}        time.sleep(1)\nthreading.Thread(target=work, daemon=True).start()"
    )
    with scene.browser.open_kernel() as kernel:
        wait_until(lambda: _is_heard(scene, kernel), 40, "a report says that the kernel has been asked")
        assert kernel.run(start.format(work))["status"] == "ok"
    sizes = [0]

    def goes_on() -> bool:
        sizes.append(talk.stat().st_size)
        return sizes[-1] > sizes[-2]

    scene.premise("it prints", goes_on)
    _idle_kernels(scene)


def _is_heard(scene: Scene, kernel: Kernel) -> bool:
    """Tell whether our extension has had its answer after the kernel's start: until then it doubts."""
    answer = scene.hub.ask_service(f"api/v1/servers?user={scene.user}&server=")
    told: dict[str, Any] = next(iter(answer.json()["servers"]), {}) if answer.ok else {}
    known = {signal["source"] for signal in told.get("signals", ())}
    return f"kernel:{kernel.id[:8]}" in known and told.get("faults") == []


def animation(scene: Scene) -> None:
    """Row 14: a thread moves a widget in the tab."""
    body = "comm = create_comm(target_name='row-14')\ndef work():\n    while True:\n"
    code = f"import time\nfrom comm import create_comm\n{body}        comm.send({{}}); time.sleep(0.5)\n"
    start = "import threading; threading.Thread(target=work, daemon=True).start()"
    kernel = scene.browser.open_kernel()
    assert kernel.run(code + start)["status"] == "ok"
    speaks(scene, kernel)


def typing(scene: Scene) -> None:
    """Row 10: the front end asks for completions."""
    kernel = scene.browser.open_kernel()
    scene.again(lambda: kernel.send("complete_request", {"code": "pri", "cursor_pos": 3}), A_PERSON)


def widget(scene: Scene) -> None:
    """Row 13: a slider's messages to the kernel."""
    heard = scene.folder / "heard"
    code = (
        "def opened(comm, message):\n"
        f"    comm.on_msg(lambda message: open({str(heard)!r}, 'a').write('.'))\n"
        "get_ipython().kernel.comm_manager.register_target('row-13', opened)"
    )
    kernel = scene.browser.open_kernel()
    assert kernel.run(code)["status"] == "ok"
    kernel.send("comm_open", {"comm_id": "row-13", "target_name": "row-13", "data": {}})
    scene.again(lambda: kernel.send("comm_msg", {"comm_id": "row-13", "data": {"value": 1}}), A_PERSON)
    scene.premise("the kernel hears it", lambda: heard.stat().st_size > 3)


def restarted_by_user(scene: Scene) -> None:
    """Row 21: in mid-cell first, and then again and again."""
    kernel = scene.browser.leave_cell("import time; time.sleep(900)")

    def restart() -> None:
        if not scene.browser.call("POST", f"api/kernels/{kernel}/restart").ok:
            raise ConnectionError("the kernel was not restarted")

    scene.again(restart, every=12)  # a process that dies before it was heard may have died at work
    _idle_kernels(scene)


def dead_kernel(scene: Scene) -> None:
    """Row 22: kill it whenever it was restarted, until the server gives up."""
    kernel = scene.browser.leave_cell("import time; time.sleep(900)")
    killed: set[int] = set()

    def given_up() -> bool:
        found = [p for p in below(scene.browser.server_pid) if kernel in command_line(p) and alive(p.pid)]
        killed.update(process.pid for process in found)
        kill_all(found)
        return not found and not scene.status()["kernels"]

    wait_until(given_up, 60, "the server gives the kernel up", every=0.5)
    assert len(killed) > 5
    assert scene.browser.call("GET", "lab").ok, "somebody looks what became of it"
    scene.premise("no kernel is left", lambda: scene.status()["kernels"] == 0)


def without_websocket(scene: Scene) -> None:
    """Row 23: when the kernel has begun, a file is saved, which is an act to stock and to us alike."""
    pid = scene.browser.kernel_pid(scene.browser.start_kernel())
    rests(pid)
    note = {"type": "file", "format": "text", "content": "the last act"}
    assert scene.browser.call("PUT", "api/contents/note.txt", note).ok
    _idle_kernels(scene)


def other_client(scene: Scene) -> None:
    """Row 24: by the kernel's own ports."""
    kernel = scene.browser.start_kernel()
    pid = scene.browser.kernel_pid(kernel)
    words = psutil.Process(pid).cmdline()
    client = BlockingKernelClient(connection_file=words[words.index("-f") + 1])
    client.load_connection_file()
    client.start_channels(hb=False)  # a kernel that is late with a heartbeat is no dead one
    client.wait_for_ready(timeout=30)
    ended = scene.folder / "cell-ended"
    client.execute(f"import time; time.sleep(900); open({str(ended)!r}, 'w')")
    scene.at_end(client.stop_channels)
    scene.premise("the cell runs", lambda: alive(pid) and not ended.exists())
    _idle_kernels(scene)


def asked_for_usage(scene: Scene) -> None:
    """Row 26."""
    kernel = scene.browser.open_kernel()
    kernel.begin("import time; time.sleep(900)")
    pid = scene.browser.kernel_pid(kernel.id)
    scene.again(lambda: kernel.ask("usage_request", channel="control"))
    scene.premise("the cell runs, the tab open", lambda: alive(pid) and kernel.socket.open)


MAKERS: dict[str, Maker] = {
    "1": computing_cell,
    "1a": computing_cell,
    "2": waiting_cell,
    "3": printing_cell,
    "3a": printing_cell_watched,
    "7": idle_kernel,
    "10": typing,
    "13": widget,
    "14": animation,
    "15": printing_thread,
    "15b": talkative_thread,
    "16": background_thread,
    "16a": background_process,
    "17": bash_cell,
    **waits.INPUTS,
    "20": crashed_cell,
    "21": restarted_by_user,
    "22": dead_kernel,
    "23": without_websocket,
    "24": other_client,
    "26": asked_for_usage,
}
