"""Laws of work in the background, with real processes: what uses the machine counts, what waits does not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from harness.processes import kill_tree
from hubcull_server_ext import clock, wire
from hubcull_server_ext.signals.background import Around, BackgroundSource
from hubcull_server_ext.signals.jobs import NOT_WORK
from hubcull_server_ext.signals.kernel_processes import KernelProcess
from hubcull_server_ext.signals.processes import ProcessTable
from hubcull_server_ext.signals.ttys import Clocks
from hubcull_server_ext.signals.usage import COMPUTES, Counter
from tests.component.ext.waiting import until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are watched on Linux")
PYTHON = sys.executable
PROGRAMS = Path(__file__).parent / "programs"
BURN = [PYTHON, str(PROGRAMS / "burn.py")]
WAIT = [PYTHON, "-c", "import time; time.sleep(600)"]
MARKS = {
    "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api",
    "JUPYTERHUB_SERVICE_PREFIX": f"/user/ada/{os.getpid()}/",
    "JUPYTERHUB_USER": "ada",
    "JUPYTERHUB_SERVER_NAME": str(os.getpid()),
}
LOOKS = 1.05
"""Seconds between two looks: no use of a processor is told in less than one."""
INTERVAL = 0.2
WINDOW = 6 * INTERVAL
"""Seconds over which use is averaged."""


def call(command: list[str], env: dict[str, str] | None = None) -> str:
    """Run a short command in the server's environment, or another; return what it prints."""
    found = os.environ | MARKS if env is None else env
    return subprocess.run(command, env=found, check=True, stdout=subprocess.PIPE, text=True).stdout


def used(pid: int) -> float:
    """Return the processor seconds that a process has used."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


@dataclass
class Yard:
    """What the server has running, and the source that watches it."""

    folder: Path
    interval: float = INTERVAL
    started: list[int] = field(default_factory=list)
    kernels: list[KernelProcess] = field(default_factory=list)
    table: ProcessTable = field(default_factory=ProcessTable)
    counters: Sequence[Counter] = ()

    def __post_init__(self) -> None:
        clocks = Clocks(clock.monotonic, clock.wall, clock.boottime)
        around = Around(lambda: self.kernels, list)
        self.source = BackgroundSource(
            self.table, clocks, around, MARKS, NOT_WORK, self.interval, counters=self.counters
        )

    def run(self, command: list[str], env: dict[str, str] | None = None) -> int:
        """Start a child of the server; return its process id."""
        child = subprocess.Popen(
            command, env=os.environ | MARKS if env is None else env, cwd=self.folder, stdin=subprocess.DEVNULL
        )
        self.started.append(child.pid)
        return child.pid

    async def detach(self, command: list[str], env: dict[str, str] | None = None) -> int:
        """Start a process that is nobody's child any more, in a session of its own; return its id."""
        note = self.folder / f"pid{len(self.started)}"
        words = ["sh", "-c", 'nohup setsid "$@" >/dev/null 2>&1 & echo $! >"$0"', str(note), *command]
        call(words, env)
        pid = int(note.read_text())
        self.started.append(pid)
        await until(lambda: psutil.Process(pid).cmdline() == command)
        assert os.getpid() not in {parent.pid for parent in psutil.Process(pid).parents()}
        return pid

    async def look(self, times: int = 2) -> list[wire.Signal]:
        """Look so many times, and return what is seen at last."""
        for _ in range(times):
            self.source.hurry()
            await asyncio.sleep(LOOKS)
            await self.source.sample()
        return self.source.collect(clock.monotonic())

    async def works(
        self, kind: str = wire.Kind.BACKGROUND_JOB, label: str | None = None
    ) -> list[tuple[str, str | None]]:
        """Look until work of one kind goes on, and return source and label of all of it.

        With a label look on until some has it: a shell's child is called as the shell at first.
        """
        for _ in range(20):
            found = [s for s in await self.look(1) if s.kind == kind and s.going_on_for is not None]
            if found and label in {None, *(s.label for s in found)}:
                assert all(s.strength is wire.Strength.WEAK for s in found)
                return [(signal.source, signal.label) for signal in found]
        return []

    async def rests(self, computing: Sequence[int] = ()) -> bool:
        """Look a few times, and return whether no work goes on at any of them but the first.

        The first may still meet what has just been ended, and so may all whose window reaches back beyond it.
        With ``computing`` look on until each of these processes has used so much of a processor that it would
        be work: on a busy machine that may take a while.
        """
        await self.look(1)
        await asyncio.sleep(WINDOW - LOOKS)
        unseen = set(computing)
        for _ in range(10):
            begun, before = clock.monotonic(), {pid: used(pid) for pid in unseen}
            if not await self.quiet():
                return False
            enough = 2 * COMPUTES * (clock.monotonic() - begun)
            unseen -= {pid for pid in unseen if used(pid) - before[pid] > enough}
            if not unseen:
                return True
        raise AssertionError(f"{len(unseen)} processes got no processor to compute with")

    async def quiet(self) -> bool:
        """Look three times, and return whether no work goes on at any of them."""
        found = [signal for _ in range(3) for signal in await self.look(1)]
        return [signal for signal in found if signal.going_on_for is not None] == []

    def close(self) -> None:
        """End everything that was started, and what that started."""
        for pid in self.started:
            kill_tree(pid)


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    """Watch a server without anything in the background; end what a test has started."""
    yard = Yard(tmp_path)
    yield yard
    yard.close()


async def test_a_child_that_computes_is_work_until_it_ends(yard: Yard) -> None:
    """One that waits beside it is not; the end is told, and how long it lasted."""
    waiting = yard.run(WAIT)
    assert await yard.rests()
    burning = yard.run(BURN)
    assert await yard.works() == [("server", "python")]
    assert psutil.pid_exists(waiting)
    seen = clock.monotonic()
    os.kill(burning, signal.SIGKILL)
    await until(lambda: psutil.Process(burning).status() == psutil.STATUS_ZOMBIE)
    await yard.rests()
    (ended,) = yard.source.collect(clock.monotonic())
    assert (ended.going_on_for, ended.label) == (None, "python")
    assert LOOKS < (ended.ended_ago or 0) < clock.monotonic() - seen + LOOKS
    assert (ended.lasted or 0) > LOOKS


async def test_a_job_that_falls_quiet_has_ended(yard: Yard) -> None:
    """And goes on as the same job when it soon resumes."""
    burning = yard.run(BURN)
    assert await yard.works() == [("server", "python")]
    os.kill(burning, signal.SIGSTOP)
    assert await yard.rests()
    (quiet,) = yard.source.collect(clock.monotonic())
    assert (quiet.ended_ago or 0) > LOOKS
    os.kill(burning, signal.SIGCONT)
    assert await yard.works() == [("server", "python")]
    (resumed,) = yard.source.collect(clock.monotonic())
    assert (resumed.going_on_for or 0) > 4 * LOOKS


async def test_a_detached_job_is_told_by_its_environment(yard: Yard) -> None:
    """``nohup setsid`` leaves nothing else; another server's job, and one of nobody we know, are not ours."""
    others = os.environ | MARKS | {"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/", "JUPYTERHUB_SERVER_NAME": ""}
    nobodys = {key: value for key, value in os.environ.items() if not key.startswith("JUPYTERHUB")}
    strangers = [await yard.detach(BURN, others), await yard.detach(BURN, nobodys), await yard.detach(WAIT)]
    assert await yard.rests(strangers[:2])
    await yard.detach(BURN)
    assert await yard.works() == [("detached", "python")]


async def test_a_slow_copy_is_work_without_the_use_of_a_processor(yard: Yard) -> None:
    """Bytes count, too; a listed program counts by neither."""
    copying = yard.run([PYTHON, str(PROGRAMS / "slow_copy.py"), str(yard.folder / "copy")])
    assert await yard.works() == [("server", "python")]
    begun, before = clock.monotonic(), used(copying)
    await asyncio.sleep(LOOKS)
    assert used(copying) - before < COMPUTES * (clock.monotonic() - begun)


async def test_a_listed_program_is_no_work_however_much_it_computes(yard: Yard) -> None:
    """A monitor may be busy all day; the same program under another name is not known."""
    listed, other = yard.folder / "watch", yard.folder / "crunch"
    for copy in (listed, other):
        shutil.copy("/usr/bin/yes", copy)
    busy = yard.run(["sh", "-c", f"exec {listed} >/dev/null"])
    assert await yard.rests([busy])
    yard.run(["sh", "-c", f"exec {other} >/dev/null"])
    assert await yard.works() == [("server", "program")]


async def test_a_script_of_short_steps_is_work_by_its_dead_children(yard: Yard) -> None:
    """None of its steps lives long enough to be met twice."""
    yard.run(["bash", "-c", "while :; do expr 1 + 1 >/dev/null; done"])
    assert ("server", "bash") in await yard.works()


async def test_what_a_child_had_used_is_not_taken_for_its_parents(yard: Yard) -> None:
    """When a long job ends, whoever waited for it is credited with all of it at once."""
    parent = yard.run([PYTHON, "-c", f"import subprocess, time; subprocess.run({BURN}); time.sleep(600)"])
    assert await yard.works() == [("server", "python")]
    (child,) = psutil.Process(parent).children()
    much = 4 * COMPUTES * WINDOW
    await until(lambda: child.cpu_times().user > much)
    child.suspend()  # what it uses from here to its death would be its parent's, and rightly
    assert await yard.rests()
    child.kill()
    await until(lambda: psutil.Process(parent).cpu_times().children_user > much)
    assert await yard.quiet()


async def test_a_kernels_cell_is_the_cells_and_what_stays_behind_is_not(yard: Yard) -> None:
    """The kernel's own use counts while nothing is in flight; a child's once it outlives the cell."""
    kernel = yard.run([PYTHON, str(PROGRAMS / "burn.py"), "thread"])
    yard.kernels = [KernelProcess(kernel, "kernel:12345678", None)]
    assert await yard.rests([kernel])
    yard.kernels = [KernelProcess(kernel, "kernel:12345678", clock.monotonic())]
    assert await yard.works() == [("kernel:12345678", "python")]
    yard.kernels = [KernelProcess(kernel, "kernel:12345678", None)]
    assert await yard.rests([kernel])


async def test_looks_are_rare_at_rest_and_frequent_while_something_happens(yard: Yard) -> None:
    """Six intervals at rest; each interval while a job goes on; at once before a report."""
    yard.interval = 1.0
    yard.__post_init__()

    async def looks_within(seconds: float) -> int:
        found = set()
        end = clock.monotonic() + seconds
        while clock.monotonic() < end:
            await yard.source.sample()
            found.add(yard.source._meter.looked_at)
            await asyncio.sleep(0.1)
        return len(found) - 1

    await yard.look(2)
    assert await looks_within(2.5) == 0
    yard.run(BURN)
    assert await yard.works() == [("server", "python")]
    assert await looks_within(3.5) >= 2


async def screenful(yard: Yard, type_line: Callable[[str], object]) -> None:
    """Try a window that somebody opened in tmux or screen: idle, with a pager, with a quiet job."""
    job = wire.Kind.TERMINAL_JOB
    assert await yard.rests()
    type_line("less /etc/passwd")
    assert await yard.rests()
    type_line("q")
    type_line(f"{PYTHON} -c 'import time; time.sleep(600)'")
    ((source, label),) = await yard.works(job, "python")
    assert (source[:4], label) == ("pts:", "python")
    found = await yard.look(1)
    assert [s.clock for s in found if s.kind == wire.Kind.TERMINAL_OUTPUT] in ([], [wire.Clock.NONE])


@pytest.mark.timeout(90)
async def test_a_window_of_tmux_is_a_terminal_like_any_other(yard: Yard) -> None:
    """Its server and an idle prompt are no work; a quiet script in it is, also while nobody is attached."""
    if shutil.which("tmux") is None:
        pytest.skip("this machine has no tmux")
    tmux = ["tmux", "-S", str(yard.folder / "socket"), "-f", "/dev/null"]
    call([*tmux, "new-session", "-d", "bash --norc"])
    server = int(call([*tmux, "display", "-p", "#{pid}"]))
    yard.started.append(server)
    assert os.getpid() not in {parent.pid for parent in psutil.Process(server).parents()}
    await screenful(yard, lambda line: call([*tmux, "send-keys", line, "Enter"]))


@pytest.mark.timeout(90)
async def test_a_window_of_screen_is_a_terminal_like_any_other(yard: Yard) -> None:
    """The same for the older program."""
    if shutil.which("screen") is None:
        pytest.skip("this machine has no screen")
    folder = yard.folder / "screens"
    folder.mkdir(mode=0o700)
    env = os.environ | MARKS | {"SCREENDIR": str(folder)}
    call(["screen", "-dmS", "hers", "bash", "--norc"], env)

    def server() -> int | None:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.name() == "screen" and process.environ().get("SCREENDIR") == str(folder):
                    return process.pid if process.children() else None
        return None

    yard.started.append(int(await until(server)))
    await screenful(yard, lambda line: call(["screen", "-S", "hers", "-X", "stuff", f"{line}\n"], env))


async def test_keystrokes_in_a_terminal_that_another_program_opened(yard: Yard) -> None:
    """As in code-server's; that it was opened is nobody's keystroke, and its output is not either."""
    code = (
        "import os, pty, sys, time\n"
        "pid, fd = pty.fork()\n"
        "if not pid: os.execlp('bash', 'bash', '--norc')\n"
        "time.sleep(12)\n"
        "os.write(fd, b'echo\\n')\n"
        "time.sleep(600)\n"
    )
    yard.run([PYTHON, "-c", code])
    seen = await yard.look(2)
    assert [s.kind for s in seen if s.clock is not wire.Clock.NONE] == []
    typed: list[wire.Signal] = []
    for _ in range(15):
        typed = [s for s in await yard.look(1) if s.kind == wire.Kind.TERMINAL_INPUT]
        if typed:
            break
    (stroke,) = typed
    assert (stroke.source[:4], stroke.clock) == ("pts:", wire.Clock.PRESENCE)
    assert (stroke.age or 0) < 8.0


async def test_a_system_without_times_of_terminals_is_told(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No keystroke is made up of times that never move, and the report says why there is none."""
    monkeypatch.setattr("hubcull_server_ext.signals.background.times_move", lambda: False)
    yard.run([PYTHON, "-c", "import pty; pty.spawn(['bash', '--norc'])"])
    seen = await yard.look(2)
    assert [s.kind for s in seen] == []
    assert yard.source._ttys
    assert "times of terminals" in (yard.source.remark or "")
