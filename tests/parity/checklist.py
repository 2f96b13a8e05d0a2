"""What jupyterhub-idle-culler 2.0.0 does, line by line, and the names of the differences on purpose.

Each line needs a test that is marked with it, and each difference one that shows it, or
``tests/contract/test_parity.py`` fails. The words are for operators: they become ``docs/parity.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Section(NamedTuple):
    """One part of the checklist; its title begins with the letter that its lines begin with."""

    title: str
    lines: Mapping[str, str]


OPTIONS = {
    "1a.timeout": "`timeout`, 600: seconds of idleness at which a server is stopped",
    "1a.cull_every": "`cull_every`: seconds between two cycles, half of the timeout if it is not given",
    "1a.max_age": "`max_age`, 0 for never: age at which a server is stopped even if it is in use",
    "1a.cull_default_servers": "`cull_default_servers`, true: whether default servers are stopped",
    "1a.cull_named_servers": "`cull_named_servers`, true: whether named servers are stopped",
    "1a.remove_named_servers": "`remove_named_servers`, false: remove the named servers that are stopped",
    "1a.cull_users": "`cull_users`, false: delete inactive users, too",
    "1a.cull_admin_users": "`cull_admin_users`, true: whether admins are deleted, too",
    "1a.cull_arbiter_hook": "`c.IdleCuller.cull_arbiter_hook`, in a config file only",
    "1a.concurrency": "`concurrency`, 10, 0 for no bound: how much is asked of the Hub at once",
    "1a.api_page_size": "`api_page_size`, 0 for the Hub's default: users per page of a listing",
    "1a.config": "`--config`, `idle_culler_config.py`: `c.IdleCuller` in it; the command line wins",
    "1a.generate_config": "`--generate-config`: prints a config file, and exit code 0",
    "1a.class": "`--IdleCuller.timeout=60`: an option with its class",
    "1a.log_level": "`--Application.log_level=DEBUG`: more in the log; `--log-level`: an error",
    "1a.ssl_enabled": "`ssl_enabled`, `internal_certs_location`: TLS with the Hub's internal certificates",
    "1a.url": "`url`: the Hub's REST API, otherwise `JUPYTERHUB_API_URL`",
    "1a.token": "`JUPYTERHUB_API_TOKEN` is the token; a service that somebody else starts runs with it, too",
    "1a.request_timeout": "`JUPYTERHUB_REQUEST_TIMEOUT`, 60: seconds that one request may take",
}

COMMAND_LINE = {
    "1b.bare": "`--remove-named-servers`: an error; every switch needs its `=true`",
    "1b.underscores": "`--cull_every=60`: a warning, and the default holds",
    "1b.distributions": "the command lines of zero-to-jupyterhub and The Littlest JupyterHub, for 1.x",
    "1b.space": "`--timeout 60`: the same as `--timeout=60`",
    "1b.unknown": "an option that is none: a warning, and the rest holds",
    "1b.every_0": "`--cull-every=0`: an error",
    "1b.bad_value": "a value of the wrong type: an error",
    "1b.broken_file": "a config file that can not be run: an error in the log, and the defaults hold",
    "1b.missing_file": "a config file that is not there: ignored",
    "1b.logging": "`--logging=debug`: a warning, and nothing else",
    "1b.help": "`--help`, `--help-all`: the options, and exit code 0",
    "1b.version": "`--version`: 0.0",
    "1b.python": "`cull_idle(url, api_token, inactive_limit, logger, ...)`: one cycle, to be imported",
}

CYCLE = {
    "1c.1": "the Hub's version is asked for first; if that fails the cycle does nothing",
    "1c.2": "`now` is taken once, and what the listing said is acted on",
    "1c.3": "with `cull_users`, all users without a server are read first, by `state=inactive`",
    "1c.4": "all pages of the users with a ready server are read by `state=ready`, of whatever size",
    "1c.5": "nothing is stopped before the last page is read",
    "1c.7": "named servers that have stopped are not asked for, so they are never removed",
    "1c.6": "users are worked through one after the other, the servers of one user all at once",
}

SERVERS = {
    "1d.1": "a server with something pending is left alone",
    "1d.2": "a server that is not ready is left alone",
    "1d.3": "a server without a start time is judged by `last_activity` alone",
    "1d.4": "a server without activity is idle since its start",
    "1d.5": "a server with neither start nor activity",
    "1d.hook": "the hook decides, not the timeout: `inactive`, `inactive_limit`, `server`; plain or async",
    "1d.hook_error": "a server for which the hook raises is not stopped; others go on",
    "1d.6": "stopped when idle for the timeout or longer",
    "1d.7": "not idle, but as old as `max_age` or older: stopped; its start alone counts",
    "1d.8": "otherwise nothing is done",
    "1d.named": "default and named servers are judged one by one",
    "1d.dates": "times without a zone are UTC, others are taken by their zone",
    "1d.unreadable": "a server whose times can not be read, or are not shown, is not stopped",
    "1d.future": "activity in the future keeps a server",
    "1d.urls": "`DELETE /users/NAME/server`, `/users/NAME/servers/SERVER`, names quoted, no body",
    "1d.202": "202: slow to stop, no error; the log says so",
    "1d.errors": "any other answer, or none in time: logged, not repeated in this cycle, others go on",
}

USERS = {
    "1e.1": "a user with a server that runs, stops or could not be stopped stays; the others are next",
    "1e.2": "a user without activity is inactive since the record was made; without any time they stay",
    "1e.3": "deleted when inactive for the timeout, admins only with `cull_admin_users`",
    "1e.4": "or when the record is as old as `max_age`",
    "1e.5": "`DELETE /users/NAME`, once; an error is logged, others go on",
    "1e.6": "the hook is not asked about users",
    "1e.unreadable": "a user whose times can not be read stays",
}

PROCESS = {
    "1f.at_once": "the first cycle is at once",
    "1f.periodic": "then one every `cull_every` seconds",
    "1f.hub_down": "while the Hub fails nothing is stopped; it is tried again in the next cycle",
    "1f.retry": "a stop that failed is tried again in the next cycle",
    "1f.cost": "every cycle lists all users with a ready server",
    "1f.signals": "SIGINT ends it with exit code 0, SIGTERM at once",
    "1f.log": "errors of a cycle are in the log",
}

SCOPES = {
    "1g.readme": "its README's role and service entry, managed by the Hub",
    "1g.scopes": "the four scopes of its README are enough to stop servers",
    "1g.users": "with `admin:users` they are enough to delete users",
}

HUB = {
    "1h.paging": "leans on: pages that name the next one, users by `state`, active servers only",
    "1h.delete": "leans on: 204 for a stopped server, 404 for an unknown one, 400 to remove a default one",
}

OWN_TESTS = {
    "2.own_tests": "its own five tests pass",
}

SECTIONS = (
    Section("1a Options and environment", OPTIONS),
    Section("1b The command line", COMMAND_LINE),
    Section("1c One cycle", CYCLE),
    Section("1d Which servers are stopped", SERVERS),
    Section("1e Which users are deleted", USERS),
    Section("1f The process", PROCESS),
    Section("1g Permissions", SCOPES),
    Section("1h What the Hub does", HUB),
    Section("2 Its own tests", OWN_TESTS),
)

DIFFERENCES = {
    "D1": "users are worked through one by one, whatever `concurrency` says: 200 stops of 1 s take 200 s",
    "D2": "one slow stop delays all that come after it",
    "D3": "pycurl is asked for and never used; more than ten requests at once are impossible",
    "D4": "what the listing said is acted on, however long ago that was: servers in use are stopped",
    "D5": "the default hook fails on a server without any time",
    "D6": "`max_age` overrides what was to protect: the switch of a kind, the hook, an admin",
    "D7": "names are not fully quoted: another server or user than the one that is meant can be asked for",
    "D8": "the API token is in the log whenever a cycle fails",
    "D9": "the first and the second cycle overlap: servers are asked to stop twice",
    "D10": "what is misspelled or broken in the options is ignored, and the defaults hold",
    "D11": "what failed is tried again at once, for ever, however busy the Hub is",
    "D12": "the models of all users are kept in memory for the length of a cycle",
    "L1": "a server without reports is stopped by `last_activity` only once server, service and Hub"
    " have been up for `warm_up`: it might be about to report",
    "L2": "without a start time nothing tells a server from its successor, so it is held",
    "L3": "right before a stop the Hub is asked for that one user: what is unknown by then is not idle",
    "L4": "a Hub older than 4.0, or a missing scope, is named in the log; nothing is stopped",
    "L5": "pages are large by default, which costs the Hub less",
    "L6": "the next page is asked for by its offset, at the Hub's own address",
    "L7": "a stop that the Hub accepted is followed to its end, for ten minutes at most",
    "L8": "the end is orderly: stops under way are waited for, and the exit code is 0",
    "L9": "between listings the view is kept fresh by reports and by reading single users",
    "L10": "what 1.x understood and 2.0 does not is understood, so that either's configuration runs",
    "L11": "what the Hub says after a stop counts: the stopped server's user was active just then",
    "L12": "what can be known without a listing is not listed",
    "L13": "every call to the outside has a time limit, one of the operator's hook included",
    "L14": "one cycle by itself knows no reports and no second look: programs ask the running service",
}
