"""The words the service thinks in: servers, evidence, policy, verdicts, plans, outcomes.

Plain immutable values; no I/O, no clock, no wire. Durations are seconds, times are aware UTC. Those that are
made for every report are named tuples, which cost half of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Generic, NamedTuple, Protocol, TypeVar


class ServerKey(NamedTuple):
    """One server: its owner and its name, ``""`` for the default server."""

    user: str
    server: str

    def __str__(self) -> str:
        """Return the Hub's ``full_name``: ``alice/``, ``alice/gpu``."""
        return f"{self.user}/{self.server}"

    @classmethod
    def parse(cls, text: str) -> ServerKey:
        """Read ``alice``, ``alice/`` or ``alice/gpu``; user names never contain a slash."""
        user, _, server = text.partition("/")
        return cls(user, server)


class Instant(NamedTuple):
    """One moment on both clocks: ``utc`` to compare with the Hub's times, ``mono`` (s) for durations."""

    utc: datetime
    mono: float

    def plus(self, seconds: float) -> Instant:
        """Return the moment ``seconds`` later."""
        return Instant(self.utc + timedelta(seconds=seconds), self.mono + seconds)


@dataclass(frozen=True, slots=True)
class ServerState:
    """What the Hub says of a server that is running (REST model of `GET /users`)."""

    key: ServerKey
    started: datetime | None
    last_activity: datetime | None
    ready: bool
    pending: str | None = None
    groups: frozenset[str] = frozenset()
    admin: bool = False
    readable: bool = True
    """Whether its times could be read; one that could not is unknown, not old."""
    model: Mapping[str, object] | None = None
    """The Hub's whole model of it, and of its ``owner`` without the servers: only kept for a hook."""
    owner: Mapping[str, object] | None = None


class Clock(str, Enum):
    """Which clock a signal moves."""

    PRESENCE = "presence"
    WORK = "work"
    NONE = "none"


class Signal(Protocol):
    """One fact from a report, its durations (s) as of the report's receipt.

    An event has an ``age``, work is ``going_on_for`` or ``ended_ago`` and ``lasted``; ``clock`` is one of
    `Clock`'s values. The wire's signals are such, and so is a `Fact`: the decision reads both alike.
    """

    @property
    def kind(self) -> str:
        """Text."""

    @property
    def source(self) -> str:
        """Text."""

    @property
    def clock(self) -> str:
        """Text."""

    @property
    def age(self) -> float | None:
        """Seconds, or None."""

    @property
    def going_on_for(self) -> float | None:
        """Seconds, or None."""

    @property
    def ended_ago(self) -> float | None:
        """Seconds, or None."""

    @property
    def lasted(self) -> float | None:
        """Seconds, or None."""

    @property
    def label(self) -> str | None:
        """What it was, in the field's own words."""

    @property
    def actor(self) -> str | None:
        """Who acted, where that is known."""

    @property
    def count(self) -> object:
        """A number, for signals that are one."""


class Fact(NamedTuple):
    """A `Signal` of our own making: read back from the store, or aged."""

    kind: str
    source: str
    clock: str
    age: float | None = None
    going_on_for: float | None = None
    ended_ago: float | None = None
    lasted: float | None = None
    label: str | None = None
    actor: str | None = None
    count: int | None = None  # type: ignore[assignment] # a tuple's own count() is of no use here

    @classmethod
    def of(cls, signal: Signal) -> Fact:
        """Return the same as a Fact."""
        return cls(*(getattr(signal, name) for name in cls._fields))


@dataclass(frozen=True, slots=True)
class SourceFault:
    """A source that could not be read, and for how long (s)."""

    name: str
    failed_for: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SourceRemark:
    """A source that is ``off``, by the settings of its server, or is well and says what it can not see."""

    name: str
    off: bool = False
    detail: str = ""


class Standing(NamedTuple):
    """How a server stood when its report came in; `hubcull_hub.standing` says so.

    ``ends``: seconds after the receipt at which the last protection ends, negative when it had ended before,
    infinite for work without a cap. ``idle``: seconds, the smaller of the two clocks. ``under``: the policy
    by which all this is so. The rest names the signal that protects longest; ``template`` and ``args`` are
    the words for it (see `Verdict.text`).
    """

    ends: float
    idle: float
    reason: Reason
    source: str
    template: str
    args: tuple[str | float, ...]
    under: Policy


class Received(NamedTuple):
    """The newest report of one incarnation of a server, as it was received.

    ``mono`` is None for evidence read back from the store: it may protect, never condemn.
    ``interval`` is the one last asked for (s), ``heard`` the listening clock at receipt (s).
    ``validated``: the token was checked with the Hub for this very report.
    ``carried`` is what earlier runs of the same incarnation's process had shown, aged to this receipt.
    ``start_took`` is how long the server's start took (s), from the Hub's ``started`` until its first process
    of which we know was up: the Hub sets ``started`` when it begins to start a server.
    ``standing`` is what `hubcull_hub.standing` makes of the rest under one policy, found at receipt, or None.
    Whoever changes what it rests on must leave it out.
    ``faults`` are of strong sources; ``weak_faults`` and ``remarks`` are shown and put nothing in doubt.
    """

    started: datetime
    boot_id: str
    sequence: int
    uptime: float
    utc: datetime
    mono: float | None
    interval: float
    heard: float
    signals: Sequence[Signal]
    faults: tuple[SourceFault, ...] = ()
    carried: tuple[Signal, ...] = ()
    validated: bool = False
    start_took: float = 0.0
    standing: Standing | None = None
    weak_faults: tuple[SourceFault, ...] = ()
    remarks: tuple[SourceRemark, ...] = ()


class Reason(str, Enum):
    """Why a verdict is what it is; part of the API, the log and the audit trail."""

    # keep
    ACTIVE = "active"  # a person acted within the timeout
    BUSY = "busy"  # counted work is going on
    WORKED = "worked"  # counted work ended within the timeout
    READING = "reading"  # a visible tab polls, within its grace
    STARTED = "started"  # the server itself started within the timeout
    HUB_ACTIVE = "hub_active"  # without extension: the Hub's last_activity is within the timeout
    NOT_READY = "not_ready"
    HOOK_KEEPS = "hook_keeps"  # the operator's hook says no
    HOOK_FAILED = "hook_failed"  # it raised, or did not answer in time
    PENDING = "pending"
    EXCLUDED = "excluded"  # servers of its kind are not culled
    # hold
    HUB_UNFIT = "hub_unfit"  # the Hub is too old, or a scope is missing
    UNDATED = "undated"  # the Hub gives no time that could be used
    WARMING_UP = "warming_up"  # the service or the Hub has not been up long enough
    AWAITING_REPORT = "awaiting_report"  # past the deadline, no report from after it yet
    UNCONFIRMED = "unconfirmed"  # the token of the deciding report is still to be checked
    SILENT = "silent"  # it used to report and stopped
    SILENT_AT_WORK = "silent_at_work"  # its last report showed work under way
    SOURCE_FAILED = "source_failed"  # a source of signals could not be read
    UNPROVEN = "unproven"  # somebody reports for this user with a token that proves no server
    UNREADABLE = "unreadable"  # it reports, and its reports can not be read
    FUTURE = "future"  # last_activity lies in the future
    # cull
    IDLE = "idle"  # by its own report
    HUB_IDLE = "hub_idle"  # by the Hub's last_activity
    MAX_AGE = "max_age"
    HOOK_CULLS = "hook_culls"  # the operator's hook says so


class Action(str, Enum):
    """What a verdict asks for."""

    KEEP = "keep"
    HOLD = "hold"
    CULL = "cull"


class Basis(str, Enum):
    """What a verdict rests on."""

    REPORT = "report"
    HUB = "last_activity"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Policy:
    """One rule's limits, in seconds; 0 switches a limit off where the option says so.

    ``default_servers``, ``named_servers``: whether servers of that kind are culled at all.
    """

    rule: str = "default"
    timeout: float = 600
    max_age: float = 0
    max_busy: float = 72 * 3600
    silence_limit: float = 24 * 3600
    visible_tab_grace: float = 3600
    warm_up: float = 660
    default_servers: bool = True
    named_servers: bool = True


class Watch(NamedTuple):
    """How well the service can see, at the moment of a decision.

    ``since``: monotonic second from which on it has watched without a gap (its own start, the Hub's, a
    jump of the wall clock). ``heard``: the listening clock, which runs only while reports come in (s).
    ``unfit``: why nothing may be stopped at all, or None. ``jumped``: monotonic second of the last jump of
    the wall clock, None where there was none.
    """

    since: float
    heard: float
    unfit: str | None = None
    jumped: float | None = None


class Evidence(NamedTuple):
    """All that a decision about one server may look at.

    ``first_heard`` is the listening clock when this incarnation was first seen. ``doubt`` says that somebody
    reports for it whom we can not believe (`Reason.UNPROVEN`) or understand (`Reason.UNREADABLE`).
    """

    server: ServerState
    watch: Watch
    report: Received | None = None
    first_heard: float = 0.0
    doubt: Reason | None = None


def span(seconds: float) -> str:
    """Format a duration as H:MM:SS, with days in front where there are any; 300 years at most."""
    if 0.0 <= seconds < 86_400.0:  # as a timedelta says it, at half the price
        minutes, rest = divmod(int(seconds), 60)
        return "%d:%02d:%02d" % (*divmod(minutes, 60), rest)  # noqa: UP031 - an f-string takes a third longer
    return str(timedelta(seconds=int(min(max(0.0, seconds), 1e10))))


class Verdict(NamedTuple):
    """What is to become of one server, why, by which rule, and when it would be stopped at the earliest.

    ``deadline`` is None where no stop is foreseeable. ``idle`` in seconds, None where it is not known.
    ``decided_by`` names the signal that protects or condemns. ``template`` and ``args`` are the reason's
    words, put together by `text` only where somebody reads them: 10,000 verdicts a cycle are not read.
    """

    key: ServerKey
    started: datetime | None
    action: Action
    reason: Reason
    rule: str
    basis: Basis
    deadline: datetime | None
    template: str
    args: tuple[str | float, ...] = ()
    idle: float | None = None
    decided_by: str | None = None

    @property
    def text(self) -> str:
        """Return the reason in plain words."""
        return self.template.format(*[a if isinstance(a, str) else span(a) for a in self.args])


@dataclass(frozen=True, slots=True)
class Limits:
    """What one cycle may do at most, and how: ``stops`` 0 means no limit.

    ``remove_named_servers``: a named server that is culled is removed, not only stopped.
    """

    stops: int = 0
    dry_run: bool = False
    remove_named_servers: bool = False


class Deferral(str, Enum):
    """Why a due server is not stopped in this cycle."""

    BUDGET = "budget"  # this cycle's stops are used up
    IN_FLIGHT = "in_flight"  # a stop of it is under way
    BACK_OFF = "back_off"  # its last stop failed; tried again later
    SAID = "said"  # a dry run has said so already


@dataclass(frozen=True, slots=True)
class CullPlan:
    """What this cycle will do, in order, and what it leaves for later and why."""

    stop: tuple[Verdict, ...] = ()
    deferred: tuple[tuple[Verdict, Deferral], ...] = ()


class Result(str, Enum):
    """What came of one planned stop, or of one planned deletion of a user."""

    STOPPED = "stopped"
    STOPPING = "stopping"  # the Hub is at it, and we follow
    WOULD_STOP = "would_stop"  # dry run
    DELETED = "deleted"  # of a user
    WOULD_DELETE = "would_delete"  # of a user, in a dry run
    GONE = "gone"  # somebody else was faster
    REPLACED = "replaced"  # another incarnation runs under this name
    SPARED = "spared"  # on the second look the verdict was another
    FAILED = "failed"  # nothing was done, or not for certain; tried again later
    STUCK = "stuck"  # the Hub accepted the stop and never finished it


_Verdict_co = TypeVar("_Verdict_co", covariant=True)


@dataclass(frozen=True)  # without slots, which a generic class that is also frozen does not survive
class Ended(Generic[_Verdict_co]):
    """What came of acting on one verdict: the verdict, the result, and words for the log."""

    verdict: _Verdict_co
    result: Result
    detail: str = ""


Outcome = Ended[Verdict]
"""What came of culling one server."""
