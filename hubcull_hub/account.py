"""What options come to in plain language: what is stopped, when, what will differ. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hubcull_hub.options import Hubcull


def length(seconds: float) -> str:
    """Return a duration in words: "2 h 30 min"."""
    left, parts = round(seconds), []
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {'day' if unit == 'days' and count == 1 else unit}")
    return " ".join(parts) or "0 s"


@dataclass(frozen=True, slots=True)
class Account:
    """Three lists of sentences."""

    stopped: tuple[str, ...]
    differs: tuple[str, ...]
    with_reports: tuple[str, ...]


def account(options: Hubcull, cull_every: float, *, hook: bool) -> Account:
    """Return what will happen by these options."""
    return Account(
        tuple(_stopped(options, cull_every)), tuple(_differs(options, hook=hook)), _reports(options)
    )


def _kinds(options: Hubcull) -> str:
    default, named = options.cull_default_servers, options.cull_named_servers
    if default and named:
        return "a server"
    if default or named:
        return f"a {'default' if default else 'named'} server"
    return ""


def _stopped(options: Hubcull, cull_every: float) -> Iterable[str]:
    what, timeout = _kinds(options), length(options.timeout)
    if options.dry_run:
        yield "It is a dry run: the log says what would be done, and nothing is."
    if not what:
        yield "No server is stopped: default and named servers are both excluded."
    else:
        last = length(options.timeout + cull_every)
        yield (
            f"{what.capitalize()} is stopped when it has been idle for {timeout}. It is looked after every"
            f" {length(cull_every)}, so that happens between {timeout} and {last} after the last activity."
        )
        if what != "a server":
            other = "named" if what == "a default server" else "default"
            yield f"{other.capitalize()} servers are never stopped."
        if options.max_age:
            age = length(options.max_age)
            yield f"{what.capitalize()} that is {age} old is stopped even while somebody uses it."
        if options.remove_named_servers and options.cull_named_servers:
            yield "A named server that is stopped is also removed: its name and options are forgotten."
        bound = "without a bound" if not options.concurrency else f"at most {options.concurrency} at once"
        yield f"Servers are stopped {bound}."
    if options.delete_idle_users:
        yield from _users(options)
    else:
        yield "No user is deleted."


def _users(options: Hubcull) -> Iterable[str]:
    who = "Users, admins among them," if options.cull_admin_users else "Users, but no admins,"
    age = f", or their record is {length(options.max_age)} old" if options.max_age else ""
    yield (
        f"{who} are DELETED from the Hub's database, with their tokens, groups and roles, when they have been"
        f" inactive for {length(options.timeout)}{age}, and no server of theirs runs."
    )


def _differs(options: Hubcull, *, hook: bool) -> Iterable[str]:
    yield (
        f"No server is stopped for being idle in the first {length(options.warm_up)} after its own start, the"
        " service's or the Hub's (warm_up); idle-culler acts at once."
    )
    yield (
        "Right before each stop the Hub is asked once more, and a server that somebody has come back to is"
        " left alone; idle-culler acts on a list that may be minutes old."
    )
    yield from _max_age(options, hook=hook)
    if hook:
        yield (
            "The hook is asked only about servers of which enough is known to stop them, it has"
            f" {length(options.hook_timeout)} for an answer, and if it raises, the server is kept."
        )
    if options.delete_idle_users:
        yield (
            "The Hub counts the stop of a server as activity of its user, who is therefore deleted"
            f" {length(options.timeout)} after it; idle-culler deletes both in the same moment."
        )
    yield (
        "A misspelled option, a wrong value or a broken config file stops nothing and is named in the log;"
        " idle-culler 2 goes on with its defaults."
    )
    yield (
        "Servers of different users are stopped at the same time; idle-culler takes one user after the other."
    )
    yield (
        "It keeps a database, hubcull.sqlite in the working directory of the service; --database-url names"
        " another place."
    )


def _max_age(options: Hubcull, *, hook: bool) -> Iterable[str]:
    if not options.max_age:
        return
    kept = []
    if not (options.cull_default_servers and options.cull_named_servers):
        kept.append("servers of an excluded kind")
    if hook:
        kept.append("servers for which the hook says no")
    if options.delete_idle_users and not options.cull_admin_users:
        kept.append("admins")
    if kept:
        yield f"max_age spares {' and '.join(kept)}; idle-culler's max_age takes them, too."


def _reports(options: Hubcull) -> tuple[str, ...]:
    busy = f"for {length(options.max_busy)} at most" if options.max_busy else "without a limit"
    grace = max(options.visible_tab_grace, options.timeout)
    return (
        f"A cell that computes, and says nothing, keeps its server, {busy}; so does a job in a terminal."
        " Today both are stopped in the middle.",
        f"An open tab in the background keeps nothing: after {length(options.timeout)} the server is stopped."
        " Today it is kept for days.",
        f"A tab that is visible, with nobody typing, keeps its server for {length(grace)}.",
        f"A server that stops reporting is held for up to {length(options.silence_limit)}, and not stopped.",
    )
