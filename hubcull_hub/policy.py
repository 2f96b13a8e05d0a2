"""Decide what is to become of one server: pure functions over evidence, policy and `now`.

Read `decide` first; it is the product. Every doubt ends in *hold*, and only two things end in *cull*
by idleness: a fresh report whose own figures reach the timeout, and, for a server that can not report,
the Hub's ``last_activity``. Nothing here knows where evidence comes from or how a server is stopped.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from hubcull_hub.model import Action, Basis, Evidence, Instant, Policy, Reason, Received, Standing, Verdict
from hubcull_hub.standing import standing

SHORTEST_INTERVAL, LONGEST_INTERVAL = 1.0, 300.0
"""The range of the interval between two reports, in seconds."""

FUTURE_TOLERANCE = 60.0
"""Seconds by which a time of the Hub may lie ahead of ours before it is doubted (two machines' clocks)."""


FORESEEABLE = 1e9
"""Seconds (30 years) from now; a deadline beyond that is none."""


def report_interval(policy: Policy) -> float:
    """Return how often a server under this policy reports (s): a quarter of its timeout, within the range."""
    return min(max(policy.timeout / 4, SHORTEST_INTERVAL), LONGEST_INTERVAL)


def decide(evidence: Evidence, policy: Policy, now: Instant) -> Verdict:
    """Return the verdict on one server.

    The order matters: what makes a stop impossible, then ``max_age`` (from ``started`` alone, so that
    neither silence nor work can buy eternal life), then idleness.
    """
    case = _Case(evidence, policy, now)
    server = evidence.server
    if evidence.watch.unfit is not None:
        return case.hold(Reason.HUB_UNFIT, "{}", evidence.watch.unfit)
    if server.pending:
        return case.keep(Reason.PENDING, "the Hub says pending: {}", server.pending)
    if not server.ready:
        return case.keep(Reason.NOT_READY, "the Hub says it is not ready")
    if not (policy.named_servers if server.key.server else policy.default_servers):
        return _excluded(case)
    if server.started is None or not server.readable:
        return case.hold(Reason.UNDATED, "the Hub gives no times of it that can be read")
    if case.age < -FUTURE_TOLERANCE:
        return case.hold(Reason.UNDATED, "the Hub says it starts {} from now", -case.age)
    if policy.max_age and case.age >= policy.max_age and not _clock_in_doubt(case):
        words = "it is {} old; max_age is {}"
        return case.say(Action.CULL, Reason.MAX_AGE, words, (case.age, policy.max_age), ends=0.0)
    if evidence.report is None or evidence.report.started != server.started:
        return _without_report(case)
    return _with_report(case, evidence.report)


class _Case:
    """One server's evidence, policy and now, with the ways to put a verdict on it."""

    __slots__ = ("age", "evidence", "now", "policy")

    def __init__(self, evidence: Evidence, policy: Policy, now: Instant) -> None:
        self.evidence, self.policy, self.now = evidence, policy, now
        started = evidence.server.started
        self.age = 0.0 if started is None else (now.utc - started).total_seconds()

    @property
    def up(self) -> float:
        """For how long the service has watched (s)."""
        return self.now.mono - self.evidence.watch.since

    def say(
        self,
        action: Action,
        reason: Reason,
        template: str,
        args: tuple[str | float, ...] = (),
        *,
        ends: float = math.inf,
        basis: Basis = Basis.NONE,
        idle: float | None = None,
        source: str | None = None,
    ) -> Verdict:
        """Put it in a verdict; ``ends`` seconds from now is the deadline, infinite for none."""
        server = self.evidence.server
        # By position, in the order of the fields: twice as fast, 10,000 times a cycle.
        return Verdict(
            server.key,
            server.started,
            action,
            reason,
            self.policy.rule,
            basis,
            self._deadline(ends),
            template,
            args,
            idle,
            source,
        )

    def _deadline(self, ends: float) -> datetime | None:
        """Turn seconds from now into a time, capped by max_age; None when no stop is foreseeable."""
        if self.policy.max_age and self.evidence.server.started is not None:
            ends = min(ends, self.policy.max_age - self.age)
        return self.now.utc + timedelta(seconds=ends) if ends < FORESEEABLE else None

    def keep(self, reason: Reason, template: str, *args: str | float) -> Verdict:
        return self.say(Action.KEEP, reason, template, args)

    def hold(self, reason: Reason, template: str, *args: str | float, ends: float = math.inf) -> Verdict:
        return self.say(Action.HOLD, reason, template, args, ends=ends)


def _excluded(case: _Case) -> Verdict:
    """Keep a server of a kind that is never culled: there is no deadline, for max_age does not count."""
    server, kind = case.evidence.server, "named" if case.evidence.server.key.server else "default"
    words, rule = "{} servers are not culled (cull_{}_servers)", case.policy.rule
    return Verdict(
        server.key, server.started, Action.KEEP, Reason.EXCLUDED, rule, Basis.NONE, None, words, (kind, kind)
    )


def _clock_in_doubt(case: _Case) -> bool:
    """Tell whether the wall clock has jumped lately: then nobody's age is believed for a warm-up."""
    jumped = case.evidence.watch.jumped
    return jumped is not None and case.now.mono - jumped < case.policy.warm_up


def _with_report(case: _Case, report: Received) -> Verdict:
    """Judge a server by its own report, or, where that has gone quiet, by how long it has been quiet."""
    since = seconds_since(report, case.now)
    stood = standing(report, case.policy)
    watched = report.mono is not None and report.mono >= case.evidence.watch.since
    if not watched or since > 2 * report.interval:
        return _on_stale(case, report, stood, since)
    if stood.ends > since:
        return _protected(case, stood, since, stood.template, stood.args)
    if report.faults:
        return _on_faults(case, report)
    return _on_idle(case, report, stood, since)


def _protected(
    case: _Case, stood: Standing, since: float, template: str, args: tuple[str | float, ...]
) -> Verdict:
    """Keep a server for what its report proved, until that runs out."""
    idle = 0.0 if stood.idle == 0 and stood.reason is Reason.BUSY else stood.idle + since
    return case.say(
        Action.KEEP,
        stood.reason,
        template,
        args,
        ends=stood.ends - since,
        basis=Basis.REPORT,
        idle=idle,
        source=stood.source,
    )


def _on_idle(case: _Case, report: Received, stood: Standing, since: float) -> Verdict:
    """Cull on a fresh report that was received after the deadline; otherwise wait for one."""
    if stood.ends > 0:
        words = stood.template + "; past its deadline, waiting for a report that says so"
        return case.hold(Reason.AWAITING_REPORT, words, *stood.args, ends=0.0)
    idle = stood.idle + since
    warm = 2 * report.interval - case.up
    if warm > 0:
        words = "idle for {}, but the service has watched for {} only"
        return case.hold(Reason.WARMING_UP, words, idle, case.up, ends=warm)
    if not report.validated:
        words = "its reporter's token is to be checked again first"
        return case.hold(Reason.UNCONFIRMED, words, ends=0.0)
    return case.say(
        Action.CULL,
        Reason.IDLE,
        "idle for {}, timeout {}; last: " + stood.template,
        (idle, case.policy.timeout, *stood.args),
        ends=stood.ends - since,
        basis=Basis.REPORT,
        idle=idle,
        source=stood.source,
    )


def _on_faults(case: _Case, report: Received) -> Verdict:
    """Hold while a strong source can not be read, within silence_limit; then the Hub's view decides."""
    names = ", ".join(f"{f.name} ({f.detail})" if f.detail else f.name for f in report.faults)
    newest = min(f.failed_for for f in report.faults)
    if newest >= case.policy.silence_limit:
        return _by_hub(case, "{} failed for {}", names, newest)
    ends = case.policy.silence_limit - newest
    return case.hold(Reason.SOURCE_FAILED, "can not be read: {}", names, ends=ends)


def _on_stale(case: _Case, report: Received, stood: Standing, since: float) -> Verdict:
    """Judge a server that reported once and is quiet now: quiet is not idle, and not for ever."""
    left = stood.ends - since
    if left > 0:
        words, args = stood.template + "; no report for {}", (*stood.args, since)
        if stood.reason is Reason.BUSY:
            return case.hold(Reason.SILENT_AT_WORK, words, *args, ends=left)
        return _protected(case, stood, since, words, args)
    silence, limit = case.evidence.watch.heard - report.heard, case.policy.silence_limit
    if silence >= limit:
        return _by_hub(case, "no report for {}", since)
    words = "no report for {}; held until silence_limit ({})"
    return case.hold(Reason.SILENT, words, since, limit, ends=limit - silence)


_DOUBTS = {
    Reason.UNPROVEN: "somebody reports for this user with a token that proves no server; see the log",
    Reason.UNREADABLE: "it reports, and its reports can not be read; see the log",
}


def _without_report(case: _Case) -> Verdict:
    """Judge a server that has not reported since it started, once it had the time to."""
    silence = case.evidence.watch.heard - case.evidence.first_heard
    limit, doubt = case.policy.silence_limit, case.evidence.doubt
    if doubt is not None and silence < limit:
        return case.hold(doubt, _DOUBTS[doubt], ends=limit - silence)
    return _by_hub(case, "no report since it started")


def _by_hub(case: _Case, why: str, *args: str | float) -> Verdict:
    """Judge by the Hub's ``last_activity``, as jupyterhub-idle-culler does.

    Only once the server, the service and the Hub have been up for ``warm_up``: before that the Hub's own
    times may be those of before its outage, and a server with the extension may still be about to report.
    """
    server, policy = case.evidence.server, case.policy
    idle = case.age
    if server.last_activity is not None:
        idle = min(idle, (case.now.utc - server.last_activity).total_seconds())
    if idle < -FUTURE_TOLERANCE:
        return case.hold(Reason.FUTURE, "the Hub's last_activity lies {} in the future", -idle)
    idle = max(0.0, idle)
    words, said = why + "; by the Hub's last_activity idle for {}", (*args, idle)
    warm, left = policy.warm_up - min(case.up, case.age), policy.timeout - idle
    if left > 0:
        ends = max(left, warm)
        return case.say(Action.KEEP, Reason.HUB_ACTIVE, words, said, ends=ends, basis=Basis.HUB, idle=idle)
    if warm > 0:
        words += "; waiting {} longer for a report (warm_up)"
        return case.say(
            Action.HOLD, Reason.WARMING_UP, words, (*said, warm), ends=warm, basis=Basis.HUB, idle=idle
        )
    words += ", timeout {}"
    said = (*said, policy.timeout)
    return case.say(Action.CULL, Reason.HUB_IDLE, words, said, ends=left, basis=Basis.HUB, idle=idle)


def seconds_since(report: Received, now: Instant) -> float:
    """Return the age of a report (s, >= 0); one read back from the store has only its wall clock time."""
    if report.mono is not None:
        return max(0.0, now.mono - report.mono)
    return max(0.0, (now.utc - report.utc).total_seconds())
