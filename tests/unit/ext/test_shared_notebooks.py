"""Laws of shared notebooks: what a kernel causes is written at places of its own; all else is a person's."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tornado.web import RequestHandler

from hubcull_server_ext.signals.shared_notebooks import Cells, cells_of, is_a_persons


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ([], []),  # a cell is put in, moved or taken out
        ([2, "source"], []),
        ([2], ["source"]),
        ([2], ["cell_type", "outputs"]),
        ([2], []),
        ([2, "metadata"], ["tags"]),
        ([2, "metadata"], []),
        ([2, "metadata", "tags"], []),
        ([2, "attachments"], ["a.png"]),
        ([2, "something new"], []),
    ],
)
def test_what_people_change_is_theirs_and_so_is_what_nobody_knows(
    path: list[object], names: list[str]
) -> None:
    assert is_a_persons(path, names)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ([2, "outputs"], []),
        ([2, "outputs", 0, "text"], []),
        ([2], ["outputs"]),
        ([2], ["execution_count", "execution_state"]),
        ([2, "metadata"], ["execution"]),
        ([2, "metadata", "execution"], ["iopub.status.busy"]),
    ],
)
def test_what_a_kernel_causes_is_nobodys(path: list[object], names: list[str]) -> None:
    assert not is_a_persons(path, names)


class Array:
    """A list of cells as its library has it."""

    def __init__(self) -> None:
        self.observers: list[Callable[[Any], None]] = []

    def observe_deep(self, observer: Callable[[Any], None]) -> None:
        """Have it called at each change."""
        self.observers.append(observer)


def test_the_notebook_of_a_room_is_watched_once_and_what_can_not_be_told_is_somebodys() -> None:
    """However many pages are in it."""
    array, told = Array(), []
    room = SimpleNamespace(ydoc={"cells": array})
    handlers = [cast("RequestHandler", SimpleNamespace(room=room)) for _ in range(2)]
    first, second = (cells_of(handler) for handler in handlers)
    assert isinstance(first, Cells)
    assert second is first
    first.call(lambda: told.append(1))
    (observer,) = array.observers
    observer([SimpleNamespace(path=[0, "outputs"])])
    assert told == []
    observer([SimpleNamespace(path=[0, "outputs"]), SimpleNamespace(path=[0, "source"])])
    observer([SimpleNamespace()])  # it has no path
    assert told == [1, 1]


@pytest.mark.parametrize(
    "handler", [SimpleNamespace(), SimpleNamespace(room=None), SimpleNamespace(room=SimpleNamespace(ydoc={}))]
)
def test_a_room_that_is_made_otherwise_is_not_looked_into(handler: object) -> None:
    assert cells_of(cast("RequestHandler", handler)) is None
