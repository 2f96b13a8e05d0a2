"""Laws of pipelines: a filter of what a watcher says is as idle as the watcher; in doubt it is work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from hubcull_server_ext.signals.jobs import NOT_WORK, Judge
from hubcull_server_ext.signals.process import Process
from hubcull_server_ext.signals.processes import ProcessTable


@dataclass
class Part:
    """One program of a pipeline: its command, and what else /proc would say of it."""

    command: str
    name: str = ""
    exe: str | None = None
    opened: tuple[str, ...] = ()
    computes: bool = False
    threads: int = 1
    children: int = 0
    readable: bool = True


class Line(ProcessTable):
    """A pipeline, each program's output the next one's input, the last one's a terminal or a file."""

    def __init__(self, parts: Sequence[Part], terminal: bool = True) -> None:
        super().__init__(machine="x86_64")
        self.parts, self.terminal = parts, terminal
        self.processes = [
            Process(20 + i, part.name or part.command.split()[0], "S", 1, 20, 10, 34816, part.threads, 500)
            for i, part in enumerate(parts)
        ]

    def _of(self, process: Process) -> Part:
        return self.parts[process.pid - 20]

    def executable(self, process: Process) -> str | None:
        return self._of(process).exe or process.name

    def words(self, process: Process, longest: int = 0) -> list[bytes]:
        part = self._of(process)
        return [*part.command.encode().split(b" "), b""] if part.readable else []

    def opened(self, process: Process, prefix: str) -> set[str]:
        return {"dev/pts/3", *self._of(process).opened}

    def computes(self, process: Process) -> bool:
        return self._of(process).computes

    def children(self, process: Process) -> list[Process]:
        return self.processes[: self._of(process).children]

    def wait_is_told(self, process: Process) -> bool:
        return True

    def waits_for_terminal(self, process: Process) -> bool:
        return False

    def waits_for_child(self, process: Process) -> bool:
        return False

    def readers(self, process: Process) -> list[Process]:
        return []

    def input_pipe(self, process: Process) -> str | None:
        return f"pipe:[{process.pid}]" if self.feeders(process) else None

    def feeders(self, process: Process) -> list[Process]:
        return self.processes[: process.pid - 20][-1:]

    def takers(self, process: Process) -> list[Process]:
        return self.processes[process.pid - 19 :][:1]

    def writes_to_terminal(self, process: Process) -> bool:
        return process is self.processes[-1] and self.terminal

    def work(self, not_work: Sequence[str] = NOT_WORK) -> list[str]:
        """Return the names of those that are work."""
        judge = Judge(self, frozenset(not_work))
        return [each.name for each in self.processes if judge.is_work(each)]


def line(*commands: str, **first: object) -> Line:
    """Return a pipeline on a terminal, of whose last program ``first`` says more."""
    parts = [Part(command) for command in commands]
    for name, value in first.items():
        setattr(parts[-1], name, value)
    return Line(parts)


@pytest.mark.parametrize(
    "commands",
    [
        ("tail -f log", "grep x"),
        ("tail -F log", "grep -iv --color=auto x", "cut -c1-80"),
        ("tail -n 100 -f log", "grep x", "less"),
        ("tail -100f log", "sed -u s/a/b/"),
        ("tail --follow=descriptor log", "awk -F: {print$1}"),
        ("tail --follow -s5 --retry log", "awk -vx=3 $x~/a/"),
        ("tail -f log", r"sed s/\x1b\[[0-9;]*m//g;s/quick$/$1/"),
        ("tail -f log", "sed -n -e /a/,/b/!p -ne2,5p"),
        ("tail -f log", "sed -E /^[^[:space:]]+$/d;s/[[:digit:]a-z]*//g"),
        ("tail -f log", r"sed --unbuffered s|/e\|x|y|;1d;/q/d"),
        ("tail -f log", "grep x", "less -RS +F"),
        ("tail -f log", "jq -rc .message"),
        ("tail -fn5 log", "tr a b", "uniq", "nl", "cat"),
        ("journalctl -fu jupyterhub", "grep x"),
        ("top -b", "grep python"),
        ("top -b -d1 -u bob -p 12,13 -o %CPU", "grep python"),
        ("nvidia-smi -l 1", "grep MiB"),
        ("nvidia-smi -q --loop=5", "grep MiB"),
        ("nvidia-smi --query-compute-apps=pid --format=csv -lms 100", "grep MiB"),
        ("nvidia-smi dmon -s pucm", "awk {print$1}"),
    ],
)
def test_a_filter_of_what_a_watcher_shows_is_no_work(commands: tuple[str, ...]) -> None:
    """It lives as long as the watcher, which may be left open for days; the same of a program is work."""
    assert line(*commands).work() == []
    assert line("python train.py", *commands[1:]).work()[:2] == ["python", commands[1].split()[0]]


@pytest.mark.parametrize(
    "commands",
    [
        ("tail -f log", "python train.py"),
        ("tail -f log", "tee copy"),
        ("tail -f log", "head -n 1"),
        ("tail -f log", "wc -l"),
        ("tail -f log", "grep -m 1 DONE"),
        ("tail -f log", "grep -qx DONE"),
        ("tail -f log", "grep --max-count=1 DONE"),
        ("tail -f log", "sed /DONE/q"),
        ("tail -f log", "sed -n -f script"),
        ("tail -f log", "awk /DONE/{exit}"),
        ("tail -f log", 'awk {print>"out"}'),
        ("tail -f log", "awk -f script"),
        ("tail -f log", "jq -n first(inputs)"),
        ("tail -n +2 data.csv", "awk {s+=$1}END{print(s)}"),
        ("tail data-f", "grep x"),
        ("journalctl -u f", "grep x"),
        ("less data", "grep x"),
        ("emacs --batch", "grep x"),
        ("watcher", "grep x"),
        ("tail -f log", "awk {n++}END{print(n)}"),
        ("tail -f log", "awk /DONE/{nextfile}"),
        ("tail -f log", "gawk @include"),
        ("tail -f log", "sed -n $p"),
        ("tail -f log", "sed $!d"),
        ("tail -f log", "sed -ne$="),
        ("tail -f log", "sed -z s/a/b/"),
        ("tail -f log", "sed s/a/b/e"),
        ("tail -f log", "sed /DONE/epython"),
        ("tail -f log", "sed s/a/b/wcopy"),
        ("tail -f log", "sed s/a/b/;$d"),
        ("tail -f log", "sed s/[/]/b/e;s/[/]/"),
        ("tail -f log", "sed s/[]/]a/b/;s/x/e;p"),
        ("tail -f log", "sed s/[[:alpha:]/]//e;s/]//"),
        ("tail -f log", "sed -l 9 s/a/b/"),
        ("tail -f log", "grep -d recurse x"),
        ("tail -f log", 'jq include"a";b'),
    ],
)
def test_what_ends_writes_or_is_not_known_is_work(commands: tuple[str, ...]) -> None:
    """Somebody waits for its end, or for what it makes; a whole reading of a file is a computation."""
    assert line(*commands).work()[-1:] == [commands[-1].split()[0]]


@pytest.mark.parametrize(
    ("ends", "goes_on"),
    [
        ("top -b -n 600 -d 60", "top -b -d 60"),
        ("top -bn600", "top -b"),
        ("top -bd60n600", "top -bd60"),
        ("top bn1", "top b"),
        ("top -b --iter=600", "top -b --delay=60"),
        ("tail --pid=17 -f log", "tail -f log"),
        ("tail -f --pi 17 log", "tail -f log"),
        ("tail --follow=name log", "tail -F log"),
        ("tail -f --fol=n log", "tail -f --ret log"),
        ("journalctl -f --until=tomorrow", "journalctl -f --unit=x --utc"),
        ("journalctl -fU tomorrow", "journalctl -fu x"),
        ("nvidia-smi", "nvidia-smi -l"),
        ("nvidia-smi -lgc 900,1200", "nvidia-smi -l5"),
        ("nvidia-smi dmon -c 600", "nvidia-smi dmon"),
        ("nvidia-smi pmon --count=600", "nvidia-smi pmon"),
    ],
)
def test_a_filter_of_a_watcher_that_ends_is_work(ends: str, goes_on: str) -> None:
    """It measures for hours, or waits for something; the same behind one that goes on is none."""
    assert line(ends, "awk /x/{s+=$9}").work() == ["awk"]
    assert line(goes_on, "awk /x/{s+=$9}").work() == []


def test_a_follower_of_a_pipe_is_what_feeds_it() -> None:
    """It follows nothing there, and ends with it."""
    assert line("top -bn600", "tail -f", "grep x").work() == ["grep"]
    assert line("top -b", "tail -f", "grep x").work() == []
    assert line("python train.py", "tail -f", "grep x").work() == ["python", "grep"]


def test_a_follower_whose_pipe_somebody_unknown_fills_may_end() -> None:
    """As one in another session does."""

    class Unknown(Line):
        def input_pipe(self, process: Process) -> str | None:
            return "pipe:[7]"

    parts = [Part("tail -f log"), Part("grep x")]
    assert Unknown(parts).work() == ["grep"]
    assert Line(parts).work() == []


@pytest.mark.parametrize(
    "less",
    ["less -o copy", "less -Nocopy", "less -O copy", "less --log-file=copy", "less --LOG=copy", "less +s"],
)
def test_a_pager_that_keeps_a_copy_collects(less: str) -> None:
    """The file is what it is for, though the pager is open."""
    assert line("tail -f log", "grep x", less).work() == ["grep"]
    assert line("tail -f log", "grep x", "less -R --no-init").work() == []


def test_a_pager_that_was_told_to_keep_a_copy_collects() -> None:
    """By its `s` key, or by $LESS: its words say nothing of that, its open file does."""
    assert line("tail -f log", "grep x", "less", opened=("home/jovyan/copy",)).work() == ["grep"]
    assert line("tail -f log", "grep x", "less", opened=("dev/tty",)).work() == []


def test_an_unknown_member_keeps_what_feeds_it() -> None:
    """The filters before it are its own; what the terminal shows of it is not known."""
    assert line("tail -f log", "grep x", "python train.py").work() == ["grep", "python"]
    assert line("python train.py", "grep x", "less").work() == ["python", "grep"]


@pytest.mark.parametrize(
    "more",
    [
        {"computes": True},
        {"threads": 2},
        {"children": 1},
        {"opened": ("home/jovyan/out",)},
        {"readable": False},
        {"exe": "python3.11"},
    ],
)
def test_what_does_more_than_filter_is_work(more: dict[str, object]) -> None:
    """The use of a processor, another process, a file kept, or no way to see: it protects."""
    assert line("tail -f log", "grep x", **more).work() == ["grep"]
    assert line("tail -f log", "grep x", opened=("dev/null",)).work() == []


def test_what_goes_to_a_file_is_work() -> None:
    """Somebody collects it."""
    parts = [Part("tail -f log"), Part("grep x")]
    assert Line(parts, terminal=False).work() == ["grep"]
    assert Line(parts, terminal=True).work() == []


def test_a_program_that_is_many_goes_by_its_call() -> None:
    """As busybox's do."""
    parts = [Part("tail -f log", exe="busybox"), Part("grep x", exe="busybox")]
    assert Line(parts).work() == []
    parts = [Part("tail -f log", exe="busybox"), Part("wget x", exe="busybox")]
    assert Line(parts).work() == ["wget"]


def test_a_watcher_that_operators_took_off_the_list_is_work_and_so_is_its_filter() -> None:
    """The list is theirs."""
    assert line("tail -f log", "grep x").work(["top"]) == ["tail", "grep"]


def test_two_filters_that_feed_each_other_are_work() -> None:
    """As in a ring that somebody made by a named pipe."""

    class Ring(Line):
        def feeders(self, process: Process) -> list[Process]:
            return [self.processes[1 - self.processes.index(process)]]

        takers = feeders

    assert Ring([Part("cat"), Part("tr a b")], terminal=False).work() == ["cat", "tr"]
    assert Ring([Part("tail -f"), Part("tr a b")], terminal=True).work() == ["tr"]
