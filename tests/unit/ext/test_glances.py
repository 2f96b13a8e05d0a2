"""Laws of a glance: it finds of terminals all that a full reading finds, and reads little else."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubcull_server_ext.signals.processes import ProcessTable

SHELLS = (10, 20)
"""The first processes of two terminals, children of the server."""
SERVER, ELSEWHERE = 5, 30


class _One(NamedTuple):
    parent: int
    session: int
    used: int = 0
    state: str = "S"
    threads: int = 1
    runs: int = 1


class World:
    """A made-up /proc, and what a system lets processes do; ``counts``: whether it tells how often."""

    def __init__(self, root: Path, counts: bool = True) -> None:
        self.root, self.next, self.counts = root, 100, counts
        self.processes: dict[int, _One] = {}
        for pid, parent in ((1, 0), (SERVER, 1), *((shell, SERVER) for shell in SHELLS), (ELSEWHERE, 1)):
            self.put(pid, _One(parent, pid))

    def put(self, pid: int, one: _One) -> None:
        """Write what /proc says of a process."""
        self.processes[pid] = one
        (self.root / str(pid)).mkdir(exist_ok=True)
        line = f"{pid} (p{pid}) {one.state} {one.parent} {pid} {one.session} 0 0 0 0 0 0 0 {one.used} 0"
        (self.root / str(pid) / "stat").write_text(f"{line} 0 0 20 0 {one.threads} 0 {pid} 0 0")
        if self.counts:
            (self.root / str(pid) / "schedstat").write_text(f"{one.runs}000 0 {one.runs}\n")

    def run(self, pid: int) -> None:
        """Let a process run, or another of its threads, of which nothing is counted."""
        one = self.processes[pid]
        self.put(pid, one._replace(runs=one.runs + (one.threads == 1)))

    def fork(self, parent: int) -> int:
        """Make a child; it begins in its parent's session."""
        self.run(parent)
        self.next += 1
        self.put(self.next, _One(parent, self.processes[parent].session))
        return self.next

    def setsid(self, pid: int) -> None:
        """Let a process begin a session of its own, the only one that it can change to."""
        self.run(pid)
        self.put(pid, self.processes[pid]._replace(session=pid))

    def end(self, pid: int) -> None:
        """End a process; its children are init's, and need not run for that."""
        del self.processes[pid]
        for file in (self.root / str(pid)).iterdir():
            file.unlink()
        (self.root / str(pid)).rmdir()
        for child, one in list(self.processes.items()):
            if one.parent == pid:
                self.put(child, one._replace(parent=1))

    def change(self, pid: int) -> None:
        """Let a process run."""
        self.run(pid)
        one = self.processes[pid]
        self.put(pid, one._replace(used=one.used + 7, state="R" if one.state == "S" else "S"))

    def thread(self, pid: int) -> None:
        """Let a process begin another thread, or that thread end, for which the first need not run."""
        self.run(pid)
        one = self.processes[pid]
        self.put(pid, one._replace(threads=3 - one.threads))

    def act(self, name: str, choice: int) -> None:
        """Let one of the processes do something."""
        pids = [pid for pid in self.processes if pid not in {1, SERVER}]
        if pids:
            getattr(self, name)(pids[choice % len(pids)])


class Torn(ProcessTable):
    """A table while which is read something happens: before the list of processes is, or after it."""

    def __init__(self, world: World) -> None:
        super().__init__(world.root)
        self._world = world
        self.first: list[tuple[str, int]] = []
        self.then: list[tuple[str, int]] = []

    def _list(self) -> dict[int, int]:
        self._happen(self.first)
        found = super()._list()
        self._happen(self.then)
        return found

    def _happen(self, acts: list[tuple[str, int]]) -> None:
        for name, choice in acts:
            self._world.act(name, choice)
        acts.clear()


ACTS = ["fork", "setsid", "end", "change", "thread"]
act = st.tuples(st.sampled_from(ACTS), st.integers(0, 99))
glance = st.tuples(st.lists(act, max_size=2), st.lists(act, max_size=2))
"""What happens in the midst of a glance."""


def same(one: ProcessTable, other: ProcessTable) -> bool:
    """Whether two tables say the same of both terminals."""
    return all(sorted(one.of_terminal(shell)) == sorted(other.of_terminal(shell)) for shell in SHELLS)


@settings(deadline=None, max_examples=400)
@given(st.lists(st.one_of(act, glance, st.just(([], [])))), st.booleans())
def test_a_glance_finds_of_terminals_what_a_full_reading_finds(steps: list[Any], counts: bool) -> None:
    """Whatever is forked, detached, orphaned or ended between two looks, or while one goes on."""
    with TemporaryDirectory() as folder:
        world = World(Path(folder), counts)
        glancing, torn = ProcessTable(world.root), Torn(world)
        glancing.refresh(0.0)
        torn.refresh(0.0)
        for now, step in enumerate([*steps, ([], [])], 1):
            if isinstance(step[0], str):
                world.act(*step)
                continue
            torn.first, torn.then = map(list, step)
            torn.glance(now / 100, SHELLS)
            torn.first, torn.then = [], []
            torn.glance(now / 100, SHELLS)
            glancing.glance(now / 100, SHELLS)
            full = ProcessTable(world.root)
            full.refresh(now / 100)
            assert same(glancing, full)
            assert same(torn, full)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(act, st.just(("", 0)))), st.booleans())
def test_a_full_reading_of_those_that_have_run_finds_all(steps: list[tuple[str, int]], counts: bool) -> None:
    """What has not run is as it was; who is whose child may change all the same."""
    with TemporaryDirectory() as folder:
        world = World(Path(folder), counts)
        table = ProcessTable(world.root)
        for now, (name, choice) in enumerate([*steps, ("", 0)]):
            if name:
                world.act(name, choice)
                continue
            table.refresh(float(now))
            full = ProcessTable(world.root)
            full.refresh(float(now))
            assert sorted(table.all()) == sorted(full.all())


def test_nothing_is_read_of_terminals_in_which_nothing_has_run(tmp_path: Path) -> None:
    """From the third glance on: what the first two read may have been under way. One run ends it."""
    world, table = World(tmp_path), ProcessTable(tmp_path)
    table.refresh(0.0)
    stirred = [table.glance(now, SHELLS) for now in (5.0, 10.0, 15.0)]
    world.change(ELSEWHERE)
    stirred += [table.glance(now, SHELLS) for now in (20.0, 25.0)]
    world.change(SHELLS[1])
    stirred += [table.glance(30.0, SHELLS)]
    assert stirred == [True, True, False, False, False, True]


def test_all_is_read_again_after_a_minute_in_which_nothing_has_run(tmp_path: Path) -> None:
    """Others read all meanwhile; a terminal may be judged by more than its own processes."""
    World(tmp_path)
    table = ProcessTable(tmp_path)
    stirred = []
    for now in range(0, 130, 5):
        if now % 30 == 0:
            table.refresh(float(now))
        stirred.append(table.glance(float(now), SHELLS))
    assert stirred.count(False) > 20
    assert sum(stirred[5:]) == 1


@pytest.mark.parametrize(
    ("counts", "shells", "threads", "state"),
    [
        (True, SHELLS, 1, "S"),
        (False, SHELLS, 1, "S"),  # the system does not count
        (True, (*SHELLS, 77), 1, "S"),  # a terminal that nobody has read yet
        (True, SHELLS, 2, "S"),  # one thread is counted
        (True, SHELLS, 1, "R"),  # it goes on running without another run
    ],
)
def test_only_what_is_known_to_rest_is_left_out(
    tmp_path: Path, counts: bool, shells: tuple[int, ...], threads: int, state: str
) -> None:
    world = World(tmp_path, counts)
    world.put(SHELLS[0], world.processes[SHELLS[0]]._replace(threads=threads, state=state))
    table = ProcessTable(tmp_path)
    table.refresh(0.0)
    stirred = {table.glance(now, shells) for now in (5.0, 10.0, 15.0, 20.0)}
    assert (False in stirred) == (counts and shells == SHELLS and (threads, state) == (1, "S"))


def test_what_has_not_run_has_moved_nothing(tmp_path: Path) -> None:
    """Its count of bytes is read once; of one that has run, or may have, it is read anew."""
    world, table = World(tmp_path), ProcessTable(tmp_path)
    told: dict[int, list[int | None]] = {SHELLS[0]: [], SHELLS[1]: [], ELSEWHERE: []}
    for number in range(6):
        for pid in told:
            text = f"rchar: {number}\nwchar: 0\nread_bytes: 0\nwrite_bytes: 0\n"
            (tmp_path / str(pid) / "io").write_text(text)
        world.change(SHELLS[0])
        world.change(SHELLS[0])  # so that it sleeps again
        table.refresh(float(number))
        for pid, moved in told.items():
            process = table.get(pid)
            found = None if process is None else table.moved(process)
            moved.append(None if found is None else found.calls)
        if number == 2:
            world.thread(ELSEWHERE)
    assert told[SHELLS[0]] == [0, 1, 2, 3, 4, 5]
    assert told[SHELLS[1]] == [0, 1, 1, 1, 1, 1]
    assert told[ELSEWHERE] == [0, 1, 1, 3, 4, 5]


def test_what_has_not_run_has_the_sockets_that_it_had(tmp_path: Path) -> None:
    """Its descriptors are read once; of one that has run, or may have, they are read anew."""
    world, table = World(tmp_path), ProcessTable(tmp_path)
    told: dict[int, list[int]] = {SHELLS[0]: [], SHELLS[1]: [], ELSEWHERE: []}
    world.thread(ELSEWHERE)
    for number in range(4):
        for pid in told:
            (tmp_path / str(pid) / "fd").mkdir(exist_ok=True)
            (tmp_path / str(pid) / "fd" / str(number)).symlink_to(f"socket:[{100 + number}]")
        world.change(SHELLS[0])
        world.change(SHELLS[0])  # so that it sleeps again
        table.refresh(float(number))
        for pid, counts in told.items():
            process = table.get(pid)
            counts.append(0 if process is None else len(table.sockets(process)))
    assert told[SHELLS[0]] == told[ELSEWHERE] == [1, 2, 3, 4]
    assert told[SHELLS[1]] == [1, 2, 2, 2]


def test_sockets_are_told_from_other_descriptors(tmp_path: Path) -> None:
    """By inode, and whether one is still there; what can not be read is none."""
    World(tmp_path)
    table = ProcessTable(tmp_path)
    folder = tmp_path / str(ELSEWHERE) / "fd"
    folder.mkdir()
    for fd, link in enumerate(["/dev/null", "socket:[77]", "pipe:[78]", "socket:[79]", "socket:[x]"]):
        (folder / str(fd)).symlink_to(link)
    (folder / "strange").symlink_to("socket:[80]")
    table.refresh()
    process, unreadable = table.get(ELSEWHERE), table.get(SHELLS[0])
    assert process is not None
    assert unreadable is not None
    assert (table.sockets(process), table.sockets(unreadable)) == ({77: 1, 79: 3}, {})
    assert [table.holds(process, 77, fd) for fd in range(6)] == [False, True, False, False, False, False]
    assert not table.holds(unreadable, 77, 1)


def test_a_glance_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    """It is not a full reading; that one sees what has changed elsewhere."""
    world, table = World(tmp_path), ProcessTable(tmp_path)
    table.refresh(0.0)
    for pid in (SHELLS[0], ELSEWHERE):
        world.change(pid)
    table.glance(5.0, SHELLS)
    assert [process and process.state for process in map(table.get, (SHELLS[0], ELSEWHERE))] == ["R", "S"]
    table.refresh(6.0, reuse=5.5)  # a glance is no reading that does as well
    assert [process and process.state for process in map(table.get, (SHELLS[0], ELSEWHERE))] == ["R", "R"]


def test_a_number_that_is_in_use_again_is_read_again(tmp_path: Path) -> None:
    """A stranger ended, and a job of a terminal has got its number before anybody looked."""
    world, table = World(tmp_path), ProcessTable(tmp_path)
    table.refresh(0.0)
    (tmp_path / str(ELSEWHERE)).rename(tmp_path / "gone")  # so that its inode is not the new one's
    world.put(ELSEWHERE, _One(SHELLS[0], SHELLS[0]))
    table.glance(5.0, SHELLS)
    assert ELSEWHERE in {process.pid for process in table.of_terminal(SHELLS[0])}


def test_glances_alone_are_not_for_ever(tmp_path: Path) -> None:
    """Where nobody else reads all processes, a glance does after a minute."""
    world, table = World(tmp_path), ProcessTable(tmp_path)
    table.refresh(0.0)
    world.change(ELSEWHERE)
    states = []
    for now in (30.0, 60.0, 61.0):
        table.glance(now, SHELLS)
        one = table.get(ELSEWHERE)
        states.append(one and one.state)
    assert states == ["S", "S", "R"]


def test_use_is_measured_from_when_a_process_was_read(tmp_path: Path) -> None:
    """What one used that no glance had read is not taken for what it used since the last glance."""
    world, table = World(tmp_path), ProcessTable(tmp_path)
    for now in (0.0, 10.0, 20.0, 30.0):
        table.glance(now, SHELLS)  # the first is a full reading
        world.change(ELSEWHERE)  # 70 ms in 10 s: next to nothing
        for _ in range(10):
            world.change(SHELLS[0])  # 700 ms in 10 s
    table.refresh(40.0)
    computes = [process and table.computes(process) for process in map(table.get, (SHELLS[0], ELSEWHERE))]
    assert computes == [True, False]
