"""Laws of busy: the execute requests in flight decide, and nothing else a kernel publishes."""

from __future__ import annotations

import pytest

from hubcull_server_ext import wire
from hubcull_server_ext.signals.kernel_messages import DebugEvent, Deletion, KernelMessage
from hubcull_server_ext.signals.kernel_requests import Span
from hubcull_server_ext.signals.kernel_signals import state_signals
from hubcull_server_ext.signals.kernel_state import KernelState


def status(
    state: str, parent: str = "execute_request", parent_id: str = "m1", subshell: str = ""
) -> KernelMessage:
    """Return a status message with the given parent."""
    return KernelMessage("status", parent, parent_id, subshell, state)


def busy_kernel(now: float = 10.0) -> KernelState:
    """Return a kernel whose cell ``m1`` runs since ``now``."""
    state = KernelState()
    state.observe(status("busy"), now)
    return state


def test_cell_is_busy_until_its_own_idle() -> None:
    """A cell is work from its busy to its idle; the span says when it was."""
    state = busy_kernel(10.0)
    assert state.in_flight
    state.observe(status("idle"), 70.0)
    assert not state.in_flight
    assert state.last == Span(10.0, 70.0)


@pytest.mark.parametrize(
    "parent",
    [
        "usage_request",
        "kernel_info_request",
        "comm_msg",
        "comm_info_request",
        "debug_request",
        "complete_request",
    ],
)
def test_other_requests_during_a_cell_change_nothing_about_busy(parent: str) -> None:
    """A side panel, a widget or a completion in mid-cell neither ends nor renews the work."""
    state = busy_kernel(10.0)
    state.observe(status("busy", parent, "m2"), 20.0)
    state.observe(status("idle", parent, "m2"), 21.0)
    assert (list(state.in_flight), state.began) == (["m1"], 10.0)


@pytest.mark.parametrize("dead", ["starting", "restarting", "dead"])
def test_new_process_clears_what_ran_in_the_old_one(dead: str) -> None:
    """A kernel that starts anew runs nothing of what ran before."""
    state = busy_kernel(10.0)
    state.observe(status(dead, "", ""), 15.0)
    assert (state.in_flight, state.last) == ({}, Span(10.0, 15.0))


def test_newer_cell_proves_the_older_one_ended() -> None:
    """The shell runs one request at a time, so a lost idle does not keep a cell for ever."""
    state = busy_kernel(10.0)
    state.observe(status("busy", parent_id="m2"), 20.0)
    state.observe(status("idle", parent_id="m2"), 30.0)
    assert not state.in_flight


def test_subshells_run_beside_the_main_shell() -> None:
    """A cell in a subshell says nothing about one in the main shell."""
    state = busy_kernel(10.0)
    state.observe(status("busy", parent_id="m2", subshell="s"), 20.0)
    state.observe(status("idle", parent_id="m2", subshell="s"), 21.0)
    assert list(state.in_flight) == ["m1"]


def test_kernel_found_busy_is_unconfirmed_until_proved_idle() -> None:
    """On first sight stock busy protects; the end of any cell, or a newer one's, clears it."""
    state = KernelState()
    state.attach("busy", 5.0)
    state.observe(status("idle", "usage_request"), 6.0)
    assert state.in_flight
    state.observe(status("idle", "execute_request", "unseen"), 7.0)
    assert not state.in_flight
    state.attach("idle", 8.0)
    assert not state.in_flight


def test_missed_busy_is_made_good_by_the_echo_of_the_input() -> None:
    """A subscription that comes through a moment late still sees the cell."""
    state = KernelState()
    state.observe(KernelMessage("execute_input", "execute_request", "m1", "", ""), 3.0)
    assert list(state.in_flight) == ["m1"]


def test_output_after_the_cell_is_neither_work_nor_presence() -> None:
    """A thread that prints for ever under the parent of a finished cell keeps nothing alive."""
    state = busy_kernel(10.0)
    state.observe(status("idle"), 11.0)
    changed = state.observe(KernelMessage("stream", "execute_request", "m1", "", ""), 500.0)
    assert (changed, state.in_flight, state.requests["execute_request"]) == (False, {}, 10.0)


def test_cells_in_a_row_are_one_run() -> None:
    """Run all is one piece of work, so its end is that of a long run."""
    state = busy_kernel(0.0)
    state.observe(status("idle"), 100.0)
    state.observe(status("busy", parent_id="m2"), 100.2)
    state.observe(status("idle", parent_id="m2"), 101.0)
    assert state.last == Span(0.0, 101.0)
    state.observe(status("busy", parent_id="m3"), 200.0)
    state.observe(status("idle", parent_id="m3"), 201.0)
    assert state.last == Span(200.0, 201.0)


def test_chatter_is_no_presence_and_unknown_requests_are() -> None:
    """What front ends ask by themselves is nobody; what nobody knows protects by its name."""
    state = KernelState()
    for chatter in ("kernel_info_request", "history_request", "usage_request", "debug_request", ""):
        state.observe(status("busy", chatter), 1.0)
    assert state.requests == {}
    state.observe(status("busy", "teleport_request"), 2.0)
    assert state.requests == {"teleport_request": 2.0}


def test_unknown_request_types_are_bounded() -> None:
    """A kernel that invents types without end costs no memory without end."""
    state = KernelState()
    for i in range(1000):
        state.observe(status("busy", f"t{i}"), float(i))
    assert len(state.requests) == 20
    assert state.requests["t999"] == 999.0


@pytest.mark.parametrize("kind", ["comm_msg", "comm_open", "teleport_request"])
def test_what_a_front_end_makes_a_kernel_do_is_work_until_its_own_idle(kind: str) -> None:
    """A widget's callback computes as a cell does, and so may what nobody knows; both say what they are."""
    state = KernelState()
    state.observe(status("busy", kind, "w"), 10.0)
    state.observe(status("idle", "usage_request", "u"), 20.0)
    assert (list(state.in_flight), state.label) == (["w"], kind)
    state.observe(status("idle", kind, "w"), 70.0)
    assert (state.in_flight, state.last) == ({}, Span(10.0, 70.0))


def test_only_a_cell_proves_that_what_came_before_it_ended() -> None:
    """A widget's message may be handled in the midst of a cell; a new cell may not."""
    state = busy_kernel(10.0)
    state.observe(status("busy", "comm_msg", "w"), 20.0)
    assert (list(state.in_flight), state.label) == (["m1", "w"], "execute_request")
    state.observe(status("busy", parent_id="m2"), 30.0)
    assert list(state.in_flight) == ["m2"]


def test_requests_without_end_cost_no_memory_without_end() -> None:
    """A kernel that never says idle is busy, and no more."""
    state = KernelState()
    for i in range(1000):
        state.observe(status("busy", "comm_msg", str(i)), float(i))
    assert len(state.in_flight) == 100


def signals(state: KernelState, now: float) -> list[tuple[float | None, float | None, float | None]]:
    """Return what a report says of work: going on for, ended ago, lasted."""
    work = [s for s in state_signals("k", state, now) if s.kind == wire.Kind.KERNEL_BUSY]
    return [(s.going_on_for, s.ended_ago, s.lasted) for s in work]


def test_an_old_cell_in_a_subshell_does_not_take_a_new_one_with_it() -> None:
    """One past its cap protects nothing any more; what begins beside it is a piece of work of its own."""
    state = KernelState()
    state.observe(status("busy", "comm_msg", "old", "sub"), 0.0)
    state.observe(status("busy", parent_id="new"), 1000.0)
    assert signals(state, 1100.0) == [(100.0, None, None)]
    assert state.label == "execute_request"
    state.observe(status("idle", parent_id="new"), 1500.0)
    assert signals(state, 1600.0) == [(1600.0, None, None), (None, 100.0, 500.0)]
    assert state.label == "comm_msg"
    state.observe(status("busy", parent_id="next"), 1500.5)
    assert signals(state, 1600.0) == [(600.0, None, None)], "it joins the one before"
    state.observe(status("idle", parent_id="next"), 1700.0)
    state.observe(status("idle", parent_id="old", subshell="sub"), 2000.0)
    assert signals(state, 2001.0) == [(None, 1.0, 2000.0)]
    state.observe(status("busy", parent_id="last"), 2000.5)
    assert signals(state, 2001.5) == [(1.0, None, None)], "on another shell it joins nothing"


def test_a_deleted_subshell_runs_nothing() -> None:
    """What ran in it ends when the kernel has answered that request, and no other."""
    state = KernelState()
    state.observe(status("busy", parent_id="s1", subshell="sub"), 1.0)
    state.observe(status("busy", parent_id="t1", subshell="other"), 1.0)
    state.deletes(Deletion("d", "sub"))
    state.observe(status("busy", "delete_subshell_request", "d"), 5.0)
    state.observe(status("idle", "delete_subshell_request", "another"), 6.0)
    assert list(state.in_flight) == ["s1", "t1"]
    state.observe(status("idle", "delete_subshell_request", "d"), 7.0)
    assert list(state.in_flight) == ["t1"]
    assert (state.ended_beside, state.leaving) == (Span(1.0, 7.0), {})


def test_shell_that_was_free_ends_what_it_had_begun_before() -> None:
    """What began later, or runs in a subshell, is not told by that."""
    state = KernelState()
    state.observe(status("busy", parent_id="s", subshell="sub"), 1.0)
    state.observe(status("busy", "comm_msg", "old"), 2.0)
    state.observe(status("busy", "comm_msg", "new"), 9.0)
    assert state.main_shell_since == 2.0
    assert state.shell_was_free(5.0, 10.0)
    assert list(state.in_flight) == ["s", "new"]


def question(date: str = "2026-01-01T00:00:05.000000Z", parent_id: str = "m1") -> KernelMessage:
    """Return what a cell that calls `input` sends to the page that began it."""
    return KernelMessage("input_request", "execute_request", parent_id, "", "", date)


def output(date: str, parent_id: str = "m1") -> KernelMessage:
    """Return what a cell prints."""
    return KernelMessage("stream", "execute_request", parent_id, "", "", date)


def test_a_cell_that_asks_a_person_is_no_work_until_it_is_answered() -> None:
    """Its question ends the work, its answer begins it anew, and its end ends it; the person counts."""
    state = busy_kernel(10.0)
    assert state.asks(question(), 15.0)
    assert (state.in_flight, state.last, state.free_since) == ({}, Span(10.0, 15.0), 15.0)
    state.answered(500.0)
    assert (list(state.in_flight), state.began, state.free_since) == (["m1"], 500.0, None)
    assert state.requests["input_reply"] == 500.0
    state.observe(status("idle"), 900.0)
    assert (state.in_flight, state.waiting, state.last) == ({}, {}, Span(500.0, 900.0))


def test_only_the_cell_that_asked_waits() -> None:
    """What else is in flight is work as before; a question of a cell that we do not know proves nothing."""
    state = busy_kernel(10.0)
    state.observe(status("busy", parent_id="s1", subshell="s"), 11.0)
    assert not state.asks(question(parent_id="stranger"), 12.0)
    assert state.asks(question(), 13.0)
    assert list(state.in_flight) == ["s1"]
    assert state.ended_beside == Span(10.0, 13.0), "a person is waited for since then"


def test_a_suspected_cell_is_not_believed_to_wait() -> None:
    """A shell that does not answer is taken for busy, whatever somebody was asked before."""
    state = KernelState()
    state.asks(question(parent_id="m0"), 1.0)
    state.suspect(5.0)
    assert state.in_flight
    assert not state.waiting


def test_what_was_printed_before_the_question_changes_nothing_and_what_comes_after_does() -> None:
    """Output and question come on two ways, in any order; the kernel's own dates tell which was first."""
    state = busy_kernel(10.0)
    state.asks(question("2026-01-01T00:00:05.000000Z"), 15.0)
    state.observe(output("2026-01-01T00:00:04.999999Z"), 15.1)
    state.observe(output("2026-01-01T00:00:09.000000Z", parent_id="m0"), 15.2)
    assert not state.in_flight
    state.observe(output("2026-01-01T00:00:05.000001Z"), 15.3)
    assert list(state.in_flight) == ["m1"]


@pytest.mark.parametrize("date", ["", "yesterday", "2026-01-01T00:00:04"])
def test_output_whose_time_can_not_be_told_is_work(date: str) -> None:
    """What is not known to be older counts."""
    state = busy_kernel(10.0)
    state.asks(question(), 15.0)
    state.observe(output(date), 16.0)
    assert state.in_flight


def test_a_question_read_late_does_not_hide_that_the_cell_went_on() -> None:
    """The server keeps questions for a closed page; the cell may have printed since."""
    state = busy_kernel(10.0)
    state.observe(output("2026-01-01T00:00:06.000000Z"), 16.0)
    assert not state.asks(question("2026-01-01T00:00:05.000000Z"), 17.0)
    assert state.in_flight


def test_a_question_that_is_faster_than_the_news_of_its_cell_counts_all_the_same() -> None:
    """It comes by another socket; the cell's begin, heard later, shows whose it was."""
    state = KernelState()
    assert not state.asks(question(), 9.9)
    state.observe(status("busy"), 10.0)
    assert (state.in_flight, list(state.waiting)) == ({}, ["m1"])
    answered = KernelState()
    answered.asks(question(), 9.9)
    answered.answered(9.95)
    answered.observe(status("busy"), 10.0)
    assert answered.in_flight


@pytest.mark.parametrize("parent", ["m2", "m1"])
def test_the_end_of_a_cell_that_waits_counts_as_an_end(parent: str) -> None:
    """Interrupted, or overtaken by a newer cell: nothing waits any more."""
    state = busy_kernel(10.0)
    state.asks(question(), 15.0)
    state.observe(status("busy" if parent == "m2" else "idle", parent_id=parent), 60.0)
    assert not state.waiting
    assert state.last == Span(60.0, 60.0)
    assert list(state.in_flight) == (["m2"] if parent == "m2" else [])


def test_a_kernel_that_waits_on_its_main_shell_is_not_suspected() -> None:
    """Its shell can not answer, for a reason that is known."""
    state = busy_kernel(10.0)
    state.asks(question(), 15.0)
    state.suspect(20.0)
    assert not state.in_flight


def test_a_process_that_may_have_worked_may_have_worked_until_then() -> None:
    """Its death is where idleness begins."""
    state = KernelState()
    state.may_have_worked(30.0)
    assert state.last == Span(30.0, 30.0)
    assert state.free_since == 30.0


def debugger(name: str, number: float, all_threads: bool = True, date: str = "") -> KernelMessage:
    """Return a debugger's word; its parent is the newest request to the debugger, and never a cell."""
    event = DebugEvent(name, all_threads, number)
    return KernelMessage("debug_event", "debug_request", "d1", "", "", date, event)


def halted_kernel(halted_at: float = 20.0, date: str = "2026-01-01T00:00:05Z") -> KernelState:
    """Return a kernel whose cell ``m1`` runs since 10.0 and is halted by debugpy."""
    state = busy_kernel(10.0)
    state.observe(debugger("debugpySockets", 4), 11.0)
    assert state.observe(debugger("stopped", 16, date=date), halted_at)
    return state


def test_a_cell_halted_by_the_debugger_is_no_work_until_it_goes_on() -> None:
    """Its halt ends the work, its going on begins it anew; no person need have acted."""
    state = halted_kernel()
    assert (state.in_flight, state.last, state.free_since) == ({}, Span(10.0, 20.0), 20.0)
    assert state.main_shell_waits
    assert state.observe(debugger("continued", 17), 500.0)
    assert (list(state.in_flight), state.began, state.free_since) == (["m1"], 500.0, None)
    assert state.requests == {"execute_request": 10.0}
    state.observe(status("idle"), 900.0)
    assert (state.in_flight, state.waiting, state.last) == ({}, {}, Span(500.0, 900.0))


@pytest.mark.parametrize("word", ["continued", "terminated", "exited"])
def test_whatever_ends_a_halt_makes_it_work_again(word: str) -> None:
    """One thread that goes on is enough, and so is the end of the debugger: the cell then runs on."""
    state = halted_kernel()
    assert state.observe(debugger(word, 17, all_threads=False), 30.0)
    assert list(state.in_flight) == ["m1"]


def test_each_step_is_work_that_ended() -> None:
    """Somebody who steps through a cell moves the end of its work, also where the step's begin was lost."""
    state = halted_kernel(20.0)
    assert state.observe(debugger("stopped", 18), 400.0)
    assert (state.in_flight, state.last) == ({}, Span(400.0, 400.0))
    assert state.waiting["m1"].since == 400.0


@pytest.mark.parametrize(
    ("said_before", "halt"),
    [
        ([], debugger("stopped", 16)),  # nobody knows whether this debugger says when it goes on
        ([debugger("debugpySockets", 4)], debugger("stopped", 16, all_threads=False)),
        ([debugger("debugpySockets", 4), debugger("continued", 17)], debugger("stopped", 16)),
        ([debugger("debugpySockets", 4)], debugger("thread", 16)),
    ],
)
def test_a_halt_in_doubt_changes_nothing(said_before: list[KernelMessage], halt: KernelMessage) -> None:
    """Of another debugger, of one thread, or one that is over: the cell stays work."""
    state = busy_kernel(10.0)
    for message in said_before:
        state.observe(message, 11.0)
    assert not state.observe(halt, 20.0)
    assert list(state.in_flight) == ["m1"]


def test_the_numbers_of_a_new_debugger_begin_anew() -> None:
    """The next session's first halt is believed, however many events the last one had."""
    state = halted_kernel()
    state.observe(debugger("continued", 99), 21.0)
    state.observe(debugger("terminated", 100), 22.0)
    state.observe(debugger("stopped", 5), 23.0)
    assert list(state.waiting) == ["m1"]


def test_only_what_the_debugger_can_halt_is_halted() -> None:
    """Subshells, requests that nobody knows, and a cell that is only suspected go on."""
    state = KernelState()
    state.suspect(1.0)
    state.observe(status("busy", parent_id="s", subshell="sub"), 2.0)
    state.observe(status("busy", "teleport_request", "t"), 3.0)
    state.observe(status("busy", "comm_msg", "w"), 4.0)
    state.observe(debugger("debugpySockets", 4), 5.0)
    state.observe(debugger("stopped", 16), 6.0)
    assert list(state.waiting) == ["w"]
    assert set(state.in_flight) == {"unconfirmed", "s", "t"}


@pytest.mark.parametrize(("second", "works"), [("04", False), ("09.9", False), ("10.1", True)])
def test_output_long_after_a_halt_is_work_and_what_was_printed_before_is_not(
    second: str, works: bool
) -> None:
    """A kernel publishes it late; what comes later still shows that the cell goes on."""
    state = halted_kernel()
    assert state.observe(output(f"2026-01-01T00:00:{second}+00:00"), 25.0) is works
    assert bool(state.in_flight) is works


def test_an_answer_ends_no_halt_and_a_halt_no_question() -> None:
    """A cell that asks waits for its answer, one that is halted for its debugger."""
    state = halted_kernel()
    state.answered(30.0)
    assert state.waiting["m1"].halted
    asking = busy_kernel(10.0)
    asking.asks(question(), 15.0)
    asking.observe(debugger("debugpySockets", 4), 16.0)
    assert not asking.observe(debugger("stopped", 16), 17.0)
    asking.observe(debugger("continued", 17), 18.0)
    assert not asking.waiting["m1"].halted


def test_the_debugger_of_a_new_process_has_to_show_what_it_is() -> None:
    state = halted_kernel()
    assert state.clear(30.0)
    state.observe(status("busy"), 40.0)
    assert not state.observe(debugger("stopped", 50), 41.0)
    assert state.in_flight


@pytest.mark.parametrize(
    ("kinds", "label"),
    [
        (["execute_request"], "execute_request"),
        (["comm_msg"], "comm_msg"),
        (["execute_request", "comm_msg"], "execute_request"),
        (["teleport_request", "comm_msg"], "comm_msg"),
    ],
)
def test_work_is_named_by_the_request_that_caused_it(kinds: list[str], label: str) -> None:
    """Also when it is over, and a run with a cell in it by the cell; what is only suspected has no name."""
    state = KernelState()
    for number, kind in enumerate(kinds):
        state.observe(status("busy", kind, str(number)), 10.0)
    assert state.label == label
    for number, kind in enumerate(kinds):
        state.observe(status("idle", kind, str(number)), 20.0)
    assert state.last is not None
    assert state.last.label == label
    state.observe(status("busy", "comm_msg", "w"), 20.5)
    state.observe(status("idle", "comm_msg", "w"), 20.6)
    assert state.last.label == ("execute_request" if "execute_request" in kinds else "comm_msg")
    suspected = KernelState()
    suspected.suspect(1.0)
    assert suspected.label is None
