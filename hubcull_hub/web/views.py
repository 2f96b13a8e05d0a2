"""What the API shows: the service's own words as JSON objects. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any

from hubcull_hub.model import (
    Deferral,
    Evidence,
    Fact,
    Instant,
    ServerKey,
    Signal,
    SourceFault,
    SourceRemark,
    Verdict,
)
from hubcull_hub.policy import seconds_since
from hubcull_hub.report import CycleReport
from hubcull_hub.rows import Decision
from hubcull_hub.users import UserVerdict
from hubcull_server_ext.wire import SCHEMA, SERVICE


def envelope(**content: Any) -> dict[str, Any]:
    """Return a body that is recognisably the service's."""
    return {"service": SERVICE, "schema": SCHEMA, **content}


def stamp(moment: datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC, or None."""
    return None if moment is None else moment.isoformat()


def server(verdict: Verdict, evidence: Evidence, now: Instant, deferred: Deferral | None) -> dict[str, Any]:
    """Return one server: the verdict, and in short what it rests on. Durations in seconds."""
    report = evidence.report
    deadline = verdict.deadline
    return {
        "user": verdict.key.user,
        "server": verdict.key.server,
        "action": verdict.action.value,
        "reason": verdict.reason.value,
        "text": verdict.text,
        "rule": verdict.rule,
        "basis": verdict.basis.value,
        "deadline": stamp(deadline),
        "deadline_in": None if deadline is None else (deadline - now.utc).total_seconds(),
        "idle": verdict.idle,
        "decided_by": verdict.decided_by,
        "deferred": None if deferred is None else deferred.value,
        "started": stamp(verdict.started),
        "last_activity": stamp(evidence.server.last_activity),
        "last_report_ago": None if report is None else seconds_since(report, now),
    }


def user(verdict: UserVerdict, now: Instant, deferred: Deferral | None) -> dict[str, Any]:
    """Return one user who is due. Durations in seconds."""
    deadline = verdict.deadline
    return {
        "user": verdict.key,
        "action": verdict.action.value,
        "reason": verdict.reason.value,
        "text": verdict.text,
        "rule": verdict.rule,
        "deadline": stamp(deadline),
        "deadline_in": None if deadline is None else (deadline - now.utc).total_seconds(),
        "idle": verdict.idle,
        "created": stamp(verdict.created),
        "deferred": None if deferred is None else deferred.value,
    }


def detail(evidence: Evidence, decisions: Iterable[Decision]) -> dict[str, Any]:
    """Return what `server` leaves out: the signals as reported, faults, remarks, and earlier decisions."""
    report = evidence.report
    return {
        "signals": [] if report is None else [signal(s) for s in report.signals],
        "carried": [] if report is None else [signal(s) for s in report.carried],
        "faults": [] if report is None else [fault(f) for f in report.faults],
        "weak_faults": [] if report is None else [fault(f) for f in report.weak_faults],
        "remarks": [] if report is None else [remark(r) for r in report.remarks],
        "decisions": [decision(d) for d in decisions],
    }


def fault(item: SourceFault) -> dict[str, Any]:
    """Return a source that could not be read."""
    return {"name": item.name, "failed_for": item.failed_for, "detail": item.detail}


def remark(item: SourceRemark) -> dict[str, Any]:
    """Return a source that is off, or what one that is well says of itself."""
    return {"name": item.name, "off": item.off, "detail": item.detail}


def signal(item: Signal) -> dict[str, Any]:
    """Return a signal without what it does not say."""
    return {name: value for name, value in Fact.of(item)._asdict().items() if value is not None}


def decision(item: Decision) -> dict[str, Any]:
    """Return a decision as it was written down."""
    values = ((f.name, getattr(item, f.name)) for f in fields(item))
    return {
        name: stamp(value) if isinstance(value, datetime) else getattr(value, "value", value)
        for name, value in values
        if not isinstance(value, ServerKey)
    }


def status(report: CycleReport | None, problems: Iterable[str], refused: dict[str, int]) -> dict[str, Any]:
    """Return how the service itself is doing."""
    counts = {} if report is None else _counts(report)
    return envelope(problems=list(problems), refused_reports=refused, **counts)


def _counts(report: CycleReport) -> dict[str, Any]:
    return {
        "cycle": report.number,
        "at": stamp(report.at.utc),
        "listed": len(report.verdicts),
        "reporting": report.reporting,
        "without_extension": report.without_extension,
    }
