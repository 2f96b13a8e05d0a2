"""Laws of shared documents: what changes one is an edit, what says that somebody is there is not."""

from __future__ import annotations

import pytest

from hubcull_server_ext.signals.collaboration import document_kind, is_edit

LONG = bytes(range(1, 200))


@pytest.mark.parametrize(
    "message",
    [
        b"\x00\x02\x04\x01\x01\x05\x00",  # an update that inserts
        b"\x00\x02\x05\x00\x01\x05\x01\x02",  # one that only deletes
        b"\x00\x02\xc7\x01" + LONG,  # one whose length takes two bytes
        b"\x00\x01\x04\x01\x01\x05\x00",  # an answer with what was written without a connection
        b"\x02\x04save",  # a request beside the protocol
        b"\x7d\x01",  # a kind of message nobody told us about
        "text",
    ],
)
def test_what_changes_a_document_is_an_edit(message: str | bytes) -> None:
    """And what is not understood is taken for one."""
    assert is_edit(message)


@pytest.mark.parametrize(
    "message",
    [
        b"\x01\x20" + LONG,  # somebody's cursor, name and colour
        b"\x00\x00\x01\x00",  # the question at the start
        b"\x00\x01\x02\x00\x00",  # the answer of who has nothing new
        b"\x00\x01\x05\x00\x01\x05\x01\x02",  # the same, of a document in which something had been deleted
        b"\x00\x02\x02\x00\x00",  # an update of nothing
        b"",
        "",
    ],
)
def test_what_changes_nothing_is_none(message: str | bytes) -> None:
    assert not is_edit(message)


def test_rooms_are_told_by_kind_only() -> None:
    """Neither a document's id nor a room's own name leaves the server."""
    assert document_kind("json:notebook:0f3c-11") == "notebook"
    assert document_kind("text:file:0f3c-11") == "file"
    assert document_kind("JupyterLab:globalAwareness") == "document"
    assert document_kind("a:../b:c") == "document"
    assert document_kind("") == "document"
