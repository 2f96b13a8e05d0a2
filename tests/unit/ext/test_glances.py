"""Laws of a glance: it finds of terminals all that a full reading finds, and reads little else."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

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


class World:
    """A made-up /proc, and what a system lets processes do."""

    def __init__(self, root: Path) -> None:
        self.root, self.next = root, 100
        self.processes: dict[int, _One] = {}
        for pid, parent in ((1, 0), (SERVER, 1), *((shell, SERVER) for shell in SHELLS), (ELSEWHERE, 1)):
            self.put(pid, _One(parent, pid))

    def put(self, pid: int, one: _One) -> None:
        """Write what /proc says of a process."""
        self.processes[pid] = one
        (self.root / str(pid)).mkdir(exist_ok=True)
        line = f"{pid} (p{pid}) {one.state} {one.parent} {pid} {one.session} 0 0 0 0 0 0 0 {one.used} 0"
        (self.root / str(pid) / "stat").write_text(f"{line} 0 0 20 0 1 0 {pid} 0 0")

    def fork(self, parent: int) -> int:
        """Make a child; it begins in its parent's session."""
        self.next += 1
        self.put(self.next, _One(parent, self.processes[parent].session))
        return self.next

    def setsid(self, pid: int) -> None:
        """Let a process begin a session of its own, the only one that it can change to."""
        self.put(pid, self.processes[pid]._replace(session=pid))

    def end(self, pid: int) -> None:
        """End a process; its children are init's."""
        del self.processes[pid]
        (self.root / str(pid) / "stat").unlink()
        (self.root / str(pid)).rmdir()
        for child, one in list(self.processes.items()):
            if one.parent == pid:
                self.put(child, one._replace(parent=1))

    def change(self, pid: int) -> None:
        """Let a process run."""
        one = self.processes[pid]
        self.put(pid, one._replace(used=one.used + 7, state="R" if one.state == "S" else "S"))


acts = st.lists(st.tuples(st.sampled_from(["fork", "setsid", "end", "change", "look"]), st.integers(0, 99)))


@settings(deadline=None, max_examples=200)
@given(acts)
def test_a_glance_finds_of_terminals_what_a_full_reading_finds(steps: list[tuple[str, int]]) -> None:
    """Whatever is forked, detached, orphaned or ended between two looks."""
    with TemporaryDirectory() as folder:
        world = World(Path(folder))
        glancing = ProcessTable(world.root)
        glancing.refresh(0.0)
        for now, (act, choice) in enumerate([*steps, ("look", 0)], 1):
            pids = [pid for pid in world.processes if pid not in {1, SERVER}]
            if act == "look" or not pids:
                glancing.glance(now / 100, SHELLS)
                full = ProcessTable(world.root)
                full.refresh(now / 100)
                for shell in SHELLS:
                    assert sorted(glancing.of_terminal(shell)) == sorted(full.of_terminal(shell))
                assert {p.pid for p in glancing.all()} == {p.pid for p in full.all()}
            else:
                getattr(world, act)(pids[choice % len(pids)])


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
