"""Laws of beats: what keeps time is a machine, what does not protects."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubcull_server_ext.signals.beat import Beat, LongPoll


def on_beat(times: list[float]) -> list[bool]:
    """Return for each time whether what came then kept a beat."""
    beat = Beat()
    return [beat.comes(at) for at in times]


@pytest.mark.parametrize("period", [1.0, 4.0, 10.0, 60.0, 600.0])
def test_a_timer_is_known_after_three_of_its_periods(period: float) -> None:
    """Until then it protects, as everything that is not known."""
    assert on_beat([i * period for i in range(8)]) == [False] * 3 + [True] * 5


@settings(deadline=None)
@given(st.lists(st.floats(-0.1, 0.1), min_size=20, max_size=20))
def test_a_timer_on_a_busy_machine_is_still_one(jitter: list[float]) -> None:
    """Of a beat of 5 s, by 100 ms sooner or later."""
    assert all(on_beat([5.0 * i + late for i, late in enumerate(jitter)])[3:])


def test_two_tabs_beside_each_other_are_two_timers() -> None:
    """Their polls alternate with two gaps that have nothing to do with each other."""
    times = sorted([5.0 * i for i in range(12)] + [5.0 * i + 1.3 for i in range(12)])
    assert all(on_beat(times)[8:])


@settings(deadline=None)
@given(st.lists(st.sampled_from([1.0, 2.1, 3.7, 7.5, 13.0, 29.0]), min_size=30, max_size=30))
def test_uneven_gaps_are_mostly_a_person(gaps: list[float]) -> None:
    """Whoever acts at uneven times is seen: no stretch in which the gaps differ is taken for a beat."""
    times = list(accumulate(gaps))
    for i, kept in enumerate(on_beat(times)):
        recent = gaps[max(0, i - 11) : i + 1]
        if kept:
            assert max(recent.count(gap) for gap in recent) >= 3


def test_gaps_that_only_add_up_are_no_two_timers() -> None:
    """Each two of these take about 16 s together, as the polls of two tabs would."""
    assert not any(on_beat(list(accumulate([1.0, 2.1, 13.0, 3.7, 13.0, 3.7, 7.5, 7.5]))))


def test_reading_page_after_page_is_a_person() -> None:
    """Gaps as of somebody who turns pages."""
    gaps = [9.2, 31.0, 14.5, 3.3, 52.1, 22.8, 11.0, 40.2, 6.1, 17.7]
    assert not any(on_beat(list(accumulate(gaps))))


def test_an_act_in_between_is_seen_and_ends_no_beat() -> None:
    """Somebody presses the button that the page presses every ten seconds."""
    beat = Beat()
    for i in range(12):
        beat.comes(10.0 * i)
    assert not beat.comes(113.0)
    assert beat.comes(130.0)
    assert beat.comes(140.0)


def test_a_held_key_is_a_person() -> None:
    """It repeats as regularly as any timer, only faster."""
    assert not any(on_beat([0.033 * i for i in range(60)]))


def test_who_comes_back_is_a_person() -> None:
    """A page that is opened again, or wakes up with its laptop, begins a new beat."""
    beat = Beat()
    for i in range(12):
        beat.comes(10.0 * i)
    assert not beat.comes(1000.0)
    assert [beat.comes(1000.0 + 10.0 * i) for i in (1, 2, 3)] == [False, False, True]


def test_a_beat_that_is_late_is_still_one() -> None:
    """A missed one, too."""
    beat = Beat()
    for i in range(12):
        beat.comes(10.0 * i)
    assert beat.comes(127.0)
    assert beat.comes(147.0)


def test_a_long_poll_is_known_when_it_was_asked_anew_twice() -> None:
    """However irregular its answers are."""
    poll, now, found = LongPoll(), 0.0, []
    for waited in (50.0, 12.0, 31.0, 7.5):
        found.append(poll.answered(now, now + waited))
        now += waited + 0.05
    assert found == [False, False, True, True]


def test_slow_answers_to_a_person_are_no_long_poll() -> None:
    """Who looks at a page before asking for the next one."""
    poll, now = LongPoll(), 0.0
    for looked in (4.0, 2.5, 11.0, 3.0, 8.0):
        assert not poll.answered(now, now + 6.0)
        now += 6.0 + looked
