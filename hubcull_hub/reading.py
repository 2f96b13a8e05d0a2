"""Read reports from bytes: the schema is `wire`'s, the speed is msgspec's.

msgspec decodes straight into the wire's dataclasses, in the time that JSON alone takes. It can not say which
value was wrong, nor take what a newer extension adds for doubt; so whatever it does not take, and whatever
is out of the wire's bounds, is read again by `wire.report_from_json`, which alone decides what is refused.
"""

from __future__ import annotations

import json
import sys

import msgspec

from hubcull_server_ext import wire

_DECODER = msgspec.json.Decoder(wire.Report)
_LARGEST = sys.float_info.max
_SHORT = 200
"""Characters within the wire's bounds whatever the field; the few that may be longer are read closely."""


def read_report(raw: bytes) -> wire.Report:
    """Return the report in a request's body.

    Raises:
        InvalidMessageError: when it can not be read; the text names the field and its value.

    """
    try:
        report = _DECODER.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return _read_slowly(raw)
    return report if _within_bounds(report) else _read_slowly(raw)


def _read_slowly(raw: bytes) -> wire.Report:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):  # UnicodeDecodeError is one, too
        raise wire.InvalidMessageError("the body is not JSON") from None
    return wire.report_from_json(data)


def _within_bounds(report: wire.Report) -> bool:
    """Tell whether all is plainly within the wire's bounds; where not, it has to be looked at closely."""
    about = report.about
    return (
        report.schema == wire.SCHEMA
        and report.sequence >= 0
        and 0.0 <= report.uptime <= _LARGEST
        and len(report.boot_id) <= 64
        and len(report.server) <= 600
        and len(report.signals) <= wire.MAX_SIGNALS
        and len(report.sources) <= 50
        and len(report.can) <= 50
        and _short(about.hubcull, about.jupyter_server, about.python, about.image)
        and _sound(about.mem_limit, about.mem_guarantee, about.cpu_limit, about.cpu_guarantee, about.gpus)
        and all(map(_signal_within_bounds, report.signals))
        and all(map(_source_within_bounds, report.sources))
    )


def _signal_within_bounds(signal: wire.Signal) -> bool:
    age, going_on_for, ended_ago = signal.age, signal.going_on_for, signal.ended_ago
    timed = (age is not None) + (going_on_for is not None) + (ended_ago is not None)
    return (
        (timed == 1 or signal.clock is wire.Clock.NONE)
        and _sound(age, going_on_for, ended_ago, signal.lasted, signal.count)
        and _short(signal.kind, signal.source, signal.label, signal.actor)
    )


def _source_within_bounds(source: wire.Source) -> bool:
    return _sound(source.failed_for) and _short(source.name, source.detail)


def _sound(*numbers: float | None) -> bool:
    return all([number is None or 0.0 <= number <= _LARGEST for number in numbers])  # noqa: C419 - faster


def _short(*texts: str | None) -> bool:
    return all([text is None or len(text) <= _SHORT for text in texts])  # noqa: C419 - faster
