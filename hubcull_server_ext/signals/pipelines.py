"""Which processes only show, line by line, what a watcher says: the ``grep`` of ``tail -f log | grep x``.

It knows such programs and the options that make more of them; nothing of terminals, and it
remembers nothing. What is not plainly one of these is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from hubcull_server_ext.signals.process import Process
from hubcull_server_ext.signals.processes import ProcessTable

MULTICALL = frozenset({"busybox", "coreutils", "toybox"})
"""Programs that are many, by the name under which they are called."""

# What has an end may be a computation: `tail -n +2 data.csv | awk` reads a file through, and then is done.
_WATCHERS = {
    "tail": re.compile(rb"-\d*[bcklmqrvz]*[fF]|--follow(=|$)"),
    "journalctl": re.compile(rb"-[aelmqx]*f|--follow$"),
    "top": None,
    "nvidia-smi": None,
}
"""Listed programs that go on showing something, and by which of its words one does so; None: always."""

_NOTHING = re.compile(rb"(?!)")
_AWK = re.compile(rb"-[^Fv]|.*(exit|getline|system|[>|])", re.DOTALL)
# `head`, `wc` and `sort` are left out: these, and what matches here, end by themselves or tell something at
# the end, write files, begin other programs, or are not known. What they are for may come after them.
_FILTERS = {
    "awk": _AWK,
    "cat": _NOTHING,
    "cut": _NOTHING,
    "gawk": _AWK,
    "grep": re.compile(rb"-[^-]*[clLmqrR]|--(?!colou?r|line-buffered)"),
    "jq": re.compile(rb"-[^-]*[efns]|--(?!unbuffered)|.*(first|halt|input|limit|until)", re.DOTALL),
    "mawk": _AWK,
    "nl": _NOTHING,
    "sed": re.compile(rb"-[^-]*[fi]|--(?!unbuffered)|.*[qQ]", re.DOTALL),
    "tr": _NOTHING,
    "uniq": _NOTHING,
}
"""Programs that pass lines on as they come, and which words make more of one."""

_PAGERS = frozenset({"less"})
_SHOWS = ("dev/null", "dev/pts/", "dev/tty")
"""Files that a filter may have open: nothing is kept there."""

Listed = Callable[[Process], bool]


def called(table: ProcessTable, process: Process) -> str:
    """Return the name of a process's program; one that is many goes by the name of its call."""
    executable = table.executable(process)
    return process.name if executable is None or executable in MULTICALL else executable


def only_shows(table: ProcessTable, process: Process, listed: Listed) -> bool:
    """Whether a process only passes on what watchers say, to the terminal or a pager, and hardly computes.

    Args:
        table: the processes, as last read.
        process: the one in question.
        listed: tells whether one is on the list of programs that are never work.

    """
    if not _is_filter(table, process) or table.computes(process):
        return False
    return _is_fed(table, process, listed, frozenset()) and _is_shown(table, process, listed, frozenset())


def _is_filter(table: ProcessTable, process: Process) -> bool:
    more = _FILTERS.get(called(table, process))
    if more is None or process.threads > 1 or table.children(process):
        return False
    words = _options(table, process)
    if words is None or any(map(more.match, words)):
        return False
    return all(name.startswith(_SHOWS) for name in table.opened(process, "/"))


def _watches(table: ProcessTable, process: Process) -> bool:
    name = called(table, process)
    if name not in _WATCHERS:
        return False
    follows, words = _WATCHERS[name], _options(table, process)
    return follows is None or (words is not None and any(map(follows.match, words)))


def _options(table: ProcessTable, process: Process) -> list[bytes] | None:
    """Return the words behind its name, or None where they may not be read."""
    words = table.words(process)
    return words[1:] if words else None


def _is_fed(table: ProcessTable, process: Process, listed: Listed, asked: frozenset[int]) -> bool:
    """Whether watchers say all that it reads, straight or by filters; ``asked`` are those behind it."""
    asked |= {process.pid}
    feeders = table.feeders(process)
    return bool(feeders) and all(
        (listed(one) and _watches(table, one))
        or (one.pid not in asked and _is_filter(table, one) and _is_fed(table, one, listed, asked))
        for one in feeders
    )


def _is_shown(table: ProcessTable, process: Process, listed: Listed, asked: frozenset[int]) -> bool:
    """Whether all that it writes is shown, straight or by filters; ``asked`` are those before it."""
    if table.writes_to_terminal(process):
        return True
    asked |= {process.pid}
    takers = table.takers(process)
    return bool(takers) and all(
        (listed(one) and called(table, one) in _PAGERS)
        or (one.pid not in asked and _is_filter(table, one) and _is_shown(table, one, listed, asked))
        for one in takers
    )
