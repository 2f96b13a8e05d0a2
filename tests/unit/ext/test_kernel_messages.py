"""Laws of reading messages: headers only, and what can not be read is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone

import pytest
from jupyter_server.services.kernels.connection import base

from hubcull_server_ext.signals.kernel_messages import (
    DELIMITER,
    DebugEvent,
    Deletion,
    KernelMessage,
    UnreadableMessageError,
    is_later,
    parse,
    socket_message,
    tells_little,
)

DATE = datetime(2026, 1, 1, tzinfo=timezone.utc).isoformat()
HEADER = {"msg_type": "input_request", "msg_id": "q1", "date": DATE}
PARENT = {"msg_type": "execute_request", "msg_id": "m1"}
STDIN = frozenset({"stdin"})
EXPECTED = ("stdin", KernelMessage("input_request", "execute_request", "m1", "", "", DATE))


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
    assert parse(frames({"msg_type": "status"}, parent, {"execution_state": "busy"})) == KernelMessage(
        "status", "execute_request", "m1", "", "busy"
    )
    output = frames({"msg_type": "stream"}, parent)
    output[-1] = b"\xff not json"
    assert parse(output).msg_type == "stream"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {"event": "stopped", "seq": 16, "body": {"allThreadsStopped": True, "threadId": 1}},
            DebugEvent("stopped", True, 16.0),
        ),
        ({"event": "stopped", "seq": 16, "body": {"threadId": 1}}, DebugEvent("stopped", False, 16.0)),
        ({"event": "terminated"}, DebugEvent("terminated")),
        ({"seq": "x", "body": ["allThreadsStopped"]}, DebugEvent("")),
    ],
)
def test_of_a_debuggers_event_its_word_is_read_and_whom_it_is_about(
    content: dict[str, object], expected: DebugEvent
) -> None:
    """Neither where it halted nor anything it shows."""
    parent = {"msg_type": "debug_request", "msg_id": "d1"}
    message = parse(frames({"msg_type": "debug_event", "date": DATE}, parent, content))
    assert message == KernelMessage("debug_event", "debug_request", "d1", "", "", DATE, expected)


@pytest.mark.parametrize(
    ("kind", "telling"),
    [("status", 1), ("execute_input", 1), ("debug_event", 1), ("st\\u0061tus", 1), ("stream", 0)],
)
def test_what_tells_something_is_never_left_unread(kind: str, telling: bool) -> None:
    assert tells_little(f'{{"msg_type": "{kind}"}}'.encode()) is not bool(telling)


@pytest.mark.parametrize(
    "bad", [[], [b"x"], [DELIMITER, b"s", b"{}", b"{}"], [DELIMITER, b"s", b"\x81", b"\x80"]]
)
def test_unreadable_message_says_so(bad: list[bytes]) -> None:
    """Another packing than JSON is an error that a source can report, not silence."""
    with pytest.raises(UnreadableMessageError):
        parse(bad)


def binary(channel: str, *parts: object) -> bytes:
    """Return a message as jupyter_server writes it in the binary protocol."""
    write: Callable[..., bytes] = base.serialize_msg_to_ws_v1
    return write([json.dumps(part).encode() for part in parts], channel)


def plain(channel: str, content: object) -> str:
    """Return a message as jupyter_server writes it in JSON."""
    return json.dumps({"header": HEADER, "parent_header": PARENT, "content": content, "channel": channel})


def test_a_question_is_read_in_both_forms() -> None:
    """As jupyter_server writes them itself."""
    assert socket_message(binary("stdin", HEADER, PARENT, {}, {"prompt": "secret"}), True, STDIN) == EXPECTED
    assert socket_message(plain("stdin", {"prompt": "secret"}), False, STDIN) == EXPECTED


@pytest.mark.parametrize("frame", [binary("iopub", HEADER, PARENT, {}, {"text": '"stdin"'}), "text", None])
def test_other_channels_in_binary_are_left_alone(frame: object) -> None:
    """Their parts are not even looked at."""
    assert socket_message(frame, True, STDIN) is None


@pytest.mark.parametrize(
    "frame", [plain("iopub", {"text": '"stdin"'}), plain("iopub", {"a": "stdin"}), b"\x00\x00", {"a": 1}]
)
def test_other_channels_in_json_are_left_alone(frame: object) -> None:
    """Also those that say the word."""
    assert socket_message(frame, False, STDIN) is None


@pytest.mark.parametrize(
    ("frame", "v1"),
    [(binary("stdin", HEADER), True), ('{"channel": "stdin"}', False), ('"stdin" {', False)],
)
def test_a_message_on_that_channel_that_can_not_be_read_says_so(frame: object, v1: bool) -> None:
    """An error that a source can report."""
    with pytest.raises(UnreadableMessageError):
        socket_message(frame, v1, STDIN)


@pytest.mark.parametrize("v1", [True, False])
def test_of_a_request_to_delete_a_subshell_it_is_read_which(v1: bool) -> None:
    """In both forms, as a page sends it."""
    header, content = {**HEADER, "msg_type": "delete_subshell_request"}, {"subshell_id": "s"}
    body = {"header": header, "parent_header": {}, "content": content, "channel": "control"}
    frame = binary("control", header, {}, {}, content) if v1 else json.dumps(body)
    found = socket_message(frame, v1, frozenset({"stdin", "control"}))
    assert found is not None
    assert found[1].deletion == Deletion(str(header["msg_id"]), "s")


def test_dates_are_compared_as_times() -> None:
    """In whichever zone; what can not be compared counts as later."""
    assert is_later("2026-01-01T00:00:01+00:00", "2026-01-01T00:00:00Z")
    assert not is_later("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000Z")
    assert not is_later("2026-01-01T01:00:00+02:00", "2026-01-01T00:00:00Z")
    assert is_later("", "2026-01-01T00:00:00Z")
    assert is_later("2026-01-01T00:00:05.1Z", "2026-01-01T00:00:00Z", by=5)
    assert not is_later("2026-01-01T00:00:04.9Z", "2026-01-01T00:00:00Z", by=5)


@pytest.mark.parametrize("v1", [True, False])
def test_of_a_status_the_state_is_read_on_any_channel_that_matters(v1: bool) -> None:
    """And of nothing else the content, but for a debugger's word."""
    header, content = {**HEADER, "msg_type": "status"}, {"execution_state": "busy"}
    body = {"header": header, "parent_header": PARENT, "content": content, "channel": "iopub"}
    frame = binary("iopub", header, PARENT, {}, content) if v1 else json.dumps(body)
    expected = KernelMessage("status", "execute_request", "m1", "", "busy", DATE)
    assert socket_message(frame, v1, frozenset({"stdin", "iopub"})) == ("iopub", expected)
