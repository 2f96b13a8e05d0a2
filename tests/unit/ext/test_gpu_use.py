"""Laws of whose use of a GPU it was: what can not be told is nobody's, and what is another's never ours."""

from __future__ import annotations

import pytest

from hubcull_server_ext.signals.gpu_use import Numbers, Reading, attribute

OURS = {10: True, 20: False}
"""Two processes that have the device open; the second did not use a processor."""


@pytest.mark.parametrize("numbers", list(Numbers))
def test_a_number_counts_for_the_process_that_has_it_and_the_device(numbers: Numbers) -> None:
    """However much it used a processor: that the driver names it is enough, and others are left out."""
    assert attribute(Reading(0, {20: 0.4, 99: 0.5}), OURS, numbers) == {20: 0.4}
    assert attribute(Reading(0, {20: 0.4}), {10: True}, Numbers.SHARED) == {}


def test_on_the_machine_itself_numbers_that_are_not_ours_are_anothers() -> None:
    """There nothing has to be guessed."""
    assert attribute(Reading(0, {99: 0.5}), OURS, Numbers.MACHINE) == {}
    assert attribute(Reading(0, {10: 0.5}), OURS, Numbers.MACHINE) == {10: 0.5}


def test_in_a_container_of_its_own_a_strangers_number_is_one_of_ours_that_ran() -> None:
    """The driver has the machine's numbers there; one that only keeps memory on a device gives it no work."""
    assert attribute(Reading(0, {31337: 0.5}), OURS, Numbers.ALONE) == {10: 0.5}
    assert attribute(Reading(0, {31337: 0.5, 31338: 0.7}), {10: True, 20: True}, Numbers.ALONE) == {
        10: 1.0,
        20: 1.0,
    }
    assert attribute(Reading(0, {31337: 0.5}), {20: False}, Numbers.ALONE) == {}


@pytest.mark.parametrize("whole", [False, True])
def test_more_than_have_the_device_open_here_are_others_too(whole: bool) -> None:
    """Then whose use it is can not be told; nor where others share the container."""
    three = Reading(0, {31337: 0.5, 31338: 0.5, 31339: 0.5}, whole)
    two = Reading(0, {31337: 0.5, 31338: 0.5}, whole)
    assert attribute(two, OURS, Numbers.ALONE).keys() == {10}
    assert attribute(three, OURS, Numbers.ALONE) == {}
    assert attribute(two, OURS, Numbers.SHARED) == {}


def test_use_of_a_whole_device_is_ours_if_nobody_else_can_compute_on_it() -> None:
    """And then it is that of who ran."""
    both = Reading(0, {10: 0.3, 20: 0.3}, whole=True)
    assert attribute(both, OURS, Numbers.MACHINE) == {10: 0.3}
    assert attribute(both, OURS, Numbers.ALONE) == {10: 0.3}
    assert attribute(both, OURS, Numbers.SHARED) == {}
    assert attribute(Reading(0, {10: 0.3, 99: 0.3}, whole=True), OURS, Numbers.MACHINE) == {}


def test_a_device_that_did_nothing_keeps_nobody() -> None:
    """Whoever has it open."""
    for numbers in Numbers:
        assert (
            attribute(Reading(0, {}), OURS, numbers)
            == attribute(Reading(0, {}, whole=True), OURS, numbers)
            == {}
        )
