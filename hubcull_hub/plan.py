"""Turn verdicts into what one cycle will do: order, budget, and what waits. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Protocol, TypeVar

from hubcull_hub.model import Action, CullPlan, Deferral, Limits, ServerKey, Verdict

_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


class Due(Protocol):
    """A verdict that asks for something to be done: to a server, or to a user."""

    @property
    def key(self) -> Hashable:
        """Whom it is about."""

    @property
    def deadline(self) -> datetime | None:
        """When it came due."""


_Due = TypeVar("_Due", bound=Due)


def plan(verdicts: Iterable[Verdict], limits: Limits, waiting: Mapping[ServerKey, Deferral]) -> CullPlan:
    """Return this cycle's plan: the longest overdue first, within the budget.

    Args:
        verdicts: of all servers; only those to cull are planned.
        limits: ``stops`` is the budget of one cycle (0: none).
        waiting: servers that must not be begun now, and why (a stop of theirs is under way, …).

    """
    return CullPlan(*pick((v for v in verdicts if v.action is Action.CULL), limits.stops, waiting))


def pick(
    due: Iterable[_Due], budget: int, waiting: Mapping[Any, Deferral]
) -> tuple[tuple[_Due, ...], tuple[tuple[_Due, Deferral], ...]]:
    """Return what is begun of all that is due, the longest overdue first, and what is left for later."""
    chosen: list[_Due] = []
    deferred: list[tuple[_Due, Deferral]] = []
    for verdict in sorted(due, key=_overdue):
        why = waiting.get(verdict.key)
        if why is None and budget and len(chosen) >= budget:
            why = Deferral.BUDGET
        if why is None:
            chosen.append(verdict)
        else:
            deferred.append((verdict, why))
    return tuple(chosen), tuple(deferred)


def _overdue(verdict: Due) -> tuple[datetime, Any]:
    """Sort by deadline, then by name so that equal deadlines have one order."""
    return verdict.deadline or _LONG_AGO, verdict.key
