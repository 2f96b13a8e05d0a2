"""Laws of a terminal's processes: what can not be read, or is not known, is work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hubcull_server_ext.signals.jobs import NOT_WORK, Judge
from hubcull_server_ext.signals.process import Process
from hubcull_server_ext.signals.processes import ProcessTable


def process(pid: int, name: str, parent: int = 1, state: str = "S", threads: int = 1) -> Process:
    """Return a process of the session 10."""
    return Process(pid, name, state, parent, pid, 10, 34816, threads, 500)


@dataclass
class Facts:
    """What /proc would say of one process."""

    exe: str | None
    waits_terminal: bool = False
    waits_child: bool = False
    interactive: bool = False
    told: bool = True
    computes: bool = False
    readers: tuple[int, ...] = ()


class FakeTable(ProcessTable):
    """A process table that answers what it is told."""

    def __init__(self, facts: dict[int, Facts], processes: Iterable[Process] = ()) -> None:
        super().__init__(machine="x86_64")
        self._facts = facts
        self._all = {item.pid: item for item in processes}
        for item in self._all.values():
            self._children.setdefault(item.parent, []).append(item)

    def executable(self, process: Process) -> str | None:
        return self._facts[process.pid].exe

    def waits_for_terminal(self, process: Process) -> bool:
        return self._facts[process.pid].waits_terminal

    def waits_for_child(self, process: Process) -> bool:
        return self._facts[process.pid].waits_child

    def readers(self, process: Process) -> list[Process]:
        return [self._all[pid] for pid in self._facts[process.pid].readers]

    def interactive(self, process: Process) -> bool:
        return self._facts[process.pid].interactive

    def wait_is_told(self, process: Process) -> bool:
        return self._facts[process.pid].told

    def computes(self, process: Process) -> bool:
        return self._facts[process.pid].computes


def judge(facts: dict[int, Facts], *processes: Process) -> Judge:
    """Return a judge of these processes."""
    return Judge(FakeTable(facts, processes), frozenset(NOT_WORK))


@pytest.mark.parametrize(
    ("name", "exe", "work"),
    [
        ("sleep", "sleep", False),
        ("sleep", "busybox", False),
        ("vi", "vim.basic", False),
        ("top", None, False),
        ("wget", "busybox", True),
        ("python3", "python3.11", True),
        ("watch", "python3.11", True),  # a script that calls itself so
        ("top", "bash", True),
        ("unknown", None, True),
    ],
)
def test_list_of_programs_that_are_no_work(name: str, exe: str | None, work: bool) -> None:
    """A program on the list is no work; a script that borrows its name is."""
    one = process(20, name)
    assert judge({20: Facts(exe)}, one).is_work(one) is work


def test_what_waits_for_its_terminal_is_no_work() -> None:
    """A prompt is idle however it is called."""
    one = process(20, "repl")
    assert not judge({20: Facts("repl", waits_terminal=True)}, one).is_work(one)


def test_nested_prompt_is_as_idle_as_its_children() -> None:
    """Prompt, prompt, sleep: nothing works; one worker among the children is enough."""
    outer, inner, sleep = process(20, "bash"), process(21, "zsh", 20), process(22, "sleep", 21)
    facts = {
        20: Facts("bash", waits_child=True, interactive=True),
        21: Facts("zsh", waits_child=True, interactive=True),
        22: Facts("sleep"),
    }
    assert not judge(facts, outer, inner, sleep).is_work(outer)
    worker = process(23, "train", 21)
    facts[23] = Facts("train")
    assert judge(facts, outer, inner, sleep, worker).is_work(outer)


def test_script_is_work_whatever_it_waits_for() -> None:
    """A shell that reads no terminal runs somebody's steps."""
    script, sleep = process(20, "bash"), process(22, "sleep", 20)
    facts = {20: Facts("bash", waits_child=True), 22: Facts("sleep")}
    assert judge(facts, script, sleep).is_work(script)


def test_open_pager_does_not_make_its_parent_work() -> None:
    """``git log`` left open is a pager."""
    git, less = process(20, "git"), process(21, "less", 20)
    facts = {20: Facts("git", waits_child=True), 21: Facts("less")}
    assert not judge(facts, git, less).is_work(git)


def test_who_waits_for_a_pager_by_others_is_no_work() -> None:
    """A database's client, the shell that it runs its pager by, and what fills the pipe of another pager."""
    psql, shell, pager = process(20, "psql"), process(21, "sh", 20), process(22, "less", 21)
    first, second = process(30, "cat"), process(31, "grep")
    facts = {
        20: Facts("psql", waits_child=True),
        21: Facts("dash", waits_child=True),
        22: Facts("less", waits_terminal=True),
        30: Facts("cat", readers=(31,)),
        31: Facts("grep", readers=(21, 22)),
    }
    all_of_them = psql, shell, pager, first, second
    assert not any(judge(facts, *all_of_them).is_work(one) for one in all_of_them)
    facts[22] = Facts("less")  # it reads on
    assert [one.name for one in all_of_them if judge(facts, *all_of_them).is_work(one)] == [
        *("psql", "sh", "cat", "grep")
    ]


def test_who_waits_for_more_than_a_person_is_work() -> None:
    """Another child that computes, a thread of its own, or two that wait for each other."""
    parent, prompt, other = process(20, "python3"), process(21, "vi", 20), process(22, "train", 20)
    facts = {
        20: Facts("python3", waits_child=True),
        21: Facts("busybox", waits_terminal=True),
        22: Facts("train"),
    }
    assert not judge(facts, parent, prompt).is_work(parent)
    assert judge(facts, parent, prompt, other).is_work(parent)
    threaded = process(20, "python3", threads=4)
    facts[20] = Facts("python3", waits_child=True, computes=True)
    assert judge(facts, threaded, prompt).is_work(threaded)
    ring = {30: Facts("a", readers=(31,)), 31: Facts("b", readers=(30,))}
    assert judge(ring, one := process(30, "a"), process(31, "b")).is_work(one)


@pytest.mark.parametrize(
    ("exe", "label"),
    [("python3.11", "python"), ("g++-12", "g++"), ("my_secret", "program"), (None, "program"), ("R", "R")],
)
def test_only_public_names_are_told(exe: str | None, label: str) -> None:
    """The name of somebody's own program is theirs."""
    one = process(20, "x")
    assert judge({20: Facts(exe)}, one).label(one) == label


def test_rest_is_stopped_or_wholly_dead() -> None:
    """A dead first thread with others alive still works."""
    assert process(1, "x", state="T").at_rest
    assert process(1, "x", state="Z").at_rest
    assert not process(1, "x", state="Z", threads=4).at_rest
    assert not process(1, "x", state="D").at_rest


def write_process(
    root: Path, pid: int, name: str, parent: int, session: int, syscall: str | None = None
) -> None:
    """Write a process's files as Linux would."""
    folder = root / str(pid)
    folder.mkdir()
    stat = f"{pid} ({name}) S {parent} {pid} {session} 34816 {pid} 0 0 0 0 0 0 0 0 0 20 0 1 0 500 0 0\n"
    (folder / "stat").write_text(stat)
    if syscall is not None:
        (folder / "syscall").write_text(syscall)


def test_computing_is_told_by_the_time_since_an_earlier_look(tmp_path: Path) -> None:
    """More than a twentieth of a processor; a process that is new, or two looks at once, tell nothing."""
    write_process(tmp_path, 10, "x", 1, 10)
    table = ProcessTable(tmp_path)
    stat = tmp_path / "10" / "stat"
    found = []
    for now, used in ((0.0, 100), (5.0, 120), (10.0, 160), (10.1, 164), (15.0, 164)):
        fields = stat.read_text().split()
        fields[13] = str(used)
        stat.write_text(" ".join(fields))
        table.refresh(now)
        one = table.get(10)
        assert one is not None
        found.append(table.computes(one))
    assert found == [False, False, True, True, False]


def test_members_are_the_session_and_all_descendants(tmp_path: Path) -> None:
    """What ``sudo`` runs in a session of its own still belongs to the terminal; so does the shell itself."""
    write_process(tmp_path, 10, "bash", 1, 10)
    write_process(tmp_path, 11, "job (odd) name", 1, 10)  # orphaned, yet of the session
    write_process(tmp_path, 12, "sudo", 10, 10)
    write_process(tmp_path, 13, "make", 12, 13)  # in a session of its own
    write_process(tmp_path, 14, "stranger", 1, 14)
    table = ProcessTable(tmp_path)
    table.refresh()
    assert {p.pid: p.name for p in table.of_terminal(10)} == {
        10: "bash",
        11: "job (odd) name",
        12: "sudo",
        13: "make",
    }


@pytest.mark.parametrize(
    "syscall", [None, "running\n", "-1 0x7f 0x7f\n", "0 0x3 0x0 0x0\n", "junk", "7 0x1 0x1 0x0\n"]
)
def test_unreadable_wait_is_not_known_to_wait(tmp_path: Path, syscall: str | None) -> None:
    """What /proc does not say, or does not say clearly, protects."""
    write_process(tmp_path, 10, "x", 1, 10, syscall)
    table = ProcessTable(tmp_path, machine="x86_64")
    table.refresh()
    one = table.get(10)
    assert one is not None
    assert not table.waits_for_terminal(one)
    assert not table.waits_for_child(one)


def test_unknown_machine_knows_no_wait(tmp_path: Path) -> None:
    """On a processor whose numbers we do not know nothing is taken for waiting."""
    write_process(tmp_path, 10, "x", 1, 10, "61 0x0 0x0\n")
    table = ProcessTable(tmp_path, machine="riscv64")
    table.refresh()
    one = table.get(10)
    assert one is not None
    assert not table.waits_for_child(one)


def test_threads_that_compute_are_work_beside_one_that_waits_for_the_terminal() -> None:
    """A main thread that waits for Enter does not hide the others; one thread alone waits."""
    one = process(20, "python3", threads=4)
    facts = {20: Facts("python3", waits_terminal=True, computes=True)}
    assert judge(facts, one).is_work(one)
    alone = process(20, "python3")
    assert not judge(facts, alone).is_work(alone)


def first(facts: Facts, *children: Facts, state: str = "S", wraps: bool = False) -> bool:
    """Return whether a terminal's first process is work by itself."""
    one = process(20, "bash", state=state)
    below = [process(30 + i, "child", 20) for i in range(len(children))]
    table = {20: facts, **{30 + i: child for i, child in enumerate(children)}}
    return judge(table, *below).first_is_work(one, wraps)


def test_a_terminals_first_process_is_judged_too() -> None:
    """A prompt that computes works, one that waits does not, and children count for themselves."""
    assert first(Facts("bash", interactive=True))
    assert not first(Facts("bash", interactive=True, waits_terminal=True))
    assert not first(Facts("bash", interactive=True, waits_child=True), Facts("train"))
    assert first(Facts("python3"))
    assert not first(Facts("vim"))
    assert first(Facts("bash", waits_child=True), Facts("sleep"))  # a script
    assert not first(Facts("su", waits_child=True), Facts("bash"), wraps=True)


def test_a_prompt_that_sleeps_is_idle_where_the_system_does_not_tell_its_wait() -> None:
    """In some containers it does not; an open terminal must not keep every server there."""
    assert not first(Facts("bash", interactive=True, told=False))
    assert first(Facts("bash", interactive=True, told=False), state="R")
    assert first(Facts("python3", told=False))
