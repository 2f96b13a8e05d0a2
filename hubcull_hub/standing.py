"""What a report is worth under a policy: pure arithmetic over signals, no `now`.

All durations are as of the report's receipt, so a standing is computed once for a report and stays true;
`policy` adds the time since.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from hubcull_hub.model import Clock, Fact, Policy, Reason, Received, Signal, Standing

_NO_CLOCK = Clock.NONE.value

MOST_WORK_CARRIED = 20
"""How many pieces of work are carried from one report to the next; a user decides how many there are."""

VISIBLE_TAB = "visible_tab"
"""The one kind of signal with a rule of its own; see `_in_words_of_tab`."""


def standing(report: Received, policy: Policy) -> Standing:
    """Return what the facts of a report protect, until when, and which of them does.

    Where that was found under this very policy when the report came in, it is taken as found.
    """
    found = report.standing
    if found is not None and found.under is policy:
        return found
    up = (report.utc - report.started).total_seconds() - report.start_took
    return weigh((*report.signals, *report.carried), up, policy)


def weigh(signals: Iterable[Signal], up: float, policy: Policy) -> Standing:
    """Return the `standing` of a server that was up for ``up`` seconds and showed ``signals``.

    The end of the server's start is a fact too: whoever has waited for one, however long, has not left it.
    """
    idle = up
    ends, last = policy.timeout - idle, None
    tab: Signal | None = None
    for signal in signals:
        if signal.clock == _NO_CLOCK:
            continue
        if signal.kind == VISIBLE_TAB:
            tab = signal if tab is None or (signal.age or 0.0) < (tab.age or 0.0) else tab
            continue
        if signal.age is not None:
            signal_idle, signal_ends = signal.age, policy.timeout - signal.age
        else:
            signal_idle, signal_ends = _worth_of_work(signal, policy)
        if signal_idle < idle:  # noqa: PLR1730 - a call of min costs as much as all of this
            idle = signal_idle
        if signal_ends > ends or (signal_ends == ends and _goes_before(signal, last)):
            ends, last = signal_ends, signal
    if tab is not None:
        tab_ends = min(policy.timeout - (tab.age or 0.0), policy.visible_tab_grace - idle)
        if policy.visible_tab_grace and tab_ends > ends:
            return _in_words_of_tab(tab, tab_ends, idle, policy)
    reason, source, words, args = _in_words(last, up)
    return Standing(ends, idle, reason, source, words, args, policy)


def _goes_before(signal: Signal, last: Signal | None) -> bool:
    """Tell which of two that protect equally long is named: work under way, then work that ended, then acts.

    Else the order in a report would matter, and a report that leaves out what can not decide has another.
    """
    if last is None:
        return signal.age is None
    if last.going_on_for is not None:
        return False
    return signal.going_on_for is not None or (signal.ended_ago is not None and last.ended_ago is None)


def _worth_of_work(signal: Signal, policy: Policy) -> tuple[float, float]:
    """Return (idle, ends) of one piece of work, infinite and minus infinite where it says nothing.

    It counts up to ``max_busy``: one that goes on longer, or lasted longer, ended there for us.
    """
    if signal.going_on_for is not None:
        over = signal.going_on_for - policy.max_busy if policy.max_busy else -math.inf
        return max(0.0, over), policy.timeout - over
    if signal.ended_ago is None:
        return math.inf, -math.inf
    over = (signal.lasted or 0.0) - policy.max_busy if policy.max_busy else 0.0
    idle = signal.ended_ago + max(0.0, over)
    return idle, policy.timeout - idle


def _in_words(signal: Signal | None, up: float) -> tuple[Reason, str, str, tuple[str | float, ...]]:
    """Name the signal that protects longest; None stands for the start of the server, ``up`` seconds ago."""
    if signal is None:
        return Reason.STARTED, "started", "started {} before its last report", (up,)
    what, source = signal.label or signal.kind, signal.source
    if signal.going_on_for is not None:
        words = "{} in {} going on for {}"
        return Reason.BUSY, source, words, (what, source, signal.going_on_for)
    if signal.ended_ago is not None:
        words = "{} in {} ended {} before the report"
        return Reason.WORKED, source, words, (what, source, signal.ended_ago)
    return Reason.ACTIVE, source, "{} in {} {} before the report", (what, source, signal.age or 0.0)


def _in_words_of_tab(tab: Signal, ends: float, idle: float, policy: Policy) -> Standing:
    """Name a visible tab, whose polls protect like presence, but for ``visible_tab_grace`` in all at most.

    A person who only reads leaves no other trace, and a forgotten tab must not live for ever: so the grace
    counts from the last real activity, and a tab that is hidden has the ordinary timeout left at most.
    """
    words = "a visible tab polled {} before the report, and nothing else happened for {}"
    return Standing(ends, idle, Reason.READING, tab.source, words, (tab.age or 0.0, idle), policy)


def carry(earlier: Received, uptime: float, elapsed: float) -> tuple[Signal, ...]:
    """Return what an earlier run of the same incarnation still proves, aged to a new run's report.

    A new ``boot_id`` under the same ``started`` means that only the process began anew: what was seen before
    goes on ageing. Work that was under way ended when the new process began, at the latest.

    Args:
        earlier: the last report of the earlier run.
        uptime: of the new run at its report (s).
        elapsed: between the two receipts (s, >= 0).

    """
    signals = (_aged(s, elapsed) for s in (*earlier.signals, *earlier.carried) if s.clock != _NO_CLOCK)
    return _newest(_ended(s, min(uptime, elapsed)) for s in signals)


def age_carried(earlier: Received, elapsed: float) -> tuple[Signal, ...]:
    """Return what `earlier` had carried of earlier runs, ``elapsed`` seconds older, for its next report."""
    return tuple(_aged(s, elapsed) for s in earlier.carried if s.going_on_for is None)


def _aged(signal: Signal, elapsed: float) -> Fact:
    fact = Fact.of(signal)
    if fact.going_on_for is not None:
        return fact._replace(going_on_for=fact.going_on_for + elapsed)
    if fact.ended_ago is not None:
        return fact._replace(ended_ago=fact.ended_ago + elapsed)
    return fact if fact.age is None else fact._replace(age=fact.age + elapsed)


def _ended(fact: Fact, ago: float) -> Fact:
    if fact.going_on_for is None:
        return fact
    lasted = max(0.0, fact.going_on_for - ago)
    return fact._replace(going_on_for=None, ended_ago=ago, lasted=lasted)


def _newest(facts: Iterable[Fact]) -> tuple[Signal, ...]:
    """Keep what protects longest and drop the rest, so that restarts in a row do not pile up.

    Of events the newest, a tab apart; of finished work the newest, and older work only if it was shorter,
    for a longer one may have outlived its cap.
    """
    events: dict[bool, Fact] = {}
    work: list[Fact] = []
    for fact in facts:
        tab = fact.kind == VISIBLE_TAB
        if fact.ended_ago is not None:
            work.append(fact)
        elif fact.age is not None and (tab not in events or fact.age < (events[tab].age or 0.0)):
            events[tab] = fact
    kept: list[Fact] = []
    for fact in sorted(work, key=lambda f: (f.ended_ago or 0.0, f.lasted or 0.0)):
        if not kept or (fact.lasted or 0.0) < (kept[-1].lasted or 0.0):
            kept.append(fact)
    return (*events.values(), *kept[:MOST_WORK_CARRIED])


def still_at_work(earlier: Received, elapsed: float) -> tuple[Signal, ...]:
    """Return the work that a report showed under way, ``elapsed`` seconds on.

    While a source can not be read, the newest report does not show its work; it is taken to go on.
    """
    signals = (*earlier.signals, *earlier.carried)
    return tuple(_aged(s, elapsed) for s in signals if s.going_on_for is not None)[:MOST_WORK_CARRIED]
