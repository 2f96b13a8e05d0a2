"""Whose use of a GPU it was, told from what the driver says of it; pure.

The driver's numbers of processes are those of the whole machine, of the container, or of both,
as its version has it. So a number is believed only of a process that has the device open.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

COMPUTES = 0.05
"""Share of one device's time from which on a process computes there. One that only keeps memory on it runs
nothing there, which is none; the driver tells whole hundredths, so that less than a few may be a rounding."""
LAUNCHES = 0.01
"""Processor seconds per second from which on a process may be the one that gives a device its work. Idle
ones use up to 0.004."""


class Reading(NamedTuple):
    """What the driver says of one device.

    ``device`` as in ``/dev/nvidia0``; ``used``: shares of its time, by numbers of processes as the driver
    has them. Of a ``whole`` device only its use is known, and who may compute on it: each then has all of it.
    """

    device: int
    used: Mapping[int, float]
    whole: bool = False


class Numbers(Enum):
    """What the driver's numbers of processes are worth."""

    MACHINE = "ours are the machine's, as are the driver's"
    ALONE = "they may be another's, but nobody else is in this server's container"
    SHARED = "they may be another's, and so may the use"


def attribute(reading: Reading, holders: Mapping[int, bool], numbers: Numbers) -> dict[int, float]:
    """Return which of our processes used a device, and what share of its time; none where that is not known.

    Args:
        reading: of the device.
        holders: our processes that have it open, and of each whether it used a processor meanwhile.
        numbers: as they are here.

    """
    ours = reading.used.keys() & holders.keys()
    if ours and not reading.whole:
        return {pid: reading.used[pid] for pid in ours}
    if numbers is Numbers.MACHINE:
        all_ours = reading.whole and reading.used.keys() <= holders.keys()
    else:
        # More than have it open here: somebody else computes on it, too.
        all_ours = numbers is Numbers.ALONE and len(reading.used) <= len(holders)
    if not all_ours or not reading.used:
        return {}
    shares = reading.used.values()
    share = max(shares) if reading.whole else min(1.0, sum(shares))
    return {pid: share for pid, launches in holders.items() if launches}
