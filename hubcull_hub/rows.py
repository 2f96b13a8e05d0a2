"""Evidence and decisions as rows of the database, and back. No I/O here.

What the databases would refuse, and what can not be read back, raises one of `UNUSABLE`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from hubcull_hub.model import (
    Basis,
    Clock,
    Fact,
    Received,
    ServerKey,
    Signal,
    SourceFault,
    SourceRemark,
    Verdict,
)
from hubcull_hub.packing import Packed
from hubcull_hub.users import UserReason, UserVerdict

UNUSABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError)


@dataclass(frozen=True, slots=True)
class Decision:
    """One recorded verdict and what came of it, in the words of its day; ``result`` is None until known."""

    id: int
    at: datetime
    key: ServerKey
    started: datetime | None
    action: str
    reason: str
    text: str
    rule: str
    basis: str
    deadline: datetime | None
    idle: float | None
    result: str | None
    detail: str


def storable(text: str) -> str:
    """Drop what a database refuses in text: NUL, and halves of surrogate pairs."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "").encode("utf-8", "ignore").decode()


def evidence_row(item: tuple[ServerKey, Received]) -> dict[str, Any]:
    """Return the row of one server's evidence; raise one of UNUSABLE where the databases would refuse it."""
    key, received = item
    name = key.user + key.server
    if storable(name) != name or not -(2**63) <= received.sequence < 2**63:
        raise ValueError(f"{str(key)!r}: its name or sequence number can not be stored")
    if received.started.tzinfo is None or received.utc.tzinfo is None:
        raise ValueError(f"{key}: a time without a zone")
    durations = received.uptime, received.interval, received.heard, received.start_took
    if not all(map(math.isfinite, durations)):
        raise ValueError(f"{key}: a duration that is not finite")
    body = {
        "signals": _signals_to_json(received.signals),
        "faults": [_json(asdict(fault)) for fault in received.faults],
        "weak_faults": [_json(asdict(fault)) for fault in received.weak_faults],
        "remarks": [_json(asdict(remark)) for remark in received.remarks],
        "carried": _signals_to_json(received.carried),
        "start_took": received.start_took,
    }
    return {
        "user": key.user,
        "server": key.server,
        "started": received.started,
        "boot_id": storable(received.boot_id),
        "sequence": received.sequence,
        "uptime": received.uptime,
        "received_utc": received.utc,
        "interval": received.interval,
        "heard": received.heard,
        "body": msgspec.json.encode(body).decode(),
    }


def read_evidence(row: sa.RowMapping) -> tuple[ServerKey, Received]:
    """Return one server's evidence, without a monotonic time: it may protect, never condemn."""
    key = ServerKey(row["user"], row["server"])
    if row["started"] is None or row["received_utc"] is None:
        raise ValueError(f"{key}: a damaged time")
    body = json.loads(row["body"])
    received = Received(
        started=row["started"],
        boot_id=str(row["boot_id"]),
        sequence=int(row["sequence"]),
        uptime=float(row["uptime"]),
        utc=row["received_utc"],
        mono=None,
        interval=float(row["interval"]),
        heard=float(row["heard"]),
        signals=tuple(map(_signal_from_json, body["signals"])),
        faults=_faults_from_json(body["faults"]),
        weak_faults=_faults_from_json(body.get("weak_faults", ())),
        remarks=_remarks_from_json(body.get("remarks", ())),
        carried=tuple(map(_signal_from_json, body["carried"])),
        start_took=float(body.get("start_took", 0.0)),  # not known of what an earlier version stored
    )
    return key, received


def _faults_from_json(faults: Iterable[Mapping[str, Any]]) -> tuple[SourceFault, ...]:
    return tuple(SourceFault(f["name"], float(f["failed_for"]), f["detail"]) for f in faults)


def _remarks_from_json(remarks: Iterable[Mapping[str, Any]]) -> tuple[SourceRemark, ...]:
    return tuple(SourceRemark(r["name"], bool(r["off"]), r["detail"]) for r in remarks)


_SIGNAL_NUMBERS = ("age", "going_on_for", "ended_ago", "lasted", "count")


def _signals_to_json(signals: Sequence[Signal]) -> msgspec.Raw | list[msgspec.Struct | msgspec.Raw]:
    """Return what msgspec writes the signals from: as they were read; those of our making, with care."""
    if isinstance(signals, Packed):
        return msgspec.Raw(signals.json)
    return [_signal_to_json(signal) for signal in signals]


def _signal_to_json(signal: Signal) -> msgspec.Struct | msgspec.Raw:
    if isinstance(signal, msgspec.Struct):
        return signal
    return _json({name: value for name in Fact._fields if (value := getattr(signal, name)) is not None})


def _json(value: object) -> msgspec.Raw:
    """Write JSON that any database takes, whatever its texts hold; refuse a number that is not finite."""
    return msgspec.Raw(json.dumps(value, allow_nan=False).encode())


def _signal_from_json(data: Mapping[str, Any]) -> Fact:
    """Return the signal; fields that another version stored are left out."""
    known = {name: data[name] for name in Fact._fields if name in data}
    if not all(isinstance(known.get(name, 0), (int, float)) for name in _SIGNAL_NUMBERS):
        raise ValueError(f"a signal with a number that is none: {known}")
    return Fact(**{**known, "clock": Clock(known["clock"]).value})


def decision_row(verdict: Verdict | UserVerdict, at: datetime) -> dict[str, Any]:
    """Return the row of a decision made at that time, its result still open.

    One about a user has the action ``delete``, no server, and their ``created`` in place of ``started``.
    """
    if isinstance(verdict, UserVerdict):
        basis = Basis.HUB if verdict.reason is UserReason.INACTIVE else Basis.NONE
        whom = {"user": verdict.key, "server": "", "started": verdict.created, "basis": basis.value}
    else:
        key, basis = verdict.key, verdict.basis
        whom = {"user": key.user, "server": key.server, "started": verdict.started, "basis": basis.value}
    return {
        **whom,
        "at_utc": at,
        "action": verdict.action.value,
        "reason": verdict.reason.value,
        "text": storable(verdict.text),
        "rule": storable(verdict.rule),
        "deadline": verdict.deadline,
        "idle": verdict.idle,
        "detail": "",
    }


def read_decision(row: sa.RowMapping) -> Decision:
    """Return a decision as it was recorded."""
    if row["at_utc"] is None:
        raise ValueError(f"decision {row['id']}: a damaged time")
    values = dict(row)
    key = ServerKey(values.pop("user"), values.pop("server"))
    return Decision(at=values.pop("at_utc"), key=key, **values)
