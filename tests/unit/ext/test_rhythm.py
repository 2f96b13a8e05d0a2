"""Laws of rhythm: only a timer keeps the same distance for a minute; whatever breaks it is a person's."""

from __future__ import annotations

import itertools
import random

import pytest

from hubcull_server_ext.signals.rhythm import Rhythms


def heard(times: list[float]) -> list[bool]:
    """Return of each request whether it was taken for a timer's."""
    rhythms = Rhythms()
    return [rhythms.beats("key", time) for time in times]


def timer(period: float, count: int, jitter: float = 0.0, start: float = 0.0) -> list[float]:
    """Return when a page's timer fires, a little late each time."""
    noise = random.Random(7)  # noqa: S311 - the same each time
    gaps = (period + noise.uniform(0, jitter) for _ in range(count))
    return list(itertools.accumulate(gaps, initial=start))


@pytest.mark.parametrize("period", [1.0, 3.0, 5.0, 10.0, 60.0, 300.0])
def test_a_timer_is_known_after_a_minute_and_a_dozen_beats(period: float) -> None:
    """From there on each of its requests is the page's own."""
    answers = heard(timer(period, 100, jitter=0.05 * period))
    first = answers.index(True)
    assert first >= 12
    assert first <= max(13, 60 / period + 2)
    assert all(answers[first:])


def test_two_tabs_are_two_timers_of_one_kind() -> None:
    """One between the other, at whatever distance."""
    times = sorted([*timer(10.0, 60), *timer(10.0, 60, start=3.3)])
    answers = heard(times)
    assert answers.index(True) <= 30
    assert all(answers[30:])


def test_whoever_comes_in_between_is_a_person() -> None:
    """And so is everything until the rhythm is back, for a timer can not be told from somebody who clicks."""
    times = timer(10.0, 30)
    answers = heard([*times, times[-1] + 4.0, *timer(10.0, 30, start=times[-1] + 10.0)])
    assert answers[30]
    assert not answers[31]
    assert not answers[32]
    assert answers[-1]


@pytest.mark.parametrize("seed", range(20))
def test_people_keep_no_rhythm(seed: int) -> None:
    """Neither clicking now and then, nor typing in a page that sends what is typed once a second at most."""
    noise = random.Random(seed)  # noqa: S311 - the same each time
    clicks = list(itertools.accumulate(noise.uniform(0.5, 20) for _ in range(300)))
    assert not any(heard(clicks))
    typing = list(itertools.accumulate(1.0 + noise.expovariate(1.0) for _ in range(300)))
    assert not any(heard(typing))


def test_a_storm_is_no_timer() -> None:
    """Requests that come many times a second, as while somebody drags a slider."""
    assert not any(heard([0.1 * i for i in range(2000)]))


def test_different_requests_are_different_rhythms_and_memory_has_an_end() -> None:
    """What asks for something else says nothing, and of very many only the newest are remembered."""
    rhythms = Rhythms()
    for i in range(20):
        assert not rhythms.beats(i % 2, 30.0 * i + (i % 2) * i)
    for i in range(1000):
        rhythms.beats(i, 1000.0)
    assert len(rhythms._times) == 200
