"""Turn a report into evidence: what it proves, what earlier ones still do, what is in doubt."""

from __future__ import annotations

from datetime import datetime

from hubcull_hub.model import Instant, Policy, Received, Signal, SourceFault, SourceRemark
from hubcull_hub.policy import seconds_since
from hubcull_hub.reading import Report, Source, pack
from hubcull_hub.standing import age_carried, carry, still_at_work, weigh
from hubcull_server_ext import wire

STRONG_SOURCES = ("kernels", "terminals", "requests", "foreign")
"""Sources without which idleness is not known; a report that lacks one is in doubt."""

_STRONG = frozenset(STRONG_SOURCES)
_OK, _FAILED, _OFF = wire.Health.OK, wire.Health.FAILED, wire.Health.OFF


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
    faults, weak_faults, remarks = _health(report)
    up = (now.utc - started).total_seconds()
    start_took, carried = _before(report, previous, now, up, bool(faults))
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
        remarks,
    )


def _before(
    report: Report, previous: Received | None, now: Instant, up: float, in_doubt: bool
) -> tuple[float, tuple[Signal, ...]]:
    """Return how long the server's start took (s), and what earlier reports showed that still holds.

    ``up`` is for how long the server has been started (s), ``in_doubt`` whether a strong source failed.
    """
    if previous is None:
        return max(0.0, up - report.uptime), ()
    same_run = previous.boot_id == report.boot_id
    if same_run and not previous.carried and not in_doubt:  # as most are
        return previous.start_took, ()
    elapsed = seconds_since(previous, now)
    if not same_run:
        return previous.start_took, carry(previous, report.uptime, elapsed)
    carried = age_carried(previous, elapsed) if previous.carried else ()
    if in_doubt:
        carried += still_at_work(previous, elapsed)
    return previous.start_took, carried


def continues(previous: Received, report: Report) -> bool:
    """Tell whether a report simply continues the last one; where it does not, its token is checked again.

    A revoked token in other hands shows itself so, and a server whose process began anew costs one check.
    """
    return previous.boot_id == report.boot_id and report.sequence > previous.sequence


def repeats(previous: Received, report: Report) -> bool:
    """Tell whether a report is a repetition, or was overtaken on its way: it must not replace a newer one."""
    return previous.boot_id == report.boot_id and report.sequence <= previous.sequence


_Health = tuple[tuple[SourceFault, ...], tuple[SourceFault, ...], tuple[SourceRemark, ...]]


def _health(report: Report) -> _Health:
    """Return the strong sources that could not be read, the weak ones, and what others remark."""
    named, failed, remarks = set(), [], []
    for source in report.sources:
        named.add(source.name)
        health = source.health
        if health is _OK and source.detail is None:
            continue
        if health is _FAILED:
            failed.append(source)
        elif health is _OFF or (health is _OK and source.detail):
            remarks.append(SourceRemark(source.name, health is _OFF, source.detail or ""))
    if not failed and named >= _STRONG:
        return (), (), tuple(remarks) if remarks else ()
    missing = [n for n in STRONG_SOURCES if n not in named]
    return *_faults(failed, missing, report.uptime), tuple(remarks)


def _faults(
    failed: list[Source], missing: list[str], uptime: float
) -> tuple[tuple[SourceFault, ...], tuple[SourceFault, ...]]:
    """Return the strong sources that could not be read, and the weak ones; a strong one must be named at all.

    One that we do not know is strong unless it says of itself that it is weak: what it does not see then
    would not have condemned anybody either.
    """
    strong = [SourceFault(name, uptime, "not in the report") for name in missing]
    weak: list[SourceFault] = []
    for source in failed:
        is_strong = source.name in _STRONG or source.strength is not wire.Strength.WEAK
        fault = SourceFault(source.name, source.failed_for or 0.0, source.detail or "")
        (strong if is_strong else weak).append(fault)
    return tuple(strong), tuple(weak)
