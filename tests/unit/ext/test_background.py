"""Laws of the background's source where it can not see: known on another system, doubt otherwise."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from hubcull_server_ext import wire
from hubcull_server_ext.signals.background import Around, BackgroundSource
from hubcull_server_ext.signals.processes import ProcessTable
from hubcull_server_ext.signals.ttys import Clocks, times_move
from hubcull_server_ext.snapshot import Collector

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are watched on Linux")


def source(root: Path, platform_clock: float = 0.0) -> BackgroundSource:
    """Return a source that reads processes from a folder."""
    clocks = Clocks(lambda: platform_clock, lambda: 0.0, lambda: 0.0)
    return BackgroundSource(ProcessTable(root), clocks, Around(list, list), {}, (), 5.0)


def health(one: BackgroundSource) -> wire.Source:
    """Let it look, and return how it says it is."""
    asyncio.run(one.sample())
    return Collector([one]).collect(0.0)[0][0]


def test_another_system_is_a_known_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unavailable, never failed: nobody has to switch it off there."""
    monkeypatch.setattr(sys, "platform", "darwin")
    found = health(source(tmp_path))
    assert (found.health, found.strength) == (wire.Health.UNAVAILABLE, wire.Strength.WEAK)


@LINUX
def test_processes_that_can_not_be_read_are_a_weak_fault(tmp_path: Path) -> None:
    """Named by its class, without a path."""
    found = health(source(tmp_path))
    assert (found.health, found.strength) == (wire.Health.FAILED, wire.Strength.WEAK)
    assert found.detail == "processes can not be watched: ProcessLookupError"
    assert health(source(Path("/proc"))).health is wire.Health.OK


@LINUX
def test_whether_terminals_have_times_is_found_out_by_trying() -> None:
    """Linux has them; what can not be tried has none."""
    assert times_move()


def test_a_system_without_terminals_of_its_own_has_no_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial itself may be refused."""

    def refused() -> tuple[int, int]:
        raise OSError

    monkeypatch.setattr("os.openpty", refused)
    assert not times_move()
