"""The schema of report and reply, one definition for both packages.

It knows the shape of the messages and nothing of where their content comes from or what
it is worth. Standard library only. Images live for years: fields may be added, never
renamed or removed, and unknown fields are ignored. All durations are seconds, taken from
the sender's monotonic clock, so that two machines' clocks never have to agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, TypeVar

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
    KERNEL_REQUEST = "kernel_request"  # presence: execute, complete, inspect, comm from a front end
    KERNEL_CONNECTIONS = "kernel_connections"  # none: how many websockets a kernel has
    TERMINAL_INPUT = "terminal_input"  # presence: a keystroke
    TERMINAL_OUTPUT = "terminal_output"  # none
    TERMINAL_JOB = "terminal_job"  # work: a process that does not wait for its terminal
    API_REQUEST = "api_request"  # presence: a request that only a person's act makes
    VISIBLE_TAB = "visible_tab"  # presence, weak: the polls of a page that somebody may be looking at
    FOREIGN = "foreign"  # presence: what another extension or an unknown handler claims


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
    """One source of signals and its health; ``failed_for`` seconds when it failed, ``detail`` says why."""

    name: str
    health: Health
    detail: str | None = None
    failed_for: float | None = None


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


_E = TypeVar("_E", bound=Enum)


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


class _Reader:
    """Reads typed fields out of one JSON object, naming the field in every complaint."""

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, Mapping):
            raise InvalidMessageError(f"{where} is {data!r:.80}; expected a JSON object")
        self.data, self.where = data, where

    def fail(self, name: str, expected: str) -> InvalidMessageError:
        value = self.data.get(name)
        return InvalidMessageError(f"{self.where}.{name} is {value!r:.80}; expected {expected}")

    def text(self, name: str, limit: int = 200) -> str:
        value = self.data.get(name)
        if not isinstance(value, str) or len(value) > limit:
            raise self.fail(name, f"text of at most {limit} characters")
        return value

    def optional_text(self, name: str, limit: int = 200) -> str | None:
        return None if self.data.get(name) is None else self.text(name, limit)

    def number(self, name: str) -> float:
        value = self.data.get(name)
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not math.isfinite(value)
            or value < 0
        ):
            raise self.fail(name, "a finite number >= 0")
        return float(value)

    def optional_number(self, name: str) -> float | None:
        return None if self.data.get(name) is None else self.number(name)

    def integer(self, name: str) -> int:
        value = self.number(name)
        if value != int(value):
            raise self.fail(name, "a whole number >= 0")
        return int(value)

    def optional_integer(self, name: str) -> int | None:
        return None if self.data.get(name) is None else self.integer(name)

    def items(self, name: str, limit: int) -> list[object]:
        value = self.data.get(name, [])
        if not isinstance(value, list) or len(value) > limit:
            raise self.fail(name, f"a list of at most {limit} items")
        return value

    def choice(self, name: str, options: type[_E], doubt: _E) -> _E:
        """Read an enum; one left out, or not known to this version, becomes ``doubt``, which protects."""
        if name not in self.data:
            return doubt
        try:
            return options(self.text(name))
        except ValueError as error:
            if isinstance(error, InvalidMessageError):
                raise
            return doubt


def _read_signal(data: object, where: str) -> Signal:
    read = _Reader(data, where)
    signal = Signal(
        kind=read.text("kind"),
        source=read.text("source"),
        clock=read.choice("clock", Clock, Clock.PRESENCE),
        strength=read.choice("strength", Strength, Strength.STRONG),
        age=read.optional_number("age"),
        going_on_for=read.optional_number("going_on_for"),
        ended_ago=read.optional_number("ended_ago"),
        lasted=read.optional_number("lasted"),
        label=read.optional_text("label"),
        actor=read.optional_text("actor"),
        count=read.optional_integer("count"),
    )
    timed = (signal.age, signal.going_on_for, signal.ended_ago)
    if signal.clock is not Clock.NONE and sum(t is not None for t in timed) != 1:
        raise InvalidMessageError(f"{where} needs exactly one of age, going_on_for and ended_ago")
    return signal


def _read_source(data: object, where: str) -> Source:
    read = _Reader(data, where)
    return Source(
        name=read.text("name"),
        health=read.choice("health", Health, Health.FAILED),
        detail=read.optional_text("detail", limit=500),
        failed_for=read.optional_number("failed_for"),
    )


def _read_about(data: object) -> About:
    read = _Reader(data, "report.about")
    return About(
        hubcull=read.optional_text("hubcull") or "",
        jupyter_server=read.optional_text("jupyter_server") or "",
        python=read.optional_text("python") or "",
        image=read.optional_text("image", limit=500),
        mem_limit=read.optional_integer("mem_limit"),
        mem_guarantee=read.optional_integer("mem_guarantee"),
        cpu_limit=read.optional_number("cpu_limit"),
        cpu_guarantee=read.optional_number("cpu_guarantee"),
        gpus=read.optional_integer("gpus"),
    )


def _check_schema(read: _Reader) -> None:
    if read.data.get("schema") != SCHEMA:
        raise read.fail("schema", f"{SCHEMA}; upgrade the older side")


def report_from_json(data: object) -> Report:
    """Read a report.

    Raises:
        InvalidMessageError: for an unknown schema or a field of the wrong shape.

    """
    read = _Reader(data, "report")
    _check_schema(read)
    return Report(
        boot_id=read.text("boot_id", limit=64),
        sequence=read.integer("sequence"),
        uptime=read.number("uptime"),
        server=read.text("server", limit=600),
        sources=tuple(
            _read_source(item, f"report.sources[{i}]") for i, item in enumerate(read.items("sources", 50))
        ),
        signals=tuple(
            _read_signal(item, f"report.signals[{i}]")
            for i, item in enumerate(read.items("signals", MAX_SIGNALS))
        ),
        about=_read_about(read.data.get("about", {})),
        can=tuple(item for item in read.items("can", 50) if isinstance(item, str)),
    )


def _check_service(read: _Reader) -> None:
    if read.data.get("service") != SERVICE:
        raise read.fail("service", f"{SERVICE!r}; this answer is not the service's")
    _check_schema(read)


def reply_from_json(data: object) -> Reply:
    """Read the service's reply.

    Raises:
        InvalidMessageError: when it is not recognisably the service's, or a field is of the wrong shape.

    """
    read = _Reader(data, "reply")
    _check_service(read)
    return Reply(
        state=read.text("state"),
        reason=read.text("reason"),
        text=read.text("text", limit=2000),
        rule=read.text("rule"),
        report_in=read.number("report_in"),
        deadline_in=read.optional_number("deadline_in"),
        confirm=read.optional_text("confirm"),
    )


def refusal_from_json(data: object) -> Refusal:
    """Read the service's refusal; raises `InvalidMessageError` as `reply_from_json` does."""
    read = _Reader(data, "refusal")
    _check_service(read)
    return Refusal(
        code=read.text("code"), message=read.text("message", limit=2000), retry_in=read.number("retry_in")
    )
