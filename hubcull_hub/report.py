"""What one cycle saw, decided and began, and its one line in the log. Pure; log, API and CLI read this."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hubcull_hub.model import Action, CullPlan, Instant, Outcome, Reason, Verdict
from hubcull_hub.users import UserReport


@dataclass(frozen=True, slots=True)
class CycleReport:
    """One cycle: every verdict, the plan, and the outcomes that came in since the cycle before.

    ``reporting`` and ``without_extension`` count servers. ``users`` is None where users are left alone.
    """

    number: int
    at: Instant
    verdicts: tuple[Verdict, ...]
    plan: CullPlan
    outcomes: tuple[Outcome, ...]
    reporting: int
    without_extension: int
    listed_now: bool
    problems: tuple[str, ...] = field(default=())
    users: UserReport | None = None


def summary(report: CycleReport) -> str:
    """Return the cycle's one log line."""
    held = Counter(v.reason.value for v in report.verdicts if v.action is Action.HOLD)
    results = Counter(o.result.value for o in report.outcomes)
    deferred = Counter(why.value for _, why in report.plan.deferred)
    parts = [
        f"cycle={report.number}",
        f"listed={len(report.verdicts)}",
        f"reporting={report.reporting}",
        f"without_extension={report.without_extension}",
        f"held={_counts(held)}",
        f"stopping={len(report.plan.stop)}",
        f"deferred={_counts(deferred)}",
        f"hook_failed={sum(v.reason is Reason.HOOK_FAILED for v in report.verdicts)}",
        f"since_last={_counts(results)}",
        f"problems={len(report.problems)}",
        *([] if report.users is None else _of_users(report.users)),
    ]
    return " ".join(parts)


def _of_users(report: UserReport) -> list[str]:
    results = Counter(o.result.value for o in report.outcomes)
    deferred = Counter(why.value for _, why in report.plan.deferred)
    return [
        f"users_due={len(report.due)}",
        f"users_deleting={len(report.plan.delete)}",
        f"users_deferred={_counts(deferred)}",
        f"users_since_last={_counts(results)}",
    ]


def _counts(counts: Counter[str]) -> str:
    if not counts:
        return "0"
    return f"{sum(counts.values())}({','.join(f'{k}:{n}' for k, n in sorted(counts.items()))})"
