"""Laws of terminals, with real ones: what waits for its keyboard is idle, all else is work."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_server.serverapp import ServerApp

from harness.processes import terminal
from hubcull_server_ext import clock, wire
from hubcull_server_ext.signals.jobs import Judge
from hubcull_server_ext.signals.processes import ProcessTable
from hubcull_server_ext.signals.terminals import UNTIMED, TerminalsSource
from hubcull_server_ext.signals.ttys import Clocks, Sighting, look
from hubcull_server_ext.snapshot import UnavailableError
from tests.component.ext.waiting import until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="terminals are watched on Linux")
PYTHON = sys.executable
PROGRAMS = Path(__file__).parent / "programs"
GRAIN = 0.02
"""Seconds by which a process may seem older than it is: Linux tells its start in steps of 10 ms."""
PROMPT = (
    "import asyncio,sys; l=asyncio.new_event_loop(); l.add_reader(0, sys.stdin.readline); l.run_forever()"
)
"""An event loop's prompt: it awaits the terminal and a pair of sockets of its own."""


class Desk:
    """A terminal in a real server, and the source that watches it."""

    def __init__(self, app: ServerApp) -> None:
        self.manager: Any = app.web_app.settings["terminal_manager"]
        clocks = Clocks(clock.monotonic, clock.wall, clock.boottime)
        self.source = TerminalsSource(app.web_app.settings, clocks)
        self.name = str(self.manager.create(shell_command=["bash", "--norc", "--noprofile", "-i"])["name"])
        self.pty: Any = self.manager.terminals[self.name].ptyproc

    def type(self, text: str) -> None:
        """Type a line into the terminal."""
        self.pty.write(text + "\n")

    async def foreground(self, name: str, settle: float = 0.3) -> None:
        """Wait until a program of that name is in the terminal's foreground, and ``settle`` seconds more."""

        def settled() -> bool:
            try:
                group = os.tcgetpgrp(self.pty.fd)
                return Path(f"/proc/{group}/comm").read_text().strip() == name
            except OSError:
                return False

        await until(settled)
        await asyncio.sleep(settle)

    async def signals(self, kind: str) -> list[wire.Signal]:
        """Look, and return what is seen of one kind."""
        await self.source.sample()
        return [s for s in self.source.collect(clock.monotonic()) if s.kind == kind]

    async def job(self) -> wire.Signal | None:
        """Return the work that goes on, or None."""
        found = await self.signals(wire.Kind.TERMINAL_JOB)
        return next((s for s in found if s.going_on_for is not None), None)

    async def works(self, label: str | None = None, every: float = 0.1) -> wire.Signal:
        """Look until work goes on, of one label if one is named.

        Programs take time to start, and a child of the shell is called as the shell until it is its program.
        """
        end = clock.monotonic() + 20.0
        while clock.monotonic() < end:
            job = await self.job()
            if job is not None and label in {None, job.label}:
                return job
            await asyncio.sleep(every)
        raise AssertionError(f"no work, or none of {label}, within 20 s")

    def children(self) -> list[str]:
        """Return the names of the programs that the terminal's shell has started and that run."""
        return [child.name() for child in psutil.Process(self.pty.pid).children()]

    async def close(self) -> None:
        """Close the terminal as a person does, and wait until the server has.

        jupyter_server_terminals' ``terminate_all`` returns when the shell is dead. The terminal goes later,
        when terminado has read the end of its output (``NamedTermManager.on_eof``).
        """
        await self.manager.terminate_all()
        await until(lambda: self.name not in self.manager.terminals)

    async def rests(self, within: float = 10.0) -> bool:
        """Return whether no work goes on any more, within so many seconds: programs take time to start."""
        for _ in range(int(within / 0.1)):
            if await self.job() is None:
                return True
            await asyncio.sleep(0.1)
        return False


@pytest.fixture
def desk(jp_serverapp: ServerApp, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[Desk]:
    """Open a terminal with an idle prompt; close it after the test."""

    async def opened() -> Desk:
        desk = Desk(jp_serverapp)
        await desk.foreground("bash")
        return desk

    desk = jp_asyncio_loop.run_until_complete(opened())
    yield desk
    jp_asyncio_loop.run_until_complete(desk.manager.terminate_all())


async def test_silent_script_in_the_foreground_is_work_until_it_ends(desk: Desk, tmp_path: Path) -> None:
    """A program that neither prints nor computes is work; its script's name stays its owner's."""
    script = tmp_path / "secret_project.py"
    script.write_text("import time\ntime.sleep(60)\n")
    assert await desk.job() is None
    typed = clock.monotonic()
    desk.type(f"{PYTHON} {script}")
    await desk.foreground(Path(PYTHON).name[:15])
    job = await desk.job()
    assert job is not None
    assert (job.source, job.label) == (f"terminal:{desk.name}", "python")
    assert 0.3 < (job.going_on_for or 0) <= clock.monotonic() - typed + GRAIN
    os.killpg(os.tcgetpgrp(desk.pty.fd), signal.SIGKILL)
    await desk.foreground("bash")
    (ended,) = await desk.signals(wire.Kind.TERMINAL_JOB)
    assert (ended.going_on_for, ended.label) == (None, "python")
    assert (ended.lasted or 0) > 0.3


@pytest.mark.skipif(ProcessTable().runs(os.getpid()) is None, reason="this system counts no runs")
async def test_a_prompt_at_rest_is_left_alone_until_something_runs(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read of it but when somebody typed last; what begins in it is seen at the next look."""
    judged: list[int] = []

    def noted(judge: Judge, pid: int, wraps: bool | None, boottime: float) -> Sighting:
        judged.append(pid)
        return look(judge, pid, wraps, boottime)

    monkeypatch.setattr("hubcull_server_ext.signals.terminals.look", noted)

    async def is_left_alone() -> bool:
        judged.clear()
        assert await desk.job() is None
        return not judged

    for _ in range(10):  # a prompt that has just been drawn may yet run
        if await is_left_alone():
            break
    assert await is_left_alone()
    os.utime(str(terminal(desk.pty.pid)), (clock.wall() - 1000,) * 2)
    assert await is_left_alone()
    (typed,) = await desk.signals(wire.Kind.TERMINAL_INPUT)
    assert (typed.age or 0) > 900
    desk.type(f"{PYTHON} -c 'import time; time.sleep(60)'")
    await desk.foreground(Path(PYTHON).name[:15], settle=0)
    job = await desk.job()
    assert judged
    assert job is not None


async def test_script_started_by_its_own_name_is_called_a_program(desk: Desk, tmp_path: Path) -> None:
    """A name that is not publicly known is never told."""
    shutil.copy("/usr/bin/sleep", tmp_path / "secret_copy")
    desk.type(f"{tmp_path / 'secret_copy'} 60")
    await desk.foreground("secret_copy")
    job = await desk.job()
    assert job is not None
    assert job.label == "program"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("sleep 60", "sleep"),
        ("top", "top"),
        ("vi", "vi"),
        ("less /etc/passwd", "less"),
        ("tail -f /etc/passwd", "tail"),
        (f"{PYTHON} -q", Path(PYTHON).name),
        (f"{PYTHON} -c 'input()'", Path(PYTHON).name),
        ("cat", "cat"),
        ("node", "node"),
        ("bash --norc", "bash"),
        (f"{PYTHON} {PROGRAMS / 'threads.py'} idle", Path(PYTHON).name),
        (f'{PYTHON} -c "{PROMPT}"', Path(PYTHON).name),
    ],
)
async def test_what_waits_shows_or_edits_is_no_work(desk: Desk, command: str, name: str) -> None:
    """Programs on the list, prompts and anything that reads its terminal may stay open for days."""
    if shutil.which(command.split(maxsplit=1)[0]) is None:
        pytest.skip(f"this machine has no {name}")
    desk.type(command)
    await desk.foreground(name[:15], settle=0.1)
    if name == "bash":
        await until(lambda: os.tcgetpgrp(desk.pty.fd) != desk.pty.pid)
    assert os.tcgetpgrp(desk.pty.fd) != desk.pty.pid
    assert await desk.rests()


@pytest.mark.parametrize(
    ("command", "last"),
    [
        ("seq 9000000 | cat | less", "less"),
        ("seq 9000000 | more", "more"),
        ("sh -c 'less /etc/passwd; true'", "less"),
        (f"{PYTHON} -c 'import os; os.system(\"less /etc/passwd\")'", "less"),
        ("sh -c 'head -n 1; true'", "head"),
    ],
)
async def test_who_only_waits_for_a_pager_or_an_answer_is_no_work(
    desk: Desk, command: str, last: str
) -> None:
    """A script, a program that shows by a pager, and what has filled a pager's pipe."""
    desk.type(command)
    shell = psutil.Process(desk.pty.pid)
    await until(lambda: last in [child.name() for child in shell.children(recursive=True)])
    assert await desk.rests()
    for _ in range(3):
        assert await desk.job() is None
        await asyncio.sleep(0.1)
    assert last in [child.name() for child in shell.children(recursive=True)]


async def test_what_has_not_yet_filled_a_pager_is_work(desk: Desk) -> None:
    """It is still at it, silent or not."""
    desk.type(f"{PYTHON} -c 'import time; time.sleep(60)' | less")
    await until(lambda: "less" in desk.children())
    await desk.works("python")
    await asyncio.sleep(0.5)
    assert await desk.job() is not None


@pytest.mark.parametrize(
    ("command", "last"),
    [
        ("tail -f LOG | grep --color=auto line", "grep"),
        ("tail -n 100 -F LOG | sed -u s/line/word/ | cut -c1-80 | tr a b | uniq | nl | cat", "cat"),
        ("tail -f LOG | awk '{print $1}'", "awk"),
        ("tail -f LOG | grep line | less", "less"),
        ("tail -f LOG | jq -R .", "jq"),
        ("journalctl -f", "journalctl"),
        ("journalctl -f | grep line", "grep"),
        ("top -b -d 1 | grep python", "grep"),
    ],
)
async def test_who_only_watches_by_a_filter_is_no_work(
    desk: Desk, tmp_path: Path, command: str, last: str
) -> None:
    """It ends with the watcher alone, which stays open for days, whether its log grows or not."""
    programs = [part.split()[0] for part in command.split("|")]
    if lacking := [name for name in programs if shutil.which(name) is None]:
        pytest.skip(f"this machine has no {', '.join(lacking)}")
    log = tmp_path / "log"
    log.write_text("a line\n")
    desk.type(command.replace("LOG", str(log)))
    await until(lambda: last in desk.children())
    assert await desk.rests()
    for _ in range(10):
        with log.open("a") as file:
            file.write("a line\n" * 100)
        await asyncio.sleep(0.1)
        assert await desk.job() is None
    assert last in desk.children()
    assert len(desk.children()) == len(programs)


@pytest.mark.parametrize(
    "command",
    [
        f"tail -f LOG | {PYTHON} -c 'import sys; sys.stdin.read()'",
        f"{PYTHON} -c 'import time; time.sleep(60)' | grep line",
        "tail -f LOG | grep line > FOLDER/copy",
        "tail -f LOG | tee FOLDER/copy",
        "tail -f LOG | awk '{print > \"FOLDER/copy\"}'",
        "tail -f LOG | sed -u 'w FOLDER/copy'",
        "tail -f LOG | grep -m 1 DONE; true",
        "tail -f LOG | while read line; do true; done",
        "top -b -n 600 -d 60 | awk '/py/{s+=$9} END {print s/600}'; true",
        "top -b -n 600 -d 60 | grep python",
        "tail --pid=$$ -f LOG | awk '{n++} END {print n}'",
        "tail --pid=$$ -f LOG | grep line",
        "tail -f LOG | sed -n '$='",
        "mkfifo FOLDER/pipe; tail -n +1 FOLDER/pipe 3<>FOLDER/pipe | grep line",
    ],
)
async def test_a_watcher_whose_lines_somebody_uses_is_work(desk: Desk, tmp_path: Path, command: str) -> None:
    """They go to a program that we do not know, or to a file, or are waited for, or have an end."""
    log = tmp_path / "log"
    log.write_text("a line\n")
    desk.type(command.replace("LOG", str(log)).replace("FOLDER", str(tmp_path)))
    await until(lambda: len(desk.children()) == 2)
    await asyncio.sleep(0.5)
    for _ in range(5):
        assert await desk.job() is not None
        await asyncio.sleep(0.1)
    assert len(desk.children()) == 2


@pytest.mark.parametrize(
    ("less", "is_work"),
    [("less -o FOLDER/copy", True), ("LESS=-oFOLDER/copy less", True), ("less -S", False)],
)
async def test_a_pager_that_keeps_a_copy_collects(
    desk: Desk, tmp_path: Path, less: str, is_work: bool
) -> None:
    """However it was told to, what goes into the file is what somebody is after."""
    log = tmp_path / "log"
    log.write_text("a line\n")
    command = f"tail -f LOG | grep --line-buffered line | {less}"
    desk.type(command.replace("LOG", str(log)).replace("FOLDER", str(tmp_path)))
    await until(lambda: "less" in desk.children())
    copied = tmp_path / "copy"
    await until(lambda: not is_work or (copied.exists() and copied.read_text() == "a line\n"))
    await asyncio.sleep(0.5)
    for _ in range(5):
        assert (await desk.job() is not None) == is_work
        await asyncio.sleep(0.1)
    assert len(desk.children()) == 3


async def test_a_prompt_that_starts_to_compute_is_work_from_then_on(desk: Desk) -> None:
    """A REPL open for long does not make its new computation look as old as itself."""
    desk.type(f"{PYTHON} -q")
    await desk.foreground(Path(PYTHON).name[:15])
    assert await desk.rests()
    await asyncio.sleep(0.5)
    typed = clock.monotonic()
    desk.type("import time; time.sleep(60)")
    job = await desk.works()
    assert (job.going_on_for or 0) <= clock.monotonic() - typed


async def test_job_in_the_background_is_work_behind_an_idle_prompt(desk: Desk) -> None:
    """What runs after ``&`` counts although the foreground is the shell's."""
    desk.type(f"{PYTHON} -c 'import time; time.sleep(60)' &")
    await until(lambda: Path(PYTHON).name[:15] in desk.children())
    await desk.foreground("bash")
    assert os.tcgetpgrp(desk.pty.fd) == desk.pty.pid
    job = await desk.job()
    assert job is not None
    assert job.label == "python"


async def test_script_that_sleeps_between_its_steps_is_work(desk: Desk) -> None:
    """A shell that runs a script is not a prompt, although all it waits for is a sleep."""
    desk.type("bash -c 'while true; do sleep 30; done'")
    await until(lambda: "bash" in desk.children())
    await desk.foreground("bash")
    await desk.works("bash")
    await asyncio.sleep(0.3)
    assert await desk.job() is not None


@pytest.mark.skipif(shutil.which("make") is None, reason="this machine has no make")
async def test_make_is_work_whatever_its_recipe_waits_for(desk: Desk, tmp_path: Path) -> None:
    """It is no prompt, and what comes after a sleep is not known."""
    (tmp_path / "Makefile").write_text("all:\n\t@sleep 60\n")
    desk.type(f"make -C {tmp_path}")
    await until(lambda: "make" in desk.children())
    await until(
        lambda: "sleep" in [child.name() for child in psutil.Process(desk.pty.pid).children(recursive=True)]
    )
    await desk.works("make")
    await asyncio.sleep(0.3)
    assert await desk.job() is not None


async def test_nested_prompt_that_waits_for_a_sleep_is_no_work(desk: Desk) -> None:
    """A prompt within a prompt is as idle as what it waits for."""
    desk.type("bash --norc")
    await until(lambda: "bash" in desk.children())
    desk.type("sleep 60")
    await desk.foreground("sleep")
    assert await desk.rests()


async def test_stopped_job_is_no_work(desk: Desk) -> None:
    """What its user stopped with Ctrl-Z can not go on by itself."""
    desk.type(f"{PYTHON} -c 'import time; time.sleep(60)'")
    await desk.foreground(Path(PYTHON).name[:15])
    assert await desk.job() is not None
    desk.pty.write("\x1a")
    await desk.foreground("bash")
    assert await desk.job() is None
    typed = clock.monotonic()
    desk.type("bg")
    job = await desk.works()
    assert (job.going_on_for or 0) <= clock.monotonic() - typed  # from now on, not since it was started


async def test_input_and_output_are_told_apart(desk: Desk) -> None:
    """A keystroke is presence, exact where it came by us; output is only shown."""
    before = clock.monotonic()
    desk.source.keystroke(desk.name)
    (typed,) = await desk.signals(wire.Kind.TERMINAL_INPUT)
    (shown,) = await desk.signals(wire.Kind.TERMINAL_OUTPUT)
    assert (typed.clock, shown.clock) == (wire.Clock.PRESENCE, wire.Clock.NONE)
    assert (typed.age or 0) <= clock.monotonic() - before


@pytest.mark.timeout(60)
async def test_a_key_that_came_by_no_page_is_known_by_its_terminal(desk: Desk) -> None:
    """By the terminal's own time, which Linux moves in steps of 8 s; the source itself was told of no key."""
    await desk.foreground("bash")

    async def age() -> float:
        (typed,) = await desk.signals(wire.Kind.TERMINAL_INPUT)
        assert typed.age is not None
        return typed.age

    opened = clock.monotonic()  # which is an act, too
    while await age() < 3:
        assert clock.monotonic() < opened + 30
        await asyncio.sleep(0.5)
    typed = clock.monotonic()
    desk.type("")
    while (found := await age()) >= 3:
        assert clock.monotonic() < typed + 10
        await asyncio.sleep(0.2)
    assert found <= clock.monotonic() - typed
    assert desk.source.remark is None


async def test_where_terminals_have_no_times_only_the_servers_own_keys_are_known(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is made up of times that never move; jobs are seen all the same; the report says what is not."""
    monkeypatch.setattr("hubcull_server_ext.signals.terminals.times_move", lambda: False)
    await desk.foreground("bash")
    desk.type("")
    assert await desk.signals(wire.Kind.TERMINAL_INPUT) == []
    assert desk.source.remark == UNTIMED
    desk.source.keystroke(desk.name)
    (typed,) = await desk.signals(wire.Kind.TERMINAL_INPUT)
    assert (typed.age or 0) < 5.0
    desk.type(f"{PYTHON} -c 'import time; time.sleep(60)'")
    await desk.works("python")


async def test_closed_terminal_leaves_its_newest_keystroke_and_job(desk: Desk) -> None:
    """Closing a terminal takes back neither the presence nor the work that was in it."""
    desk.source.keystroke(desk.name)
    desk.type(f"{PYTHON} -c 'import time; time.sleep(60)'")
    await desk.foreground(Path(PYTHON).name[:15])
    assert await desk.job() is not None
    await desk.close()
    (typed,) = await desk.signals(wire.Kind.TERMINAL_INPUT)
    (ended,) = await desk.signals(wire.Kind.TERMINAL_JOB)
    assert (typed.source, ended.source) == ("terminal:closed", "terminal:closed")
    assert ended.ended_ago is not None


async def test_server_without_terminals_is_a_known_case(jp_serverapp: ServerApp) -> None:
    """No terminals is unavailable, not failed."""
    del jp_serverapp
    source = TerminalsSource(
        {"terminals_available": False}, Clocks(clock.monotonic, clock.wall, clock.boottime)
    )
    await source.sample()
    with pytest.raises(UnavailableError):
        source.collect(0.0)


async def test_a_shell_that_ended_does_not_hide_its_job(desk: Desk) -> None:
    """The terminal lives on while its job holds it; the job's end is an end in the report."""
    desk.type(f"{PYTHON} -c 'import time; time.sleep(60)' & exit")
    await until(lambda: Path(f"/proc/{desk.pty.pid}/stat").read_text().split()[2] == "Z")
    assert desk.name in desk.manager.terminals
    job = await desk.works("python")
    assert job.source == f"terminal:{desk.name}"
    (pid,) = {pid for (pid, _), since in desk.source._terminals[desk.name].seen.items() if since is not None}
    killed = clock.monotonic()
    os.kill(pid, signal.SIGKILL)
    assert await desk.rests()
    (ended,) = await desk.signals(wire.Kind.TERMINAL_JOB)
    assert ended.ended_ago is not None
    assert ended.ended_ago <= clock.monotonic() - killed


async def test_a_program_that_takes_the_shells_place_is_work(desk: Desk) -> None:
    """``exec`` keeps the process and changes what it is."""
    await asyncio.sleep(0.5)
    assert await desk.job() is None
    typed = clock.monotonic()
    desk.type(f"exec {PYTHON} -c 'import time; time.sleep(60)'")
    await desk.foreground(Path(PYTHON).name[:15])
    job = await desk.job()
    assert job is not None
    assert job.label == "python"
    assert (job.going_on_for or 0) <= clock.monotonic() - typed  # not since the terminal was opened


async def test_a_script_that_takes_the_shells_place_is_work(desk: Desk) -> None:
    """It was a prompt once; what it waits for does not matter."""
    assert await desk.job() is None
    desk.type("exec bash -c 'while true; do sleep 30; done'")
    await desk.works("bash")
    await until(lambda: desk.children() == ["sleep"])
    assert await desk.job() is not None


async def test_a_prompt_that_computes_is_work(desk: Desk) -> None:
    """A loop typed at the prompt runs in the shell itself; one look may meet one that draws itself."""
    shell = psutil.Process(desk.pty.pid)
    used = shell.cpu_times().user
    desk.type("while :; do ((i++)); done")
    await until(lambda: shell.cpu_times().user - used > 0.1)
    assert await desk.job() is None
    job = await desk.job()
    assert job is not None
    assert job.label == "bash"
    desk.pty.write("\x03")
    assert await desk.rests()


async def test_a_prompt_that_waits_for_listed_programs_is_no_work(desk: Desk) -> None:
    """The shell itself adds nothing to what it waits for."""
    desk.type("while :; do sleep 30; done")
    await desk.foreground("sleep")
    assert await desk.job() is None
    assert await desk.job() is None


@pytest.mark.parametrize("program", ["remote.py", "threads.py"])
async def test_what_waits_for_more_than_its_terminal_is_work(desk: Desk, program: str) -> None:
    """A connection may bring another machine's result; threads may compute behind a question."""
    desk.type(f"{PYTHON} {PROGRAMS / program}")
    await desk.foreground(Path(PYTHON).name[:15], settle=1.5)
    await desk.job()
    await asyncio.sleep(1.5)  # what computes is told by its use of a processor between two looks
    await desk.works("python", every=1.5)
