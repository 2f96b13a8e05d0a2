"""Laws of saves: what a person wrote counts, what a kernel or a front end put in does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hubcull_server_ext.signals.saves import Saves


def notebook(source: str = "1", **changes: Any) -> bytes:
    """Return the body of a notebook's save; ``changes`` are of its one cell."""
    cell = {
        "cell_type": "code",
        "source": source,
        "outputs": [],
        "execution_count": None,
        "metadata": {},
        **changes,
    }
    content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps({"type": "notebook", "format": "json", "content": content}).encode()


OUTPUT = {"outputs": [{"output_type": "stream", "text": "x"}], "execution_count": 3}


@pytest.mark.parametrize(
    ("one", "other", "changed"),
    [
        (notebook("1"), notebook("1"), False),
        (notebook("1"), notebook("2"), True),
        (notebook("1"), notebook("1", **OUTPUT), False),
        (notebook("1"), notebook("1", metadata={"execution": {"iopub.status.busy": "t"}}), False),
        (notebook("1"), notebook("1", metadata={"tags": ["mine"]}), True),
        (notebook("1"), notebook("1", cell_type="markdown"), True),
        (b'{"type": "file", "content": "a"}', b'{"type": "file", "content": "a"}', False),
        (b'{"type": "file", "content": "a"}', b'{"type": "file", "content": "b"}', True),
        (b"no json", b"no json at all", True),
        (b'{"type": "notebook"}', b'{"type": "notebook", "content": 1}', True),
        (notebook("x" * (5 << 20)), notebook("x" * (5 << 20), **OUTPUT), True),
    ],
)
def test_only_what_a_person_writes_is_a_change(one: bytes, other: bytes, changed: bool) -> None:
    """What is too large to be read counts, whatever has changed in it."""
    saves = Saves()
    assert saves.changed("a.ipynb", one)
    assert saves.changed("a.ipynb", other) is changed


def test_documents_are_told_apart_and_memory_has_an_end() -> None:
    """Of more than 200 the oldest is new again; no name is kept."""
    saves = Saves()
    assert saves.changed("secret.txt", b"x")
    assert saves.changed("b.txt", b"x")
    assert not saves.changed("secret.txt", b"x")
    assert "secret" not in str(vars(saves))
    for i in range(200):
        saves.changed(str(i), b"x")
    assert saves.changed("secret.txt", b"x")
