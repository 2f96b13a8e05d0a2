"""What an app's answer means: a word or a number, in JSON, as a claim; pure.

It knows the shapes that an operator may configure, and nothing of how an answer was got.
"""

from __future__ import annotations

import json
from datetime import datetime

from hubcull_server_ext.api import Claim, Ended, Presence, Work
from hubcull_server_ext.signals.asking import AnswerError

_LATEST = 1e11
"""Seconds since 1970, in the year 5138: a number above it is in other units."""
_EXPECTED = "true, false, null, seconds since 1970, or a time in ISO 8601 with its zone"


class Meaning:
    """How the answers of one app are taken.

    Args:
        work: whether they tell of work; else of people.

    """

    def __init__(self, work: bool) -> None:
        self._work = work
        self._since: float | None = None

    def claims(self, answer: object, now: float) -> list[Claim]:
        """Return what is claimed by an answer; ``now`` in seconds since 1970.

        Raises:
            AnswerError: for an answer that is none of those expected.

        """
        if answer is None or answer is False:
            self._since = None
            return []
        if answer is True:
            self._since = now if self._since is None else self._since
            return [Work(max(0.0, now - self._since)) if self._work else Presence()]
        self._since = None
        ago = max(0.0, now - _moment(answer))
        return [Ended(ago) if self._work else Presence(ago)]


def value_of(text: bytes) -> object:
    """Read an answer: JSON, or a time without the quotes that JSON wants; empty is null.

    Raises:
        AnswerError: when it is no text.

    """
    try:
        plain = text.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise AnswerError(f"the answer is not text; expected {_EXPECTED}") from None
    try:
        value: object = json.loads(plain) if plain else None
    except (ValueError, RecursionError):
        return plain
    return value


def _moment(answer: object) -> float:
    if isinstance(answer, (int, float)) and 0 <= answer < _LATEST:
        return float(answer)
    if isinstance(answer, str):
        try:
            moment = datetime.fromisoformat(answer.replace("Z", "+00:00"))
        except ValueError:
            moment = None
        if moment is not None and moment.utcoffset() is not None:
            return moment.timestamp()
    raise AnswerError(f"the answer is {type(answer).__name__} that means nothing here; expected {_EXPECTED}")
