"""What another package may tell hubcull: the public interface of a signal.

A package names a function in the entry point group ``hubcull.signals``. It is called once
with the running ``ServerApp``, and returns a function without arguments, ordinary or
``async``, which is then asked every few seconds and returns claims. docs/signals.md has an
example. This module imports nothing but the standard library, and only grows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

GROUP = "hubcull.signals"


@dataclass(frozen=True, slots=True)
class Presence:
    """A person acted ``ago`` seconds before now. ``label`` says how, in a word or two; see `Work`."""

    ago: float = 0.0
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """Something computes, and has for ``going_on_for`` seconds, up to now.

    ``label`` says what, in at most 40 characters without slashes: it leaves the server, so no path, no code
    and no name of a file has a place in it.
    """

    going_on_for: float
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """Work that ended ``ago`` seconds before now, and had lasted ``lasted`` seconds; see `Work`."""

    ago: float
    lasted: float = 0.0
    label: str | None = None


Claim = Presence | Work | Ended
Ask = Callable[[], "Iterable[Claim] | Awaitable[Iterable[Claim]]"]
"""Returns all that is to be said now; nothing means that nobody acted and nothing computes.

An ordinary function runs in a thread of its own, an ``async`` one in the server's loop, which it must not
block. Either has a time limit. If it raises, is late, or returns something else, what it said before goes on
protecting, and the server is held until it answers again.
"""
Plugin = Callable[[Any], Ask]
"""Given the running ServerApp, returns what is to be asked."""
