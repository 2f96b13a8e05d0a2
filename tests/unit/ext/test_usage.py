"""Laws of use: what computes or moves data is active, and nothing is counted twice."""

from __future__ import annotations

import os

from hubcull_server_ext.signals.process import Moved, Process
from hubcull_server_ext.signals.usage import COMPUTES, MOVES, Identity, Meter

TICKS = os.sysconf("SC_CLK_TCK")
WINDOW = 30.0


def process(pid: int = 10, seconds: float = 0.0, by_dead: float = 0.0, parent: int = 1) -> Process:
    """Return a process that has used so many processor seconds, and so many by its dead children."""
    ticks, dead = round(seconds * TICKS), round(by_dead * TICKS)
    return Process(pid, "x", "S", parent, pid, pid, 0, 1, 500, ticks, dead)


def active(meter: Meter, now: float, *found: Process, moved: dict[int, int] | None = None) -> set[int]:
    """Take a look; return the numbers of the active processes."""
    counts = {pid: Moved(count, 0) for pid, count in (moved or {}).items()}
    return active_of(meter, now, *found, moved=counts)


def active_of(meter: Meter, now: float, *found: Process, moved: dict[int, Moved]) -> set[int]:
    """Take a look at bytes of both sorts; return the numbers of the active processes."""
    return {pid for pid, _ in meter.take(found, {(pid, 500): count for pid, count in moved.items()}, now)}


def test_use_is_averaged_over_the_window() -> None:
    """A tenth of a core is active, what an idle dask worker uses is not."""
    for share, is_active in ((COMPUTES + 0.01, True), (0.04, False), (0.0, False)):
        meter = Meter(WINDOW)
        for now in range(0, 100, 5):
            found = active(meter, now, process(seconds=share * now))
        assert found == ({10} if is_active else set()), share


def test_what_others_count_is_averaged_alike_and_says_nothing_where_it_is_not_known() -> None:
    """One unit a second is active, whatever it is; of one that was just met, earlier units are nobody's."""
    for rate, is_active in ((1.1, True), (0.9, False)):
        meter = Meter(WINDOW)
        for now in range(0, 100, 5):
            units = {(10, 500): 1000.0 + rate * now, (11, 500): 1e6} if now >= 20 else {}
            found = meter.take([process(10), process(11)], {}, now, units=units)
            assert now >= 50 or not found
        assert {pid for pid, _ in found} == ({10} if is_active else set()), rate


def test_a_burst_is_not_active_however_short_the_time_between_two_looks() -> None:
    """Starting a program, or a look right before a report, must not make work of nothing; much use does."""
    meter = Meter(WINDOW)
    assert active(meter, 0.0, process()) == set()
    assert active(meter, 1.0, process(seconds=1.0)) == set()
    assert active(meter, 4.0, process(seconds=4.0)) == {10}


def test_what_would_run_at_every_look_computes_however_little_it_is_let() -> None:
    """On a crowded machine, or under a container's limit; one that slept at one look is as idle as it was."""
    meter = Meter(WINDOW)
    for now in range(0, 100, 5):
        used = 0.02 * now
        starved, awake, asleep = process(10, used), process(11, used), process(12, used)
        found = active(
            meter,
            now,
            starved._replace(state="R"),
            awake._replace(state="S" if now % 20 == 0 else "R"),
            asleep,
        )
        assert found == ({10} if now >= WINDOW else set()), now


def test_a_few_looks_prove_no_computation() -> None:
    """They may have met the only moments at which it ran."""
    meter = Meter(WINDOW)
    for now in (0.0, 30.0):
        assert active(meter, now, process(seconds=0.1)._replace(state="R")) == set()


def test_what_is_met_for_the_first_time_is_not_known() -> None:
    """It may have run for years before."""
    meter = Meter(WINDOW)
    assert active(meter, 0.0, process(seconds=1e6)) == set()
    assert active(meter, 30.0, process(seconds=1e6), process(11, seconds=1e6)) == set()


def test_bytes_count_as_well() -> None:
    """A copy needs next to no processor; what can not be read is not known to have moved."""
    meter = Meter(WINDOW)
    fast, slow = 2 * MOVES, MOVES // 2
    for now in (0, 30):
        found = active(meter, now, process(1), process(2), process(3), moved={1: fast * now, 2: slow * now})
    assert found == {1}


def test_dead_children_count_once() -> None:
    """A script by its short steps; the use of a child that had been met was the child's own."""
    meter = Meter(WINDOW)
    active(meter, 0.0, process(10), process(11), process(12, seconds=1000.0, parent=11))
    assert active(meter, 30.0, process(10, by_dead=20.0), process(11, by_dead=1000.5)) == {10}


def test_bytes_of_dead_children_count_once() -> None:
    """Linux adds them to the parent's when it has waited for the child."""
    meter = Meter(WINDOW)
    total = 100 * MOVES
    active(meter, 0.0, process(10), process(11, parent=10), moved={10: 0, 11: total})
    assert active(meter, 30.0, process(10), moved={10: total}) == set()
    assert active(meter, 60.0, process(10), moved={10: 2 * total}) == {10}


def test_what_calls_move_and_what_disks_do_are_told_apart() -> None:
    """Either does; where calls tell nothing, disks do. What is known at one look only is not compared."""
    meter = Meter(WINDOW)
    much = 40 * MOVES
    started = [process(pid) for pid in range(1, 6)]
    none, silent = Moved(0, 0), Moved(None, 0)
    active_of(meter, 0.0, *started, moved={1: none, 2: none, 3: silent, 4: silent, 5: silent})
    ended = {1: Moved(much, 0), 2: Moved(0, much), 3: silent, 4: Moved(None, much), 5: Moved(much, 0)}
    assert active_of(meter, 30.0, *started, moved=ended) == {1, 2, 4}


def test_what_a_childs_calls_moved_hides_nothing_that_went_to_disks() -> None:
    """Each sort of bytes is taken off its own: of the parent's only what the child had, and that once."""
    meter = Meter(WINDOW)
    both = process(10), process(11, parent=10)
    active_of(meter, 0.0, *both, moved={10: Moved(None, 0), 11: Moved(500 * MOVES, 100 * MOVES)})
    assert active_of(meter, 30.0, process(10), moved={10: Moved(None, 100 * MOVES)}) == set()
    active_of(meter, 60.0, *both, moved={10: Moved(None, 100 * MOVES), 11: Moved(500 * MOVES, 0)})
    assert active_of(meter, 90.0, process(10), moved={10: Moved(None, 140 * MOVES)}) == {10}


def test_a_number_that_is_used_again_is_another_process() -> None:
    """Its predecessor's counts are not its own."""
    meter = Meter(WINDOW)
    active(meter, 0.0, process(10))
    assert active(meter, 30.0, process(10, seconds=20.0)._replace(started=900)) == set()


def test_use_before_a_process_was_free_does_not_count() -> None:
    """What a kernel used for a cell is the cell's; a look in the midst of it is no base."""
    meter = Meter(WINDOW)
    active(meter, 0.0, process(10), process(11))
    began: dict[Identity, float] = {(10, 500): 5.0}
    both = [process(10, seconds=20.0), process(11, seconds=20.0)]
    assert {pid for pid, _ in meter.take(both, {}, 30.0, began)} == {11}
    later = [process(10, seconds=40.0), process(11, seconds=40.0)]
    found = meter.take(later, {}, 60.0, began)
    assert {pid: use.since for (pid, _), use in found.items()} == {10: 30.0, 11: 30.0}
