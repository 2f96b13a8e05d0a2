"""Which scopes are missed, and what is not done without them."""

from __future__ import annotations

from hubcull_hub.fitness import Features, Problem, judge
from hubcull_hub.hub_answers import TokenOwner

SERVERS = {"list:users", "read:servers", "delete:servers"}


def problems(features: Features, *scopes: str, version: str = "6.1.1") -> list[Problem]:
    """Return what a token with these scopes lacks."""
    return judge(version, TokenOwner("service", "hubcull", frozenset(scopes), None), features)


def test_nothing_is_missed_where_all_is_there() -> None:
    """Filtered scopes are enough for a pilot."""
    assert problems(Features(), *SERVERS) == []
    assert problems(Features(), *(f"{scope}!group=pilot" for scope in SERVERS)) == []


def test_a_dry_run_needs_no_scope_to_stop() -> None:
    """Without one it would stop nothing for good."""
    (problem,) = problems(Features(), *SERVERS - {"delete:servers"})
    assert problem.stops_nothing
    assert problems(Features(dry_run=True), *SERVERS - {"delete:servers"}) == []


def test_groups_are_missed_only_by_a_hook_that_takes_them() -> None:
    """Servers are culled all the same: the hook, given None, must know what to do."""
    assert problems(Features(), *SERVERS) == []
    (problem,) = problems(Features(groups=True), *SERVERS)
    assert "read:users:groups" in problem.text
    assert not problem.stops_nothing
    assert problems(Features(groups=True), *SERVERS, "read:users:groups") == []
