"""VS Code's page: frames as code-server 4.100.3 (Code 1.100.3) was seen to get them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubcull_server_ext.signals.app_traffic import SocketTraffic
from hubcull_server_ext.signals.vscode import begins, comes_by_itself, is_extension_host


def message(kind: int, body: bytes = b"", number: int = 58) -> bytes:
    """Return one message as it is on its way."""
    fields = (number, 16 if number else 0, len(body))
    return bytes([kind]) + b"".join(n.to_bytes(4, "big") for n in fields) + body


def to_extensions(name: str, arguments: str = "[]", kind: int = 1) -> bytes:
    """Return a call of the connection for extensions."""
    head = bytes([kind, 0, 0, 0, 0x1D, 0x58, len(name)]) + name.encode()
    return message(1, head + len(arguments).to_bytes(4, "big") + arguments.encode())


def to_server(channel: str, command: str, number: bytes = b"\x43") -> bytes:
    """Return a call of the connection for files and terminals; ``number`` in groups of seven bits."""
    names = b"".join(b"\x01" + bytes([len(name)]) + name.encode() for name in (channel, command))
    return message(1, b"\x04\x04\x06d\x06" + number + names + b"\x04\x02\x06\x01\x06\x05")


FIRST = message(2, b'{"type":"auth","auth":"00000000000000000000","data":""}', number=0)
CONNECTION = message(2, b'{"type":"connectionType","commit":"409c64e0df4d"}', number=0)
RECEIVED, DONE = message(1, b"\x05\0\0\0\x0d"), message(1, b"\x07\0\0\0\x0d")
BY_ITSELF = [
    FIRST,
    CONNECTION,
    message(9),
    RECEIVED + DONE,
    message(9) + to_server("telemetry", "ping"),
    to_server("telemetry", "logTelemetry", b"\x85\x04"),
    to_server("remoteterminal", "$acknowledgeDataEvent"),
    to_server("remoteterminal", "$updateTitle"),
    to_extensions("$onFileEvent", '[{"created":[],"changed":[{"$mid":1}]}]'),
    to_extensions("$onFileEvent") + RECEIVED + DONE,
    to_extensions("$provideDecorations", kind=2),
    to_server("remoteFilesystem", "stat", b"\x96\x04"),
    to_server("remoteFilesystem", "readdir"),
    to_extensions("$onDidTunnelsChange"),
    to_extensions("$onDidChangeWindowActive", "[false]"),
    to_extensions("$onDidChangeWindowFocus", "[false]"),
    to_extensions("$shellExecutionData"),
    to_extensions("$acceptTerminalTitleChange"),
]
BY_PEOPLE = [
    to_extensions("$acceptModelChanged", '[{"changes":["x"]}]'),
    to_extensions("$acceptEditorPropertiesChanged"),
    to_extensions("$executeContributedCommand", kind=2),
    to_extensions("$onDidChangeWindowActive", "[true]"),
    to_extensions("$acceptTerminalInteraction"),
    to_server("remoteterminal", "$input"),
    to_server("remoteterminal", "$resize"),
    to_server("remoteFilesystem", "writeFile"),
    to_server("remoteFilesystem", "readFile"),
    to_server("remoteFilesystem", "readdirs"),
    to_server("notelemetry", "ping"),
    message(1, b"\x09\0\0\0\x0d[1]"),  # a call returns something: what somebody chose, maybe
    message(1, b""),
    message(6),
    message(9, b"x"),
]


@pytest.mark.parametrize("frame", BY_ITSELF)
def test_what_the_page_sends_by_itself(frame: bytes) -> None:
    """Untouched; alone and together."""
    assert comes_by_itself(frame)
    assert comes_by_itself(frame + message(9))


@pytest.mark.parametrize("frame", BY_PEOPLE)
def test_what_people_do(frame: bytes) -> None:
    """Wherever in a frame it is."""
    for beside in BY_ITSELF:
        assert not comes_by_itself(frame + beside)
        assert not comes_by_itself(beside + frame)


@given(frame=st.sampled_from(BY_ITSELF), cut=st.integers(1, 12), rest=st.binary(max_size=40))
def test_what_can_not_be_read_protects(frame: bytes, cut: int, rest: bytes) -> None:
    """No frame makes it fail, and one that lacks its end is nobody's chatter."""
    assert not comes_by_itself(frame[:-cut])
    assert comes_by_itself(rest) in {True, False}


def test_it_is_known_by_its_first_frame_and_by_nothing_else() -> None:
    """Another app's frames may look alike."""
    assert begins(FIRST)
    assert not any(map(begins, [*BY_ITSELF[1:], *BY_PEOPLE, b"", b"RFB 003.008\n"]))
    page, other = SocketTraffic(), SocketTraffic()
    news = to_extensions("$onFileEvent")
    assert not page.act(FIRST, 0.0)
    assert not any(page.act(news, at) for at in (1.0, 1.3, 2.9))
    assert page.act(to_extensions("$acceptModelChanged"), 3.0)
    assert other.act(b"hello", 0.0)
    assert other.act(news, 1.0)


@pytest.mark.parametrize(
    ("command", "is_one"),
    [
        (
            "node --dns-result-order=ipv4first /x/out/bootstrap-fork --type=extensionHost --x=y",
            True,
        ),
        ("/x/node /x/out/bootstrap-fork.js --type=extensionHost", True),
        ("node /x/out/bootstrap-fork --type=fileWatcher", False),
        ("node /x/train.js --type=extensionHost", False),
        ("python bootstrap-fork.py --type=extensionHost", False),
        ("grep -r bootstrap-fork / --type=extensionHost", False),
        ("", False),
    ],
)
def test_the_process_that_runs_extensions_is_known_by_its_command(command: str, is_one: bool) -> None:
    """Others of VS Code's are not it, nor is what has but one of its words."""
    assert is_extension_host([word.encode() for word in command.split(" ")]) is is_one
