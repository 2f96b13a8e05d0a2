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
# `top -bn600`, `dmon -c 600`, `tail --pid=$!` and `--follow=name`, whose file may be removed, end as well.
_WATCHERS = {
    "tail": (re.compile(rb"-\d*[bcklmqrvz]*[fF]|--follow(=|$)"), re.compile(rb"--p|--f.*=n")),
    "journalctl": (re.compile(rb"-[aelmqx]*f|--follow$"), re.compile(rb"-[^-]*U|--unt")),
    "top": (None, re.compile(rb"-[^-]*n|--i|[bcdHimSs\d.]*n")),
    "nvidia-smi": (re.compile(rb"-l(ms)?(=|\d|$)|--loop|[dp]mon$"), re.compile(rb"-[^-]*c|--c")),
}
"""Listed programs that go on showing something; by which words one does (None: always), by which it ends."""

_NOTHING = re.compile(rb"(?!)")
_AWK = re.compile(rb"-[^Fv]|.*(exit|getline|nextfile|system|END|[>|@])", re.DOTALL)
# Any letter in a script of sed may be a command, and any `$` the last line: only what is plain is known,
# lines by number or /text/ shown (p), left out (d), numbered (=) or with something replaced (s). Versions
# differ in where `[/]` ends a text, so that a bracket is to hold no more than letters and classes.
_BRACKET = rb"\[\^?(?!\])(?:\[:\w+:\]|[^][\\/|,#@])+\]"
_LINES = rb"(?:\d+|/(?:[^/\\[]|\\.|" + _BRACKET + rb")*/I?)"
_TEXT = rb"(?:(?!\1)[^\\[]|\\.|" + _BRACKET + rb")*"
_REPLACE = rb"s([/|,#@])" + _TEXT + rb"\1(?:(?!\1)[^\\]|\\.)*\1[gIip\d]*"
_COMMAND = rb"(?:" + _LINES + rb"(?:," + _LINES + rb")?!?)?(?:[dp=]|" + _REPLACE + rb")"
_SCRIPT = rb"(?:" + _COMMAND + rb"(?:[;\n] ?|\Z))*\Z"
_SED = re.compile(rb"(?!--unbuffered\Z|(?:-[nErsu]*(?:e|\Z))?" + _SCRIPT + rb")", re.DOTALL)
# `head`, `wc` and `sort` are left out: these, and what matches here, end by themselves or tell something at
# the end, write files, begin other programs, or are not known. What they are for may come after them.
_FILTERS = {
    "awk": _AWK,
    "cat": _NOTHING,
    "cut": _NOTHING,
    "gawk": _AWK,
    "grep": re.compile(rb"-[^-]*[cdlLmqrRz]|--(?!colou?r|line-buffered)"),
    "jq": re.compile(
        rb"-[^-]*[efns]|--(?!unbuffered)|.*(first|halt|import|include|input|limit|until)", re.DOTALL
    ),
    "mawk": _AWK,
    "nl": _NOTHING,
    "sed": _SED,
    "tr": _NOTHING,
    "uniq": _NOTHING,
}
"""Programs that pass lines on as they come, and which words make more of one."""

# With a copy of its input in a file it collects; what a `+` tells it to do may be the same.
_PAGERS = {"less": re.compile(rb"-(?!-).*[oO]|--[lL][oO]|\+(?![FG/])", re.DOTALL)}
"""Programs that a person reads by, and which words make more of one."""

_SHOWS = ("dev/null", "dev/pts/", "dev/tty")
"""Files that a filter or a pager may have open: nothing is kept there."""

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
    return _keeps_nothing(table, process, more)


def _is_pager(table: ProcessTable, process: Process) -> bool:
    more = _PAGERS.get(called(table, process))
    return more is not None and _keeps_nothing(table, process, more)


def _keeps_nothing(table: ProcessTable, process: Process, more: re.Pattern[bytes]) -> bool:
    """Whether no word of a process makes ``more`` of it, and it has no file open that it may write to."""
    words = _options(table, process)
    if words is None or any(map(more.match, words)):
        return False
    return all(name.startswith(_SHOWS) for name in table.opened(process, "/"))


def _watches(table: ProcessTable, process: Process) -> bool:
    name, words = called(table, process), _options(table, process)
    if name not in _WATCHERS or words is None:
        return False
    goes_on, ends = _WATCHERS[name]
    return (goes_on is None or any(map(goes_on.match, words))) and not any(map(ends.match, words))


def _options(table: ProcessTable, process: Process) -> list[bytes] | None:
    """Return the words behind its name, or None where they may not be read."""
    words = table.words(process)
    return words[1:] if words else None


def _is_fed(table: ProcessTable, process: Process, listed: Listed, asked: frozenset[int]) -> bool:
    """Whether watchers say all that it reads, straight or by filters; ``asked`` are those behind it."""
    asked |= {process.pid}
    feeders = table.feeders(process)
    return bool(feeders) and all(_only_tells(table, one, listed, asked) for one in feeders)


def _only_tells(table: ProcessTable, process: Process, listed: Listed, asked: frozenset[int]) -> bool:
    """Whether it is a watcher, or a filter of what watchers say; ``asked`` are those behind it."""
    watches = listed(process) and _watches(table, process)
    # What is fed may end with what feeds it: `tail -f` of a pipe reads that through and does not follow.
    if watches and table.input_pipe(process) is None:
        return True
    if process.pid in asked or not (watches or _is_filter(table, process)):
        return False
    return _is_fed(table, process, listed, asked)


def _is_shown(table: ProcessTable, process: Process, listed: Listed, asked: frozenset[int]) -> bool:
    """Whether all that it writes is shown, straight or by filters; ``asked`` are those before it."""
    if table.writes_to_terminal(process):
        return True
    asked |= {process.pid}
    takers = table.takers(process)
    return bool(takers) and all(
        (listed(one) and _is_pager(table, one))
        or (one.pid not in asked and _is_filter(table, one) and _is_shown(table, one, listed, asked))
        for one in takers
    )
