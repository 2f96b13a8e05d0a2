"""The schema of report and reply, one definition for both packages.

It knows the shape of the messages and nothing of where their content comes from or what
it is worth. Standard library only. Images live for years: fields may be added, never
renamed or removed, and unknown fields are ignored. All durations are seconds, taken from
the sender's monotonic clock, so that two machines' clocks never have to agree.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

SCHEMA = 1
SERVICE = "hubcull"
"""Every JSON body of the service carries ``"service": "hubcull"``; a reply without it is somebody else's."""

REPORTS_PATH = "api/v1/reports"
"""Where reports are posted, below the service's prefix."""

MAX_SIGNALS = 500
FIRST_INTERVAL = 60.0
"""Seconds between reports until the first reply names an interval."""
MIN_INTERVAL, MAX_INTERVAL = 1.0, 300.0
"""The range, in seconds, to which both sides clamp the interval between reports."""


class Clock(str, Enum):
    """Which of the two clocks a signal speaks for."""

    PRESENCE = "presence"
    WORK = "work"
    NONE = "none"


class Strength(str, Enum):
    """Whether a signal's absence may condemn (strong) or only its presence protect (weak)."""

    STRONG = "strong"
    WEAK = "weak"


class Health(str, Enum):
    """How a source of signals is doing.

    ``unavailable`` is a known, harmless absence (a server without terminals); ``failed`` is doubt.
    """

    OK = "ok"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"
    OFF = "off"


class Kind:
    """The kinds of signal this version knows; others may appear and are valued by clock and strength."""

    KERNEL_BUSY = "kernel_busy"  # work: a cell runs, silent or not
    KERNEL_REQUEST = "kernel_request"  # presence: execute, complete, inspect, an answer to a cell's question
    KERNEL_COMM = "kernel_comm"  # presence: what a widget in a page sends
    KERNEL_INPUT = "kernel_input"  # none: a cell waits for somebody's answer, or in a debugger
    KERNEL_CONNECTIONS = "kernel_connections"  # none: how many websockets a kernel has
    BROWSERS = "browsers"  # none: how many hold a websocket, and since when only pings went over any
    TERMINAL_INPUT = "terminal_input"  # presence: a keystroke
    TERMINAL_OUTPUT = "terminal_output"  # none
    TERMINAL_JOB = "terminal_job"  # work: a process that does not wait for its terminal
    BACKGROUND_JOB = "background_job"  # work, weak: processes without a terminal that compute or move data
    API_REQUEST = "api_request"  # presence: a request that only a person's act makes
    API_READ = "api_read"  # presence: the same, but that it changes nothing: a page or a file is opened
    VISIBLE_TAB = "visible_tab"  # presence, weak: the polls of a page that somebody may be looking at
    APP_REQUEST = "app_request"  # presence: what a person did in an app behind a proxy
    APP_HEARTBEAT = "app_heartbeat"  # none: what such an app's page did by itself
    DOCUMENT_EDIT = "document_edit"  # presence: somebody changed a shared document
    DECLARED = "declared"  # by its clock: what another package says by our interface, or a person wished
    SERVER_CULLER = "server_culler"  # none: a culler that the server has itself, and its timeout (s)
    FOREIGN = "foreign"  # presence: what another extension or an unknown handler claims
    OTHERS = "others"  # none: how many more there are than a report has room for; none of them can decide


class InvalidMessageError(ValueError):
    """A message that can not be read; the text names the field, its value and what was expected."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One fact: an event (``age``), work under way (``going_on_for``) or done (``ended_ago``, ``lasted``).

    ``source`` is opaque (``kernel:3f2a``); ``label`` says what it was in the field's own words (a message
    type, a handler's class, a program) and never a path, code or a command line. ``actor`` is who acted,
    where that is known. ``count`` is for signals that are numbers. Durations in seconds, >= 0.
    """

    kind: str
    source: str
    clock: Clock
    strength: Strength = Strength.STRONG
    age: float | None = None
    going_on_for: float | None = None
    ended_ago: float | None = None
    lasted: float | None = None
    label: str | None = None
    actor: str | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One source of signals and its health; ``failed_for`` seconds when it failed, ``detail`` says why.

    ``strength``: that of what it sees, strong where it is None; without a weak source nothing is in doubt.
    """

    name: str
    health: Health
    detail: str | None = None
    failed_for: float | None = None
    strength: Strength | None = None


@dataclass(frozen=True, slots=True)
class About:
    """What the server is, as far as its own process can tell. Memory in bytes, CPUs in cores."""

    hubcull: str = ""
    jupyter_server: str = ""
    python: str = ""
    image: str | None = None
    mem_limit: int | None = None
    mem_guarantee: int | None = None
    cpu_limit: float | None = None
    cpu_guarantee: float | None = None
    gpus: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A full snapshot of one server: idempotent, so a lost or repeated one does no harm.

    ``server`` (``user/name``, the Hub's ``full_name``) is only a claim, checked against the token.
    ``boot_id`` names this run of the server's process, ``sequence`` grows with each report of it.
    """

    boot_id: str
    sequence: int
    uptime: float
    server: str
    sources: tuple[Source, ...]
    signals: tuple[Signal, ...]
    about: About = field(default_factory=About)
    can: tuple[str, ...] = ("deadline",)
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class Reply:
    """The service's answer in plain terms. Durations in seconds from its sending.

    ``report_in`` is when the next report is due; ``deadline_in`` when the server would be stopped if
    nothing changed (None: not foreseen). ``confirm`` is what a proposed stop asks to have looked at again.
    """

    state: str
    reason: str
    text: str
    rule: str
    report_in: float
    deadline_in: float | None = None
    confirm: str | None = None
    schema: int = SCHEMA
    service: str = SERVICE


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a report was not taken: a stable ``code``, a ``message`` with the remedy, seconds until a retry."""

    code: str
    message: str
    retry_in: float
    schema: int = SCHEMA
    service: str = SERVICE


def _plain(value: object) -> object:
    """Turn dataclasses, enums and tuples into what ``json.dumps`` takes, leaving out what is None."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        pairs = ((f.name, getattr(value, f.name)) for f in fields(value))  # type: ignore[arg-type]
        return {name: _plain(item) for name, item in pairs if item is not None}
    return value


def to_json(message: Report | Reply | Refusal) -> dict[str, Any]:
    """Return the message as a JSON object."""
    plain = _plain(message)
    assert isinstance(plain, dict)  # noqa: S101 - a dataclass becomes a dict
    return plain


def to_bytes(message: Report | Signal) -> bytes:
    """Return the message as it travels: without spaces, and without what every reader takes for granted.

    That is the strength of a strong signal; each version of `report_from_json` reads it so.
    """
    plain = _plain(message)
    assert isinstance(plain, dict)  # noqa: S101 - a dataclass becomes a dict
    for signal in plain.get("signals", (plain,)):
        if signal.get("strength") == Strength.STRONG.value:
            del signal["strength"]
    return json.dumps(plain, separators=(",", ":")).encode()


class _UnexpectedError(Exception):
    """A value of the wrong shape; the text says what was expected."""


LARGEST = 1e10
"""The largest duration, in seconds, and number of any other kind but bytes and counts: 300 years."""
LARGEST_INTEGER = 2**53
_Read = Callable[[Any], Any]
"""Takes a value out of JSON and returns it, or what is made of it; raises `_UnexpectedError`."""


def _text(limit: int = 200) -> _Read:
    def read(value: Any) -> str:
        # What is printed in an operator's terminal or log must not move its cursor or forge its lines.
        if isinstance(value, str) and len(value) <= limit and value.isprintable():
            return value
        raise _UnexpectedError(f"printable text of at most {limit} characters")

    return read


def _number(value: Any) -> float:
    # By identity a bool is no int; the bounds leave out NaN, and what no float can hold.
    if (type(value) is float or type(value) is int) and 0.0 <= value <= LARGEST:
        return float(value)
    raise _UnexpectedError(f"a number from 0 to {LARGEST:.0e}")


def _integer(value: Any) -> int:
    if (type(value) is float or type(value) is int) and 0 <= value <= LARGEST_INTEGER and value == int(value):
        return int(value)
    raise _UnexpectedError("a whole number >= 0")


def _items(limit: int) -> _Read:
    def read(value: Any) -> list[object]:
        if isinstance(value, list) and len(value) <= limit:
            return value
        raise _UnexpectedError(f"a list of at most {limit} items")

    return read


def _choice(doubt: Enum) -> tuple[_Read, Enum]:
    """Read an enum; one left out, or not known to this version, becomes ``doubt``, which protects."""
    options = {option.value: option for option in type(doubt)}
    text = _text()

    def read(value: Any) -> Enum:
        return options.get(text(value), doubt)

    return read, doubt


class _Shape:
    """How one kind of JSON object is read, field by field; a field not named here is ignored.

    ``required`` must be there. ``optional`` may be left out or null: the dataclass has a default. What
    stands in for the ``presumed`` is given here; they may be left out, but not null. Reading walks through
    the fields that came, not through all there could be: a service does it thousands of times a second.
    """

    def __init__(
        self,
        *,
        required: Mapping[str, _Read] | None = None,
        optional: Mapping[str, _Read] | None = None,
        presumed: Mapping[str, tuple[_Read, Any]] | None = None,
    ) -> None:
        self._required, self._optional = frozenset(required or {}), frozenset(optional or {})
        self._presumed = {name: value for name, (_, value) in (presumed or {}).items()}
        readers = {name: read for name, (read, _) in (presumed or {}).items()}
        readers |= {**(required or {}), **(optional or {})}
        # With the name as the code spells it: a call matches a keyword that is the very same text far faster.
        self._fields = {name: (name, reader) for name, reader in readers.items()}

    def read(self, data: object, where: str, index: int | None = None) -> dict[str, Any]:
        """Return the fields by name; ``where`` and ``index`` name the object in a complaint."""
        place = where if index is None else (where, index)
        if not isinstance(data, dict):
            raise InvalidMessageError(f"{_name(place)} is {data!r:.80}; expected a JSON object")
        values = self._presumed.copy()
        for key, value in data.items():
            field = self._fields.get(key)
            if field is None or (value is None and key in self._optional):
                continue
            name, reader = field
            try:
                values[name] = reader(value)
            except _UnexpectedError as expected:
                raise _wrong(data, name, place, expected) from None
        for name in self._required:
            if name not in values:
                raise _wrong(data, name, place, "it to be there")
        return values


def _name(place: str | tuple[str, int]) -> str:
    return place if isinstance(place, str) else "{}[{}]".format(*place)


def _wrong(
    data: Mapping[str, object], name: str, place: str | tuple[str, int], expected: object
) -> InvalidMessageError:
    return InvalidMessageError(f"{_name(place)}.{name} is {data.get(name)!r:.80}; expected {expected}")


_SIGNAL = _Shape(
    required={"kind": _text(), "source": _text()},
    presumed={"clock": _choice(Clock.PRESENCE), "strength": _choice(Strength.STRONG)},
    optional={
        "age": _number,
        "going_on_for": _number,
        "ended_ago": _number,
        "lasted": _number,
        "label": _text(),
        "actor": _text(),
        "count": _integer,
    },
)
_SOURCE = _Shape(
    required={"name": _text()},
    presumed={"health": _choice(Health.FAILED)},
    optional={"detail": _text(500), "failed_for": _number, "strength": _choice(Strength.STRONG)[0]},
)
_ABOUT = _Shape(
    optional={
        "hubcull": _text(),
        "jupyter_server": _text(),
        "python": _text(),
        "image": _text(500),
        "mem_limit": _integer,
        "mem_guarantee": _integer,
        "cpu_limit": _number,
        "cpu_guarantee": _number,
        "gpus": _integer,
    }
)
_REPORT = _Shape(
    required={"boot_id": _text(64), "sequence": _integer, "uptime": _number, "server": _text(600)},
    presumed={"sources": (_items(50), []), "signals": (_items(MAX_SIGNALS), []), "can": (_items(50), [])},
)
_REPLY = _Shape(
    required={
        "state": _text(),
        "reason": _text(),
        "text": _text(2000),
        "rule": _text(),
        "report_in": _number,
    },
    optional={"deadline_in": _number, "confirm": _text()},
)
_REFUSAL = _Shape(required={"code": _text(), "message": _text(2000), "retry_in": _number})


def _read_signal(data: object, index: int) -> Signal:
    values = _SIGNAL.read(data, "report.signals", index)
    timed = ("age" in values) + ("going_on_for" in values) + ("ended_ago" in values)
    if timed != 1 and values["clock"] is not Clock.NONE:
        place = f"report.signals[{index}]"
        raise InvalidMessageError(f"{place} needs exactly one of age, going_on_for and ended_ago")
    return Signal(**values)


def _check(data: object, where: str, service: str | None = None) -> Mapping[str, Any]:
    """Return the message as a mapping; its schema must be ours, and the service's name where one is given."""
    if not isinstance(data, dict):
        raise InvalidMessageError(f"{where} is {data!r:.80}; expected a JSON object")
    if service is not None and data.get("service") != service:
        raise _wrong(data, "service", where, f"{service!r}; this answer is not the service's")
    if data.get("schema") != SCHEMA:
        raise _wrong(data, "schema", where, f"{SCHEMA}; upgrade the older side")
    return data


def report_from_json(data: object) -> Report:
    """Read a report.

    Raises:
        InvalidMessageError: for an unknown schema or a field of the wrong shape.

    """
    body = _check(data, "report")
    values = _REPORT.read(body, "report")
    sources, signals = enumerate(values["sources"]), enumerate(values["signals"])
    values["sources"] = tuple([Source(**_SOURCE.read(item, "report.sources", i)) for i, item in sources])
    values["signals"] = tuple([_read_signal(item, i) for i, item in signals])
    values["about"] = About(**_ABOUT.read(body.get("about", {}), "report.about"))
    values["can"] = tuple(item for item in values["can"] if isinstance(item, str))
    return Report(**values)


def reply_from_json(data: object) -> Reply:
    """Read the service's reply.

    Raises:
        InvalidMessageError: when it is not recognisably the service's, or a field is of the wrong shape.

    """
    return Reply(**_REPLY.read(_check(data, "reply", SERVICE), "reply"))


def refusal_from_json(data: object) -> Refusal:
    """Read the service's refusal; raises `InvalidMessageError` as `reply_from_json` does."""
    return Refusal(**_REFUSAL.read(_check(data, "refusal", SERVICE), "refusal"))
