"""Turn a report into evidence: what it proves, what earlier ones still do, what is in doubt."""

from __future__ import annotations

from datetime import datetime

from hubcull_hub.model import Instant, Policy, Received, Signal, SourceFault
from hubcull_hub.policy import seconds_since
from hubcull_hub.reading import Report, pack
from hubcull_hub.standing import age_carried, carry, still_at_work, weigh
from hubcull_server_ext import wire

STRONG_SOURCES = ("kernels", "terminals", "requests", "foreign")
"""Sources without which idleness is not known; a report that lacks one is in doubt."""

_STRONG, _FAILED = frozenset(STRONG_SOURCES), wire.Health.FAILED


def receive(
    report: Report,
    started: datetime,
    previous: Received | None,
    now: Instant,
    *,
    policy: Policy,
    interval: float,
    heard: float,
    validated: bool,
) -> Received:
    """Return what is kept of a report that has come in, ``previous`` being the last of the same ``started``.

    What it is worth under ``policy`` is found here, while its signals are at hand. The rest is as `Received`
    has it.
    """
    carried: tuple[Signal, ...] = ()
    faults, weak_faults = _faults(report)
    up = (now.utc - started).total_seconds()
    if previous is None:
        start_took = max(0.0, up - report.uptime)
    else:
        start_took = previous.start_took
        elapsed = seconds_since(previous, now)
        same_run = previous.boot_id == report.boot_id
        if not same_run:
            carried = carry(previous, report.uptime, elapsed)
        elif previous.carried:
            carried = age_carried(previous, elapsed)
        if same_run and faults:
            carried += still_at_work(previous, elapsed)
    signals = report.signals
    # By position, in the order of the fields: half the price, for each report.
    return Received(
        started,
        report.boot_id,
        report.sequence,
        report.uptime,
        now.utc,
        now.mono,
        interval,
        heard,
        pack(signals),
        faults,
        carried,
        validated,
        start_took,
        weigh((*signals, *carried) if carried else signals, up - start_took, policy),
        weak_faults,
    )


def continues(previous: Received, report: Report) -> bool:
    """Tell whether a report simply continues the last one; where it does not, its token is checked again.

    A revoked token in other hands shows itself so, and a server whose process began anew costs one check.
    """
    return previous.boot_id == report.boot_id and report.sequence > previous.sequence


def repeats(previous: Received, report: Report) -> bool:
    """Tell whether a report is a repetition, or was overtaken on its way: it must not replace a newer one."""
    return previous.boot_id == report.boot_id and report.sequence <= previous.sequence


def _faults(report: Report) -> tuple[tuple[SourceFault, ...], tuple[SourceFault, ...]]:
    """Return the strong sources that could not be read, and the weak ones; a strong one must be named at all.

    One that we do not know is strong unless it says of itself that it is weak: what it does not see then
    would not have condemned anybody either.
    """
    named, failed = set(), []
    for source in report.sources:
        named.add(source.name)
        if source.health is _FAILED:
            failed.append(source)
    if not failed and named >= _STRONG:
        return (), ()
    strong = [SourceFault(n, report.uptime, "not in the report") for n in STRONG_SOURCES if n not in named]
    weak: list[SourceFault] = []
    for source in failed:
        is_strong = source.name in _STRONG or source.strength is not wire.Strength.WEAK
        fault = SourceFault(source.name, source.failed_for or 0.0, source.detail or "")
        (strong if is_strong else weak).append(fault)
    return tuple(strong), tuple(weak)
