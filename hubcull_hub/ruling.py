"""What the operator's hook is asked, and what its answer makes of a verdict: pure functions.

The hook decides instead of the timeout, within the laws: it is asked only about servers of which enough is
known to stop them, so its *cull* never rests on a doubt, and its *keep* always holds, `max_age` included.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from hubcull_hub.model import Action, Basis, Evidence, Instant, Policy, Reason, Verdict
from hubcull_hub.policy import decide
from hubcull_hub.standing import standing

NOT_ASKED = frozenset({Reason.HUB_UNFIT, Reason.PENDING, Reason.NOT_READY, Reason.EXCLUDED, Reason.UNDATED})
"""Reasons that no hook can overrule."""

HOOK_RULE = "cull_arbiter_hook"
"""The rule of verdicts that are the hook's."""

_NO_TIME = 1e-9
"""Seconds; the shortest cap on work, for a limit of 0 would mean none."""


class Question(NamedTuple):
    """What the hook is asked about one server.

    ``inactive`` (s) is what the newest report itself shows, or what the Hub says of a server that can not
    report; time since the report does not count. ``firm``: enough is known to stop the server on the hook's
    word; ``unconfirmed``: all but that its reporter's token was checked for that.
    """

    so_far: Verdict
    evidence: Evidence
    inactive: float
    firm: bool
    unconfirmed: bool


class Opinion(NamedTuple):
    """What the hook says: cull or not, None for no opinion, and why.

    ``failed``: it said nothing of use; ``late``: because it did not answer in time.
    """

    cull: bool | None
    why: str = ""
    failed: bool = False
    late: bool = False


def question(evidence: Evidence, policy: Policy, now: Instant) -> Question | None:
    """Return what to ask about a server, or None where no answer could change its verdict."""
    so_far = decide(evidence, policy, now)
    if so_far.reason in NOT_ASKED:
        return None
    probe = decide(evidence, _without_patience(policy), now)
    firm, unconfirmed = probe.action is Action.CULL, probe.reason is Reason.UNCONFIRMED
    if not firm and not unconfirmed and so_far.reason is not Reason.MAX_AGE:
        return None
    inactive = probe.idle
    if evidence.report is not None and (probe.basis is Basis.REPORT or unconfirmed):
        inactive = standing(evidence.report, policy).idle
    if inactive is None:  # a hold that has come of age: what the Hub says is all there is to tell
        inactive = _by_the_hub(evidence, now)
    return Question(so_far, evidence, inactive, firm, unconfirmed)


def _without_patience(policy: Policy) -> Policy:
    """Return a policy under which whatever is known well enough to be stopped would be stopped."""
    return replace(policy, timeout=0.0, max_age=0.0, max_busy=_NO_TIME, visible_tab_grace=0.0)


def _by_the_hub(evidence: Evidence, now: Instant) -> float:
    server = evidence.server
    newest = server.last_activity or server.started or now.utc
    return max(0.0, (now.utc - newest).total_seconds())


def ruled(asked: Question, opinion: Opinion, now: Instant) -> Verdict:
    """Return the verdict after the hook has spoken, or has failed to: then the server is kept."""
    verdict = asked.so_far
    if opinion.failed:
        return _say(verdict, Action.KEEP, Reason.HOOK_FAILED, "cull_arbiter_hook failed: {}", opinion.why)
    if opinion.cull is None or opinion.cull is (verdict.action is Action.CULL):
        return verdict
    if not opinion.cull:
        if verdict.action is not Action.CULL:
            return verdict
        return _say(verdict, Action.KEEP, Reason.HOOK_KEEPS, "cull_arbiter_hook says no{}", _why(opinion))
    if asked.firm:
        words = "cull_arbiter_hook says so{}; idle for {}"
        culled = _say(verdict, Action.CULL, Reason.HOOK_CULLS, words, _why(opinion), asked.inactive)
        return culled._replace(deadline=now.utc, idle=asked.inactive)
    if asked.unconfirmed:
        words = "cull_arbiter_hook says so{}; its reporter's token is to be checked again first"
        return _say(verdict, Action.HOLD, Reason.UNCONFIRMED, words, _why(opinion))
    return verdict


def _why(opinion: Opinion) -> str:
    return f" ({opinion.why})" if opinion.why else ""


def _say(verdict: Verdict, action: Action, reason: Reason, words: str, *args: str | float) -> Verdict:
    return verdict._replace(
        action=action, reason=reason, rule=HOOK_RULE, template=words, args=args, deadline=None
    )
