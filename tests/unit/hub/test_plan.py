"""Laws of the plan: order, budget, and what waits."""

from __future__ import annotations

from hubcull_hub.model import Action, Basis, Deferral, Limits, Reason, ServerKey, Verdict
from hubcull_hub.plan import plan
from tests.unit.hub.builders import STARTED, ago


def verdict(name: str, overdue: float, action: Action = Action.CULL) -> Verdict:
    """Return a verdict due `overdue` seconds ago."""
    key = ServerKey(name, "")
    return Verdict(key, STARTED, action, Reason.IDLE, "default", Basis.REPORT, ago(overdue), "idle")


DUE = [verdict("a", 5), verdict("b", 50), verdict("c", 500), verdict("d", 1, Action.KEEP)]


def names(verdicts: tuple[Verdict, ...]) -> str:
    """Return the users, in order."""
    return "".join(v.key.user for v in verdicts)


def test_the_longest_overdue_goes_first_and_only_culls_are_planned() -> None:
    """Without limits everything due is begun."""
    made = plan(DUE, Limits(), {})
    assert names(made.stop) == "cba"
    assert made.deferred == ()


def test_the_budget_leaves_the_rest_for_the_next_cycle() -> None:
    """And says so."""
    made = plan(DUE, Limits(stops=2), {})
    assert names(made.stop) == "cb"
    assert [(v.key.user, why) for v, why in made.deferred] == [("a", Deferral.BUDGET)]


def test_what_waits_uses_up_no_budget() -> None:
    """A stop under way is not begun twice and leaves room for others."""
    made = plan(DUE, Limits(stops=2), {ServerKey("c", ""): Deferral.IN_FLIGHT})
    assert names(made.stop) == "ba"
    assert [(v.key.user, why) for v, why in made.deferred] == [("c", Deferral.IN_FLIGHT)]
