"""Read reports from bytes: the schema is `wire`'s, the speed is msgspec's.

msgspec decodes straight into the wire's dataclasses, in the time that JSON alone takes. It can not say which
value was wrong, nor take what a newer extension adds for doubt; so whatever it does not take, and whatever
is out of the wire's bounds, is read again by `wire.report_from_json`, which alone decides what is refused.
"""

from __future__ import annotations

import json

import msgspec

from hubcull_server_ext import wire

_DECODER = msgspec.json.Decoder(wire.Report)
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
        and _whole(report.sequence)
        and 0.0 <= report.uptime <= wire.LARGEST
        and len(report.boot_id) <= 64
        and _short(report.boot_id, report.server)
        and len(report.signals) <= wire.MAX_SIGNALS
        and len(report.sources) <= 50
        and len(report.can) <= 50
        and _short(about.hubcull, about.jupyter_server, about.python, about.image)
        and _sound(about.cpu_limit, about.cpu_guarantee)
        and _whole(about.mem_limit, about.mem_guarantee, about.gpus)
        and all(map(_signal_within_bounds, report.signals))
        and all(map(_source_within_bounds, report.sources))
    )


def _signal_within_bounds(signal: wire.Signal) -> bool:
    age, going_on_for, ended_ago = signal.age, signal.going_on_for, signal.ended_ago
    timed = (age is not None) + (going_on_for is not None) + (ended_ago is not None)
    return (
        (timed == 1 or signal.clock is wire.Clock.NONE)
        and _sound(age, going_on_for, ended_ago, signal.lasted)
        and _whole(signal.count)
        and _short(signal.kind, signal.source, signal.label, signal.actor)
    )


def _source_within_bounds(source: wire.Source) -> bool:
    return _sound(source.failed_for) and _short(source.name, source.detail)


def _sound(*numbers: float | None) -> bool:
    return all([number is None or 0.0 <= number <= wire.LARGEST for number in numbers])  # noqa: C419 - faster


def _whole(*numbers: int | None) -> bool:
    return all([number is None or 0 <= number <= wire.LARGEST_INTEGER for number in numbers])  # noqa: C419


def _short(*texts: str | None) -> bool:
    return all([text is None or (len(text) <= _SHORT and text.isprintable()) for text in texts])  # noqa: C419 - faster
