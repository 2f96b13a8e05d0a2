"""Laws of busy: the execute requests in flight decide, and nothing else a kernel publishes."""

from __future__ import annotations

import json

import pytest

from hubcull_server_ext.signals.kernel_state import (
    DELIMITER,
    KernelMessage,
    KernelState,
    Span,
    UnreadableMessageError,
    parse,
)


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


def frames(header: object, parent: object, content: object = None) -> list[bytes]:
    """Return a message in the protocol's frames."""
    return [
        b"topic",
        DELIMITER,
        b"sig",
        *(json.dumps(part).encode() for part in (header, parent, {}, content)),
    ]


def test_parse_reads_headers_and_state_only() -> None:
    """Of a status the state is read; of any other message its content is not even looked at."""
    parent = {"msg_type": "execute_request", "msg_id": "m1", "subshell_id": None}
    assert parse(frames({"msg_type": "status"}, parent, {"execution_state": "busy"})) == status("busy")
    output = frames({"msg_type": "stream"}, parent)
    output[-1] = b"\xff not json"
    assert parse(output).msg_type == "stream"


@pytest.mark.parametrize(
    "bad", [[], [b"x"], [DELIMITER, b"s", b"{}", b"{}"], [DELIMITER, b"s", b"\x81", b"\x80"]]
)
def test_unreadable_message_says_so(bad: list[bytes]) -> None:
    """Another packing than JSON is an error that a source can report, not silence."""
    with pytest.raises(UnreadableMessageError):
        parse(bad)


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
    assert (list(state.in_flight), state.label) == (["m1", "w"], None)
    state.observe(status("busy", parent_id="m2"), 30.0)
    assert list(state.in_flight) == ["m2"]


def test_requests_without_end_cost_no_memory_without_end() -> None:
    """A kernel that never says idle is busy, and no more."""
    state = KernelState()
    for i in range(1000):
        state.observe(status("busy", "comm_msg", str(i)), float(i))
    assert len(state.in_flight) == 100


def test_shell_that_was_free_ends_what_it_had_begun_before() -> None:
    """What began later, or runs in a subshell, is not told by that."""
    state = KernelState()
    state.observe(status("busy", parent_id="s", subshell="sub"), 1.0)
    state.observe(status("busy", "comm_msg", "old"), 2.0)
    state.observe(status("busy", "comm_msg", "new"), 9.0)
    assert state.main_shell_since == 2.0
    assert state.shell_was_free(5.0, 10.0)
    assert list(state.in_flight) == ["s", "new"]
