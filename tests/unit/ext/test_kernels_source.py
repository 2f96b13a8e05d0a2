"""Laws of finding kernels: doubt about one is said, and hides no other."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from hubcull_server_ext import wire
from hubcull_server_ext.signals.kernel_messages import KernelMessage
from hubcull_server_ext.signals.kernel_requests import Span
from hubcull_server_ext.signals.kernel_state import KernelState
from hubcull_server_ext.signals.kernel_watched import Questions, Watched
from hubcull_server_ext.signals.kernels import KernelsSource
from hubcull_server_ext.snapshot import SourceError


class FakeKernel:
    """A kernel whose ports are not open, or that can not be connected to."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self.execution_state = "idle"
        self.provisioner = SimpleNamespace(pid=None)

    def connect_iopub(self) -> object:
        """Fail as a kernel without a local socket does."""
        raise ConnectionError("/secret/path")


class FakeManagers:
    """Kernel managers that hold what they are told."""

    def __init__(self, kernels: dict[str, FakeKernel]) -> None:
        self.kernels = kernels

    def list_kernel_ids(self) -> list[str]:
        """Return the ids."""
        return list(self.kernels)

    def get_kernel(self, kernel_id: str) -> FakeKernel:
        """Return a kernel."""
        return self.kernels[kernel_id]

    def kernel_model(self, kernel_id: str) -> Any:
        """Return a model without a number of connections."""
        return {"id": kernel_id}


class Time:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_kernel_that_can_not_be_connected_to_is_doubt() -> None:
    """The report says so by the exception's class, and never by its text."""
    source = KernelsSource(FakeManagers({"a": FakeKernel([5])}), None, Time())
    source.start()
    with pytest.raises(SourceError, match="ConnectionError") as failure:
        source.collect(100.0)
    assert "secret" not in str(failure.value)


def test_kernel_without_ports_is_doubt_only_after_a_while() -> None:
    """A kernel that still starts is given time."""
    time = Time()
    source = KernelsSource(FakeManagers({"a": FakeKernel([])}), None, time)
    source.start()
    assert source.collect(110.0) == []
    with pytest.raises(SourceError, match="no ports"):
        source.collect(120.0)


class Starting(FakeKernel):
    """A kernel that was begun, whose ports are open, and that has not said a word."""

    def __init__(self, owned: bool = True, state: str = "starting") -> None:
        super().__init__([5])
        self.owns_kernel, self.execution_state = owned, state


def begun(kernel: Starting, time: Time, limit: float = 60.0) -> KernelsSource:
    """Return a source that has attached to it, and whose questions stay unanswered."""
    source = KernelsSource(FakeManagers({"a": kernel}), None, time, start_limit=limit)
    watched = source._watched.setdefault("a", Watched(first_seen=time.now))
    watched.stream, watched.manager = object(), kernel  # type: ignore[assignment]
    return source


def test_a_kernel_that_never_said_anything_is_doubt_until_its_start_took_too_long() -> None:
    """Then it has nothing in flight, and what its process uses is its own."""
    time = Time()
    source = begun(Starting(), time)
    time.now += 59.0
    with pytest.raises(SourceError, match="not answered yet"):
        source.collect(time.now)
    assert source.free_since("a") is None
    time.now += 1.0
    assert source.collect(time.now) == []
    assert source.free_since("a") == 160.0


def test_the_next_process_of_a_stuck_kernel_has_its_own_time_to_start() -> None:
    """Somebody restarted it, or the server did."""
    time = Time()
    source = begun(Starting(), time)
    time.now += 100.0
    source._watched["a"].lose(time.now)
    time.now += 59.0
    with pytest.raises(SourceError, match="not answered yet"):
        source.collect(time.now)
    assert source.free_since("a") is None


@pytest.mark.parametrize(
    ("kernel", "limit"),
    [
        (Starting(owned=False), 60.0),
        (Starting(state="idle"), 60.0),
        (Starting(state="busy"), 60.0),
        (Starting(), 0.0),
    ],
    ids=["not ours", "heard idle by others", "heard busy by others", "no limit"],
)
def test_a_kernel_that_may_only_be_unheard_stays_in_doubt(kernel: Starting, limit: float) -> None:
    """It may have been in mid-cell when we came."""
    time = Time()
    source = begun(kernel, time, limit)
    time.now += 1e6
    with pytest.raises(SourceError, match="not answered yet"):
        source.collect(time.now)
    assert source.free_since("a") is None


class Answered:
    """A question that was answered on the shell."""

    answered = True

    def close(self) -> None:
        """Do nothing."""


def test_a_kernel_that_answers_and_is_not_heard_stays_in_doubt() -> None:
    """It may run cells whose beginning we do not hear; its next process is another matter."""
    time = Time()
    source = begun(Starting(), time)
    probe = source._watched["a"].probe
    probe._question = Answered()  # type: ignore[assignment]
    time.now += 1e6
    with pytest.raises(SourceError, match="not answered yet"):
        source.collect(time.now)
    probe._drop()
    assert source.free_since("a") is None
    source._watched["a"].lose(time.now)
    assert not probe.answered


def test_a_kernel_that_was_heard_and_answers_no_more_stays_in_doubt() -> None:
    """Its start has an end, and what it does now is not known."""
    time = Time()
    source = begun(Starting(), time)
    source._watched["a"].probe.first_heard = 101.0
    time.now += 1e6
    with pytest.raises(SourceError, match="not answered yet"):
        source.collect(time.now)


def test_departed_kernels_leave_the_newest_end_and_request() -> None:
    """However many kernels come and go, one end of work and one request remain, the newest."""
    managers = FakeManagers({})
    time = Time()
    source = KernelsSource(managers, None, time)
    for name, end in (("aaaaaaaaa", 50.0), ("bbbbbbbbb", 90.0), ("ccccccccc", 70.0)):
        managers.kernels[name] = FakeKernel([])
        source.reconcile()
        source._watched[name].state = KernelState(
            last=Span(end - 10.0, end), requests={"execute_request": end - 10.0}
        )
        del managers.kernels[name]
        source.reconcile()
    busy, request = source.collect(100.0)
    assert (busy.source, busy.ended_ago, busy.lasted) == ("kernel:bbbbbbbb", 10.0, 10.0)
    assert (request.kind, request.age) == (wire.Kind.KERNEL_REQUEST, 20.0)


def told(source: KernelsSource, name: str, proven: bool) -> KernelState:
    """Return what is known of a kernel that is heard, or not yet."""
    watched = source._watched[name]
    watched.stream = object()  # type: ignore[assignment]  # it is closed by nobody here
    watched.probe.proven = proven
    return watched.state


@pytest.mark.parametrize("proven", [True, False])
def test_a_death_counts_once_and_only_where_silence_is_not_proven(proven: bool) -> None:
    """The restarter tells of it, and then the restart is announced; neither makes an idle kernel active."""
    time = Time()
    source = KernelsSource(FakeManagers({"a": FakeKernel([])}), None, time)
    source.start()
    state = told(source, "a", proven)
    watched = source._watched["a"]
    source._on_death_told(watched)
    time.now = 103.0
    source._on_process_lost(watched)
    assert state.last == (None if proven else Span(100.0, 100.0))
    time.now = 110.0
    source._on_process_lost(watched)
    assert state.last == Span(110.0, 110.0), "the next process was not heard, either"


def test_another_process_counts_once_whoever_tells_of_it_first() -> None:
    """Ourselves at a look, or the server that announces the restart; and the number alone tells no more."""
    time, kernel = Time(), FakeKernel([])
    kernel.provisioner = SimpleNamespace(pid=7)
    source = KernelsSource(FakeManagers({"a": kernel}), None, time)
    source.start()
    state = told(source, "a", proven=True)
    watched = source._watched["a"]
    watched.manager = kernel

    def restart(pid: int, *, seen_before: bool) -> None:
        time.now += 10.0
        kernel.provisioner.pid = pid
        if seen_before:
            source.reconcile()
            assert not watched.probe.proven
        asyncio.run(source._on_action(None, "", {"status": "success", "kernel_id": "a", "action": "restart"}))

    source.reconcile()
    assert watched.probe.proven, "the same process"
    restart(8, seen_before=True)
    assert (watched.replaced, state.last) == (110.0, None), "it was known to be silent"
    watched.probe.proven = True
    restart(9, seen_before=False)
    assert (watched.replaced, state.last) == (120.0, None)
    source.reconcile()
    kernel.provisioner.pid = None
    source.reconcile()
    kernel.provisioner.pid = 9
    source.reconcile()
    assert (watched.replaced, state.last) == (120.0, None), "for a moment nobody said"
    restart(10, seen_before=True)
    assert state.last == Span(130.0, 130.0), "the process before was not heard"


def test_what_was_heard_of_a_process_before_its_number_was_seen_goes_on() -> None:
    """It said that it starts: what is in flight is its own. Else it may have been the last one's."""
    watched = Watched()
    for heard_to_start, before, pid in ((False, 7, 8), (True, 8, 9)):
        watched.probe.proven = True
        watched.notice(before, 100.0)
        if heard_to_start:
            watched.state.observe(KernelMessage("status", "", "", "", "starting"), 101.0)
        watched.state.observe(KernelMessage("status", "execute_request", "m", "", "busy"), 102.0)
        assert watched.notice(pid, 105.0) is not heard_to_start
        assert list(watched.state.in_flight) == (["m"] if heard_to_start else [])
        assert not watched.probe.proven


def test_a_shut_down_kernel_that_was_silent_leaves_nothing() -> None:
    """Culled by the server itself, say: first announced, then gone."""
    managers = FakeManagers({"a": FakeKernel([])})
    source = KernelsSource(managers, None, Time())
    source.start()
    told(source, "a", proven=True)
    watched = source._watched["a"]
    source._on_process_lost(watched, more_follows=True)
    watched.lose(120.0)
    assert watched.state.last is None


def test_questions_kept_for_a_closed_page_are_read_once() -> None:
    """Each message on stdin, none of another channel, and a new list from its begin."""
    questions = Questions()
    kept = [("iopub", [b"x"]), ("stdin", [b"1"])]
    assert list(questions.new(kept)) == [[b"1"]]
    kept.append(("stdin", [b"2"]))
    assert list(questions.new(kept)) == [[b"2"]]
    assert list(questions.new(kept)) == []
    assert list(questions.new(None)) == []
    assert list(questions.new([("stdin", [b"3"])])) == [[b"3"]]
