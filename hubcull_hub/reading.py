"""Read reports from bytes, and write the replies: the schema is `wire`'s, the speed is msgspec's.

msgspec decodes into the structs below and checks the wire's bounds on its way, faster than JSON alone is
parsed elsewhere. It can not say which value was wrong, nor take what a newer extension adds for doubt; so
whatever it does not take, or might take amiss, is read again by `wire.report_from_json`, which alone decides
what is refused.
"""

from __future__ import annotations

import json
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from hubcull_hub.model import Action, Reason
from hubcull_hub.packing import Packed
from hubcull_server_ext import wire

Text = Annotated[str, Meta(max_length=200)]
LongText = Annotated[str, Meta(max_length=500)]
Number = Annotated[float, Meta(ge=0, le=wire.LARGEST)]
Whole = Annotated[int, Meta(ge=0, le=wire.LARGEST_INTEGER)]


class Signal(Struct, frozen=True, gc=False, omit_defaults=True):
    """`wire.Signal`, and a `model.Signal` as it is; it is stored without what it does not say.

    ``gc``: it can not be part of a cycle, and need not be searched for one.
    """

    kind: Text
    source: Text
    clock: wire.Clock
    strength: wire.Strength = wire.Strength.STRONG
    age: Number | None = None
    going_on_for: Number | None = None
    ended_ago: Number | None = None
    lasted: Number | None = None
    label: Text | None = None
    actor: Text | None = None
    count: Whole | None = None


class Source(Struct, frozen=True, gc=False):
    """`wire.Source`."""

    name: Text
    health: wire.Health
    detail: LongText | None = None
    failed_for: Number | None = None
    strength: wire.Strength | None = None


class About(Struct, frozen=True, gc=False):
    """`wire.About`."""

    hubcull: Text = ""
    jupyter_server: Text = ""
    python: Text = ""
    image: LongText | None = None
    mem_limit: Whole | None = None
    mem_guarantee: Whole | None = None
    cpu_limit: Number | None = None
    cpu_guarantee: Number | None = None
    gpus: Whole | None = None


class Report(Struct, frozen=True, gc=False):
    """`wire.Report`."""

    schema: Annotated[int, Meta(ge=wire.SCHEMA, le=wire.SCHEMA)]
    boot_id: Annotated[str, Meta(max_length=64)]
    sequence: Whole
    uptime: Number
    server: Annotated[str, Meta(max_length=600)]
    sources: Annotated[tuple[Source, ...], Meta(max_length=50)]
    signals: Annotated[tuple[Signal, ...], Meta(max_length=wire.MAX_SIGNALS)]
    about: About = About()
    can: Annotated[tuple[str, ...], Meta(max_length=50)] = ("deadline",)


class Reply(Struct, frozen=True, gc=False):
    """`wire.Reply`."""

    state: Action
    reason: Reason
    text: str
    rule: str
    report_in: float
    deadline_in: float | None = None
    confirm: str | None = None
    schema: int = wire.SCHEMA
    service: str = wire.SERVICE


_BACKSLASH, _DEL = b"\\\x7f"
"""As numbers, which are found in bytes five times as fast as bytes are."""

_DECODER = msgspec.json.Decoder(Report)
_read_signals = msgspec.json.Decoder(tuple[Signal, ...]).decode
_ENCODER = msgspec.json.Encoder()
_NO_CLOCK = wire.Clock.NONE


def write_reply(reply: Reply) -> bytes:
    """Return the body of the answer to a report."""
    return _ENCODER.encode(reply)


def pack(signals: tuple[Signal, ...]) -> Packed:
    """Return the signals of a report as they are kept.

    Written anew, not cut out of the report: nothing is kept and stored but what we know, as it was read.
    """
    return Packed(_ENCODER.encode(signals), _read_signals)


def read_report(raw: bytes) -> Report:
    """Return the report in a request's body.

    Raises:
        InvalidMessageError: when it can not be read; the text names the field and its value.

    """
    if not _plainly_printable(raw):
        return _read_closely(raw)
    try:
        report = _DECODER.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return _read_closely(raw)
    return report if _all_timed(report.signals) else _read_closely(raw)


def _read_closely(raw: bytes) -> Report:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):  # UnicodeDecodeError is one, too
        raise wire.InvalidMessageError("the body is not JSON") from None
    return msgspec.convert(wire.report_from_json(data), Report, from_attributes=True)


def _plainly_printable(raw: bytes) -> bool:
    """Tell whether every text in it is printable, as the wire demands, without a look at any of them.

    JSON has no control characters in its texts but by escapes, and DEL, the one in ASCII that it allows.
    """
    return raw.isascii() and _BACKSLASH not in raw and _DEL not in raw


def _all_timed(signals: tuple[Signal, ...]) -> bool:
    """Tell whether each signal that moves a clock has exactly one of the times that say how."""
    for signal in signals:
        if signal.age is None:
            timed = (signal.going_on_for is None) is not (signal.ended_ago is None)
        else:
            timed = signal.going_on_for is None and signal.ended_ago is None
        if not timed and signal.clock is not _NO_CLOCK:
            return False
    return True
