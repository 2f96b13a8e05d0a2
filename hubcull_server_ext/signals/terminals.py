"""Terminals of jupyter_server: keystrokes, output, and the jobs that run in them.

It knows terminado's terminals; what one terminal is doing `ttys` tells, which process is
work `jobs`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hubcull_server_ext import wire
from hubcull_server_ext.signals.jobs import NOT_WORK, Judge
from hubcull_server_ext.signals.names import terminal_source
from hubcull_server_ext.signals.processes import ProcessTable
from hubcull_server_ext.signals.ttys import Clocks, Sighting, Terminal, file_of, look, signals, times_move
from hubcull_server_ext.snapshot import SourceError, UnavailableError

UNTIMED = "this system keeps no times of terminals: only keystrokes that come by the server are known"


class TerminalsSource:
    """Watches the server's terminals; `sample` every few seconds.

    Args:
        settings: the tornado application's settings; the terminal manager appears there late.
        clocks: what the ages of keystrokes, files and processes need.
        not_work: names of programs that are never work.
        changed: called when something happened that a report would say.
        processes: the table to read them into, where it is shared.

    """

    name = "terminals"

    def __init__(
        self,
        settings: Mapping[str, Any],
        clocks: Clocks,
        not_work: Sequence[str] = NOT_WORK,
        changed: Callable[[], None] = lambda: None,
        processes: ProcessTable | None = None,
    ) -> None:
        self._settings = settings
        self._monotonic, self._wall, self._boottime = clocks
        self._judge = Judge(processes or ProcessTable(), frozenset(not_work))
        self._changed = changed
        self._terminals: dict[str, Terminal] = {}
        self._departed = Terminal()
        self._failure: str | None = None
        self._timed: bool | None = None
        self._hurried = True
        self._sighted: tuple[Mapping[str, int], Mapping[str, Sighting]] = ({}, {})

    @property
    def remark(self) -> str | None:
        """What a report says of the source although it is well."""
        return UNTIMED if self._timed is False else None

    def keystroke(self, name: str) -> None:
        """Take note that somebody typed in a terminal, exact to the moment; never what was typed."""
        self._terminals.setdefault(name, Terminal()).keystroke = self._monotonic()
        self._changed()

    def hurry(self) -> None:
        """Let the next look read every process anew: a report is due."""
        self._hurried = True

    def shells(self) -> list[int]:
        """Return the numbers of the processes that the open terminals began with."""
        return list(self._shells()[0].values())

    async def sample(self) -> None:
        """Look at every terminal's processes, in a thread: a scan takes milliseconds, not nothing."""
        shells, self._failure = self._shells()
        for name in set(self._terminals) - set(shells):
            self._forget(self._terminals.pop(name))
        if not shells or not sys.platform.startswith("linux"):
            return
        try:
            known = {
                name: (pid, terminal.wraps if (terminal := self._terminals.get(name)) else None)
                for name, pid in shells.items()
            }
            thorough, self._hurried = self._hurried, False
            loop = asyncio.get_running_loop()
            sightings = await loop.run_in_executor(None, self._scan, known, thorough)
        except Exception as error:
            self._failure, self._hurried = type(error).__name__, True
            return
        now = self._monotonic()
        for name, sighting in sightings.items():
            if self._terminals.setdefault(name, Terminal()).take(sighting, now):
                self._changed()

    def collect(self, now: float) -> list[wire.Signal]:
        """Return input, output and jobs of every terminal, and the newest that a closed one left.

        Raises:
            UnavailableError: where the server has no terminals.
            SourceError: where terminals are open and can not be watched.

        """
        if self._manager() is None:
            raise UnavailableError("this server has no terminals")
        wall = self._wall()
        found: list[wire.Signal] = []
        for name, terminal in self._terminals.items():
            found.extend(signals(terminal_source(name), terminal, now, wall))
        found.extend(signals("terminal:closed", self._departed, now, wall))
        if not sys.platform.startswith("linux") and self.shells():
            detail = "terminals are watched on Linux only; set watch_terminals to False elsewhere"
            raise SourceError(detail, found)
        if self._failure is not None:
            raise SourceError(f"terminals can not be watched: {self._failure}", found)
        return found

    def _manager(self) -> Any:
        """Return the terminal manager; looked up each time, for it loads after this extension."""
        if not self._settings.get("terminals_available", True):
            return None
        return self._settings.get("terminal_manager")

    def _shells(self) -> tuple[dict[str, int], str | None]:
        """Return each open terminal's name and its shell's process id, and what is wrong with one."""
        manager = self._manager()
        shells: dict[str, int] = {}
        failure = None
        for name, terminal in list(getattr(manager, "terminals", {}).items()):
            pid = getattr(getattr(terminal, "ptyproc", None), "pid", None)
            if isinstance(pid, int):
                shells[str(name)] = pid
            else:
                failure = f"{type(terminal).__name__} has no process of its own"
        return shells, failure

    def _scan(self, shells: Mapping[str, tuple[int, bool | None]], thorough: bool) -> dict[str, Sighting]:
        """Read the processes and file times of all terminals; in a thread, changing nothing remembered."""
        table, now = self._judge.table, self._boottime()
        pids = {name: pid for name, (pid, _) in shells.items()}
        (known, sightings), self._sighted = self._sighted, ({}, {})
        stirred = True
        if thorough:
            table.refresh(now)
        else:
            stirred = table.glance(now, list(pids.values()))
        if stirred or known != pids:
            sightings = {name: look(self._judge, pid, wraps, now) for name, (pid, wraps) in shells.items()}
        self._timed = times_move() if self._timed is None else self._timed
        found = {
            name: sighting._replace(file=file_of(table, pids[name]) if self._timed else None, boottime=now)
            for name, sighting in sightings.items()
        }
        self._sighted = pids, sightings
        return found

    def _forget(self, terminal: Terminal) -> None:
        """Keep of a closed terminal what is newer than anything a closed one left before."""
        if terminal.job is not None:
            self._changed()
        terminal.close(self._monotonic())
        self._departed.inherit(terminal)
