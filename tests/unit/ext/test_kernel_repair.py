"""Laws of repair: a shell is asked only after a flood, and only where nothing speaks or computes."""

from __future__ import annotations

import os

import pytest

from hubcull_server_ext.signals.kernel_repair import Repair, _time_of_child


def flooded(at: float = 10.0, messages: int = 1001) -> Repair:
    """Return what is known after so many messages between two looks."""
    repair = Repair()
    repair.flooded(at - 5.0)
    for _ in range(messages):
        repair.heard(at, tells=True)
    repair.flooded(at)
    return repair


def first_asked(repair: Repair, use: float, until: float = 300.0) -> float | None:
    """Look every 5 s at a kernel with a request since 5.0; return when it is first to be asked."""
    for now in range(15, int(until), 5):
        if repair.considers(5.0, now) and repair.take_use(use * now, now):
            return float(now)
    return None


def test_a_quiet_kernel_is_asked_after_a_flood() -> None:
    """A minute in flight, then half a minute without a word and without computing."""
    assert first_asked(flooded(), use=0.001) == 105.0


def test_a_kernel_that_computes_is_not_asked() -> None:
    """Its cell goes on."""
    assert first_asked(flooded(), use=0.5) is None


def test_without_a_flood_nothing_is_lost() -> None:
    """A kernel that answers questions in mid-cell must not be asked for nothing."""
    assert first_asked(flooded(messages=1000), use=0.0) is None
    assert not flooded(at=10.0).considers(11.0, 500.0)


def test_a_word_begins_the_silence_anew_and_chatter_does_not() -> None:
    """The resource panel's questions are answered for ever."""
    repair = flooded()
    assert repair.considers(5.0, 70.0)
    repair.take_use(0.0, 70.0)
    repair.heard(90.0, tells=True)
    assert not repair.take_use(0.0, 105.0)
    repair.heard(110.0, tells=False)
    assert repair.take_use(0.0, 136.0)
    assert repair.wanted
    repair.heard(140.0, tells=True)
    repair.take_use(0.0, 141.0)
    assert not repair.wanted


def test_unknown_use_is_never_quiet() -> None:
    """A kernel whose process we do not know is left alone."""
    repair = flooded()
    assert not any(repair.take_use(None, float(now)) for now in range(70, 300, 5))


@pytest.mark.parametrize("pid", [None, 1, os.getpid()], ids=["unknown", "another's", "our own"])
def test_only_a_child_of_ours_has_a_use_that_is_known(pid: int | None) -> None:
    """A number from another machine would be some stranger's."""
    assert _time_of_child(pid) is None
