"""Signals as one text: how those of a report are kept, until the next report takes their place.

A report's signals are looked at when it comes in, and seldom again: some sixty small objects for each server
would only be let go, one by one, when its next report is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import overload

from hubcull_hub.model import Signal


class Packed(Sequence[Signal]):
    """Signals that are read anew whenever somebody looks at them.

    ``json``: an array of them in UTF-8, fit to be stored. ``read`` reads it, which can not fail.
    """

    __slots__ = ("_read", "json")

    def __init__(self, json: bytes, read: Callable[[bytes], tuple[Signal, ...]]) -> None:
        self.json, self._read = json, read

    def __iter__(self) -> Iterator[Signal]:
        """Go through all of them, read once."""
        return iter(self._read(self.json))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._read(self.json))

    @overload
    def __getitem__(self, index: int) -> Signal: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Signal, ...]: ...
    def __getitem__(self, index: int | slice) -> Signal | tuple[Signal, ...]:
        """Return one of them, or some."""
        return self._read(self.json)[index]

    def __eq__(self, other: object) -> bool:
        """Tell whether the other says the same, word by word."""
        return isinstance(other, Packed) and self.json == other.json

    def __hash__(self) -> int:
        """Return the hash of the text."""
        return hash(self.json)
