"""Laws of the use of GPUs, by ctypes and with real processes; the library is built here, without a device."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pytest

from hubcull_server_ext import clock, wire
from hubcull_server_ext.signals.background import Around, BackgroundSource
from hubcull_server_ext.signals.counters import CounterSource
from hubcull_server_ext.signals.gpu import RETRY, GpuCounter
from hubcull_server_ext.signals.gpu_use import COMPUTES
from hubcull_server_ext.signals.jobs import NOT_WORK
from hubcull_server_ext.signals.process import Process
from hubcull_server_ext.signals.processes import ProcessTable
from hubcull_server_ext.signals.ttys import Clocks
from hubcull_server_ext.snapshot import Collector, SourceError, UnavailableError

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are watched on Linux"),
    pytest.mark.skipif(COMPILER is None, reason="no C compiler to build a library with NVML's functions"),
]
SOURCE = Path(__file__).parent / "programs" / "nvml.c"
HOLD = "import sys, time; files = [*map(open, sys.argv[1:])]; print('open', flush=True); time.sleep(600)"
MARKS = {"JUPYTERHUB_USER": "ada", "JUPYTERHUB_SERVICE_PREFIX": f"/user/ada/{os.getpid()}/gpu/"}
NOT_SUPPORTED, LOST = 3, 15
WEAK = wire.Strength.WEAK
TICKS = os.sysconf("SC_CLK_TCK")
SECOND = 1_000_000
"""The driver's clock counts microseconds."""


class _Sample(ctypes.Structure):
    _fields_ = (
        ("pid", ctypes.c_uint),
        ("time", ctypes.c_ulonglong),
        ("sm", ctypes.c_uint),
        ("mem", ctypes.c_uint),
        ("enc", ctypes.c_uint),
        ("dec", ctypes.c_uint),
    )


class Card:
    """A machine with a driver whose answers the test sets, and processes that may have its devices open."""

    def __init__(self, library: Path, folder: Path) -> None:
        self.library, self.folder, self.table = library, folder, ProcessTable()
        self.children: list[subprocess.Popen[str]] = []
        self._used: dict[int, int] = {}
        self.time = SECOND
        for name in ("nvidia0", "nvidia1", "nvidiactl", "null"):
            (folder / name).touch()

    @cached_property
    def _driver(self) -> ctypes.CDLL:
        return ctypes.CDLL(str(self.library))

    def set(self, name: str, value: int) -> None:
        """Set one of the driver's answers."""
        ctypes.c_int.in_dll(self._driver, name).value = value

    def get(self, name: str) -> int:
        """Return what the driver counted."""
        return ctypes.c_int.in_dll(self._driver, name).value

    def sampled(self, *use: tuple[int, int], engine: str = "sm") -> None:
        """Let a second pass in which these processes, by number, used hundredths of the first device."""
        self.time += SECOND
        samples = (_Sample * 128).in_dll(self._driver, "samples")
        for index, (pid, hundredths) in enumerate(use):
            samples[index] = _Sample(pid, self.time, **{engine: hundredths})
        self.set("sample_count", len(use))

    def computing(self, *pids: int) -> None:
        """Let these processes have memory on the first device."""
        found = (ctypes.c_uint * 128).in_dll(self._driver, "computing")
        for index, pid in enumerate(pids):
            found[index] = pid
        self.set("computing_count", len(pids))

    def hold(self, *names: str) -> int:
        """Start a process that has these files open and sleeps; return its number."""
        words = [sys.executable, "-c", HOLD, *(str(self.folder / name) for name in names)]
        child = subprocess.Popen(words, env=os.environ | MARKS, stdout=subprocess.PIPE, text=True)
        self.children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        return child.pid

    def run(self, pid: int, seconds: float) -> None:
        """Let a process have used so much more of a processor."""
        self._used[pid] = self._used.get(pid, 0) + round(seconds * TICKS)

    def counter(self, apart: bool = False, alone: bool = True, limit: float = 5.0) -> GpuCounter:
        """Return what counts on this machine."""
        return GpuCounter(self.table, lambda: alone, apart, str(self.library), self.folder, limit)

    def look(self, counter: GpuCounter, now: float, *pids: int) -> dict[int, float]:
        """Return how many device seconds each process used so far, by its number."""
        self.table.refresh()
        found = [self._process(pid) for pid in pids]
        return {pid: units * COMPUTES for (pid, _), units in counter.read(found, now).items()}

    def _process(self, pid: int) -> Process:
        process = self.table.get(pid)
        assert process is not None
        return process._replace(used=self._used.get(pid, 0))

    def close(self) -> None:
        """End every process."""
        for child in self.children:
            child.kill()
            child.communicate()


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the library."""
    built = tmp_path_factory.mktemp("nvml") / "nvml.so"
    words = [str(COMPILER), "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(built), str(SOURCE)]
    subprocess.run(words, check=True, timeout=60)
    return built


@pytest.fixture
def card(library: Path, tmp_path: Path) -> Iterator[Card]:
    """Give each test a library with answers of its own."""
    card = Card(Path(shutil.copy(library, tmp_path / "libnvidia-ml.so.1")), tmp_path)
    yield card
    card.set("hangs", 0)
    card.close()


def test_use_is_counted_for_who_used_it_and_for_nobody_else(card: Card) -> None:
    """Not before the second look: what is told at the first may be from before; and each is counted once."""
    job, idle, other = card.hold("nvidia0"), card.hold("nvidia0"), card.hold("null")
    counter = card.counter()
    card.sampled((job, 100), (4000000, 100))
    assert card.look(counter, 0, job, idle, other) == {job: 0, idle: 0, other: 0}
    card.sampled((job, 30), (4000000, 70), (other, 50))
    assert card.look(counter, 10, job, idle, other) == pytest.approx({job: 3, idle: 0, other: 0})
    assert card.look(counter, 20, job, idle, other) == pytest.approx({job: 3, idle: 0, other: 0})
    card.sampled((job, 20), (idle, 1))
    assert card.look(counter, 25, job, idle, other) == pytest.approx({job: 4, idle: 0.05, other: 0})


def test_video_counts_as_computing_does(card: Card) -> None:
    """Each engine by itself; they are not added."""
    job, counter = card.hold("nvidia0"), card.counter()
    card.look(counter, 0, job)
    for now, engine in enumerate(("sm", "mem", "enc", "dec"), start=1):
        card.sampled((job, 50), engine=engine)
        assert card.look(counter, now, job) == {job: pytest.approx(now * 0.5)}


def test_entries_that_can_not_be_true_are_left_out(card: Card) -> None:
    """Drivers are known to fill entries of processes that ended with anything; the others are good."""
    job, bad, counter = card.hold("nvidia0"), card.hold("nvidia0"), card.counter()
    card.look(counter, 0, job, bad)
    card.sampled((bad, 2147483632), (0, 50), (job, 50))
    assert card.look(counter, 10, job, bad) == {job: 5, bad: 0}
    card.set("forgets", 1)  # what has been told is told again
    assert card.look(counter, 20, job, bad) == {job: 5, bad: 0}
    card.sampled((job, 50))
    assert card.look(counter, 30, job, bad) == {job: 10, bad: 0}


def test_processes_that_begin_between_two_calls_do_not_hide_the_others(card: Card) -> None:
    """The list is then too short, and asked for again."""
    job, counter = card.hold("nvidia0"), card.counter()
    card.look(counter, 0, job)
    card.sampled((job, 50))
    card.set("grows", 1)
    asked = card.get("questions")
    assert card.look(counter, 10, job) == {job: 5}
    assert card.get("grows") == 0
    assert card.get("questions") - asked == 3


def test_a_device_is_asked_about_only_while_one_of_ours_has_one_open(card: Card) -> None:
    """Nothing is opened before, and all is let go of afterwards; what was counted stands."""
    job, other, counter = card.hold("nvidia0"), card.hold("null"), card.counter()
    assert card.look(counter, 0, other) == {}
    assert card.get("inits") == 0
    card.look(counter, 5, job, other)
    card.sampled((job, 50))
    assert card.look(counter, 10, job, other) == {job: 2.5, other: 0}
    assert (card.get("inits"), card.get("shutdowns")) == (1, 0)
    card.look(counter, 15, other)
    assert (card.get("inits"), card.get("shutdowns")) == (1, 1)
    card.sampled((job, 50))
    card.look(counter, 20, job, other)
    assert card.get("inits") == 2
    (card.folder / "nvidiactl").unlink()  # the driver goes
    card.look(counter, 25, job, other)
    assert card.get("shutdowns") == 2


def test_what_a_device_does_not_tell_is_not_idleness_and_no_error(card: Card) -> None:
    """Then the whole device's use stands for it, if all who can compute on it are ours and ran."""
    job, idle, counter = card.hold("nvidia0"), card.hold("nvidia0"), card.counter()
    card.set("process_code", NOT_SUPPORTED)
    card.set("rate", 40)
    card.computing(job, idle)
    card.look(counter, 0, job, idle)
    card.run(job, 1.0)
    assert card.look(counter, 10, job, idle) == {job: 4, idle: 0}
    card.computing(job, idle, 4000000)
    card.run(job, 1.0)
    assert card.look(counter, 20, job, idle) == {job: 4, idle: 0}
    card.set("rates_code", NOT_SUPPORTED)  # as of a device in parts (MIG)
    card.computing(job, idle)
    card.run(job, 1.0)
    assert card.look(counter, 30, job, idle) == {job: 4, idle: 0}
    assert card.get("shutdowns") == 0
    card.set("process_code", 0)
    card.look(counter, 40, job, idle)
    card.sampled((idle, 50))
    assert card.look(counter, 50, job, idle) == {job: 4, idle: 5}


@pytest.mark.parametrize(
    ("name", "code"), [("init_code", 9), ("device_count", 0), ("process_code", LOST), ("minor_code", LOST)]
)
def test_after_an_error_nothing_is_asked_for_a_while(card: Card, name: str, code: int) -> None:
    """No driver, no device, a broken one; and when all is well again, it is found. Meanwhile that is said."""
    job, counter = card.hold("nvidia0"), card.counter()
    source = CounterSource("gpus", counter)
    assert source.collect(0) == []
    well = {"device_count": 1}.get(name, 0)
    card.set(name, code)
    assert card.look(counter, 0, job) == {}
    assert card.get("inits") == 1
    card.set(name, well)
    for now in (10, RETRY - 1):
        card.sampled((job, 50))
        assert card.look(counter, now, job) == {}
        with pytest.raises(SourceError, match=r"^the driver can not be asked: NvmlError$"):
            source.collect(now)
    assert card.get("inits") == 1
    card.look(counter, RETRY, job)
    card.sampled((job, 50))
    assert card.look(counter, RETRY + 10, job) == {job: 5}
    assert source.collect(RETRY + 10) == []
    assert card.get("inits") == 2


@pytest.mark.parametrize("question", ["broken", "nameless"])
def test_a_device_that_fails_is_named_and_the_others_are_counted(card: Card, question: str) -> None:
    """At the first question or later; it is no failure of the source, and all is forgotten with the use."""
    job, other, counter = card.hold("nvidia0"), card.hold("nvidia1"), card.counter()
    source = CounterSource("gpus", counter)
    card.set("device_count", 3)
    card.look(counter, 0, job, other)
    assert Collector([source]).collect(0)[0] == (wire.Source("gpus", wire.Health.OK, strength=WEAK),)
    card.look(counter, 5)  # nobody has one open
    card.set(question, 1)
    for now in (10, 20):
        card.sampled((job, 50))
        used = card.look(counter, now, job, other)
    assert used == {job: 5, other: 0}
    (said,) = Collector([source]).collect(20)[0]
    assert said.health is wire.Health.OK
    assert said.detail == "not counted, as the driver fails for it: GPU 1"
    card.set(question, -1)
    card.look(counter, 30)
    assert source.remark is None
    card.look(counter, 40, job, other)
    assert source.remark is None


def test_a_device_that_refuses_us_is_nobodys_failure(card: Card) -> None:
    """Not all of a machine's devices are ours to ask."""
    job, counter = card.hold("nvidia0"), card.counter()
    card.set("device_count", 2)
    card.set("refused", 1)
    card.look(counter, 0, job)
    card.sampled((job, 50))
    assert card.look(counter, 10, job) == {job: 5}
    assert counter.remark is None


def test_nothing_is_said_where_nothing_could_be_counted(card: Card) -> None:
    """A failure is forgotten when no process has a GPU open any more; without a GPU there is no source."""
    job, counter = card.hold("nvidia0"), card.counter()
    card.set("init_code", 9)
    card.look(counter, 0, job)
    with pytest.raises(SourceError):
        counter.check()
    card.look(counter, 10)
    counter.check()
    (card.folder / "nvidiactl").unlink()
    with pytest.raises(UnavailableError):
        CounterSource("gpus", counter).collect(20)


def test_without_the_library_nothing_is_counted_until_it_is_there(card: Card) -> None:
    """A driver that is installed later is found; a library that is something else is none."""
    later = Card(card.folder / "later.so", card.folder)
    job, counter, known = card.hold("nvidia0"), later.counter(), card.counter()
    assert later.look(counter, 0, job) == {}
    assert card.look(known, 0, job) == {job: 0}
    later.library.write_text("no library")
    assert later.look(counter, RETRY, job) == {}
    later.library.unlink()
    shutil.copy(card.library, later.library)
    later.look(counter, 2 * RETRY, job)
    later.sampled((job, 50))
    assert later.look(counter, 2 * RETRY + 10, job) == {job: 5}


def test_a_library_that_hangs_holds_up_nobody(card: Card) -> None:
    """It is asked no more until it has come back, and what was counted stands."""
    job, counter = card.hold("nvidia0"), card.counter(limit=0.5)
    card.look(counter, 0, job)
    card.sampled((job, 50))
    assert card.look(counter, 10, job) == {job: 5}
    card.set("hangs", 1)
    asked = card.get("questions")
    begun = clock.monotonic()
    for now in (20, 20 + RETRY, 20 + 2 * RETRY):
        card.sampled((job, 50))
        assert card.look(counter, now, job) == {job: 5}
    assert clock.monotonic() - begun < 5
    with pytest.raises(SourceError, match="TimeoutError"):
        counter.check()
    assert card.get("questions") == asked + 1
    card.set("hangs", 0)
    for thread in threading.enumerate():
        if thread.name == "hubcull-gpu":
            thread.join(5)
    card.look(counter, 20 + 3 * RETRY, job)
    card.sampled((job, 50))
    assert card.look(counter, 30 + 3 * RETRY, job) == {job: 10}


def test_in_a_container_the_machines_numbers_are_nobodys_unless_it_is_ours_alone(card: Card) -> None:
    """Older drivers do not translate them. What is used is then that of who has the device open, and ran."""
    job, idle = card.hold("nvidia0"), card.hold("nvidia0")
    ours, shared = card.counter(apart=True), card.counter(apart=True, alone=False)
    for counter in (ours, shared):
        card.look(counter, 0, job, idle)
    card.sampled((4000000, 60))
    card.run(job, 1.0)
    assert card.look(ours, 10, job, idle) == {job: 6, idle: 0}
    assert card.look(shared, 10, job, idle) == {job: 0, idle: 0}
    card.sampled((4000000, 60), (4000001, 20), (4000002, 20))  # more than have it open here
    card.run(job, 1.0)
    assert card.look(ours, 20, job, idle) == {job: 6, idle: 0}
    assert card.look(shared, 20, job, idle) == {job: 0, idle: 0}
    card.sampled((idle, 50), (4000001, 20))  # a newer driver translates ours
    assert card.look(shared, 30, job, idle) == {job: 0, idle: 5}


def test_use_of_one_device_is_not_that_of_who_has_another_open(card: Card) -> None:
    """Also where it would be guessed whose it is."""
    job, other, counter = card.hold("nvidia0"), card.hold("nvidia1"), card.counter(apart=True)
    card.set("device_count", 2)
    card.look(counter, 0, job, other)
    card.sampled((4000000, 60))
    card.run(job, 1.0)
    card.run(other, 1.0)
    assert card.look(counter, 10, job, other) == {job: 6, other: 0}


def test_a_driver_that_translates_numbers_leaves_no_use_to_be_guessed(card: Card) -> None:
    """Then whatever it does not name as ours is another's, also while we do nothing."""
    job, counter = card.hold("nvidia0"), card.counter(apart=True)
    card.look(counter, 0, job)
    card.sampled((job, 50), (4000000, 20))
    assert card.look(counter, 10, job) == {job: 5}
    card.sampled((4000000, 60))
    card.run(job, 1.0)
    assert card.look(counter, 20, job) == {job: 5}
    guesses = card.counter(apart=True)
    card.look(guesses, 20, job)
    card.sampled((4000000, 60))
    card.run(job, 1.0)
    assert card.look(guesses, 30, job) == {job: 6}


async def test_a_job_that_only_uses_a_gpu_is_work_while_it_does(card: Card) -> None:
    """The whole way, at its real pace: a process that sleeps beside another that has the device open, too."""
    job, idle = card.hold("nvidia0"), card.hold("nvidia0")
    clocks = Clocks(clock.monotonic, clock.wall, clock.boottime)
    around, counters = Around(list, list), [card.counter()]
    source = BackgroundSource(ProcessTable(), clocks, around, MARKS, NOT_WORK, 0.2, counters=counters)

    async def look(hundredths: int) -> list[wire.Signal]:
        card.sampled((job, hundredths), (idle, 1))
        source.hurry()
        await asyncio.sleep(1.05)
        await source.sample()
        found = source.collect(clock.monotonic())
        return [s for s in found if s.kind == wire.Kind.BACKGROUND_JOB and s.going_on_for is not None]

    at_rest = [await look(0) for _ in range(3)]
    assert at_rest[-1] == []
    at_work = [await look(60) for _ in range(4)]
    (signal,) = at_work[-1]
    assert (signal.source, signal.label, signal.strength) == ("server", "python", wire.Strength.WEAK)
    afterwards = [await look(0) for _ in range(4)]
    assert afterwards[-1] == []
