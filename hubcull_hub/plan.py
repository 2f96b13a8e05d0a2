"""Turn verdicts into what one cycle will do: order, budget, and what waits. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone

from hubcull_hub.model import Action, CullPlan, Deferral, Limits, ServerKey, Verdict

_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


def plan(verdicts: Iterable[Verdict], limits: Limits, waiting: Mapping[ServerKey, Deferral]) -> CullPlan:
    """Return this cycle's plan: the longest overdue first, within the budget.

    Args:
        verdicts: of all servers; only those to cull are planned.
        limits: ``stops`` is the budget of one cycle (0: none).
        waiting: servers that must not be begun now, and why (a stop of theirs is under way, …).

    """
    due = sorted((v for v in verdicts if v.action is Action.CULL), key=_overdue)
    stop: list[Verdict] = []
    deferred: list[tuple[Verdict, Deferral]] = []
    for verdict in due:
        why = waiting.get(verdict.key)
        if why is None and limits.stops and len(stop) >= limits.stops:
            why = Deferral.BUDGET
        if why is None:
            stop.append(verdict)
        else:
            deferred.append((verdict, why))
    return CullPlan(tuple(stop), tuple(deferred))


def _overdue(verdict: Verdict) -> tuple[datetime, ServerKey]:
    """Sort by deadline, then by name so that equal deadlines have one order."""
    return verdict.deadline or _LONG_AGO, verdict.key
