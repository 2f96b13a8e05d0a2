"""Laws of VS Code's extension host, with a process that looks like one: its search for ports is no work."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubcull_server_ext import clock
from hubcull_server_ext.signals.usage import COMPUTES, MOVES
from tests.component.ext.test_background import LOOKS, MARKS, PROGRAMS, PYTHON, Yard, used

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are watched on Linux")
HOST, WATCHER = "--type=extensionHost", "--type=fileWatcher"
MUCH = {"MUCH": "x" * 100_000}
"""So that one small call reads as much of /proc as a hundred processes' files have."""


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    """Watch a server without anything in the background; end what a test has started."""
    shutil.copy(PROGRAMS / "host.py", tmp_path / "bootstrap-fork")
    yard = Yard(tmp_path)
    yield yard
    yard.close()


def host(yard: Yard, kind: str, *words: str) -> int:
    """Start one of VS Code's processes, to do so; return its number."""
    command = [PYTHON, str(yard.folder / "bootstrap-fork"), kind, *words]
    return yard.run(command, os.environ | MARKS | MUCH)


def called(yard: Yard, pid: int) -> int:
    """Return how much a process has read and written by its calls."""
    yard.table.refresh(clock.boottime())
    process = yard.table.get(pid)
    moved = None if process is None else yard.table.moved(process)
    assert moved is not None
    assert moved.calls is not None
    return moved.calls


def are_told(folder: Path) -> bool:
    """Whether Linux counts what is written to files in a folder as going to a disk: not so to memory."""

    def written() -> int:
        lines = Path("/proc/self/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))

    before = written()
    (folder / "trial").write_bytes(bytes(1 << 20))
    return written() - before >= 1 << 20


async def test_a_search_for_ports_is_no_work_however_many_processes_there_are(yard: Yard) -> None:
    """The same done by another process of VS Code is not known, and protects."""
    searching = host(yard, HOST, "search")
    assert await yard.rests()
    before = clock.monotonic(), called(yard, searching), used(searching)
    await asyncio.sleep(2 * LOOKS)
    spent = clock.monotonic() - before[0]
    assert called(yard, searching) - before[1] > 2 * MOVES * spent
    assert used(searching) - before[2] < COMPUTES * spent
    assert await yard.quiet()
    host(yard, WATCHER, "search")
    assert await yard.works() == [("server", "python")]


@pytest.mark.parametrize("words", [("compute",), ("start", PYTHON, str(PROGRAMS / "slow_copy.py"), "copy")])
async def test_what_an_extension_computes_or_has_others_do_is_work(
    yard: Yard, words: tuple[str, ...]
) -> None:
    """A child counts by all that it moves."""
    host(yard, HOST, *words)
    assert await yard.works() == [("server", "python")]


async def test_what_an_extension_writes_to_a_disk_is_work(yard: Yard) -> None:
    """With next to no use of a processor."""
    if not are_told(yard.folder):
        pytest.skip("the folder for temporary files is in memory")
    writing = host(yard, HOST, "write", "copy")
    assert await yard.works() == [("server", "python")]
    before = used(writing)
    await asyncio.sleep(LOOKS)
    assert used(writing) - before < COMPUTES * LOOKS
