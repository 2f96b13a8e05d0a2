"""What the maker of a row has at hand: one server, its user's browser, and a place for what must be true."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import psutil

from harness.calls import call
from harness.processes import MARK, below, command_line, environment, kill_all, marked, terminal
from harness.realhub import RealHub
from harness.situations import Browser

A_PERSON = (2.0, 5.5, 3.0, 8.0, 1.0, 6.5)
"""Seconds between the acts of somebody who keeps no beat."""


class Scene:
    """One row being played in one server.

    A maker acts by ``browser``, tells with `premise` what must hold while the server is watched, and with
    `again` what goes on happening. ``acted`` is when the last act ended (monotonic seconds); None means at
    the end of the making.
    """

    def __init__(self, hub: RealHub, user: str) -> None:
        self.hub, self.user = hub, user
        self.browser = Browser(hub, user)
        self.folder = hub.place.directory / "home" / user
        self.faults: list[str] = []
        self.acted: float | None = None
        self._premises: list[tuple[str, Callable[[], bool]]] = []
        self._closing: list[Callable[[], object]] = []
        self._over = threading.Event()
        self._acting: list[threading.Thread] = []

    def premise(self, what: str, holds: Callable[[], bool]) -> None:
        """Have it looked at shortly before the deadline, and at the end if the server still runs."""
        self._premises.append((what, holds))

    def again(self, act: Callable[[], object], every: float | Sequence[float] = 4) -> None:
        """Do something now, and every so many seconds until the watch is over; of several gaps, in turn.

        The beat is kept however long the act takes, as a page's timer does.
        """
        gaps = cycle([every] if isinstance(every, float | int) else every)
        due = time.monotonic()
        act()

        def go_on() -> None:
            nonlocal due
            due += next(gaps)
            while not self._over.wait(max(0, due - time.monotonic())):
                due += next(gaps)
                try:
                    act()
                except Exception as error:
                    if self.running():
                        self.faults.append(f"what goes on happening failed: {error!r}")
                    return

        thread = threading.Thread(target=go_on, daemon=True)
        self._acting.append(thread)
        thread.start()

    def at_end(self, close: Callable[[], object]) -> None:
        """Have something called when the watch is over."""
        self._closing.append(close)

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a program that is none of the server's; after the watch it is killed, with all below it."""
        process = subprocess.Popen(
            command,
            env={**os.environ, "HOME": str(self.folder), MARK: self.hub.place.mark},
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "started.log").open("ab"),
            **options,
        )
        self.at_end(process.wait)
        self.end_with(process.pid)
        return process

    def end_with(self, pid: int) -> None:
        """Have a process and all that is below it killed when the watch is over."""
        first = psutil.Process(pid)
        self.at_end(lambda: kill_all([*below(pid), first]))

    def restart(self, **options: Any) -> None:
        """Start the server anew with other options, which could not be known before."""
        self.hub.api.stop_server(self.user)
        self.hub.api.start_server(self.user, **options)

    def running(self) -> bool:
        """Whether the Hub says that the server is ready."""
        return self.hub.api.is_ready(self.user)

    def is_gone(self) -> bool:
        """Whether the Hub has no such server any more, not even one that is being stopped."""
        return self.hub.api.server_model(self.user) is None

    def check(self, when: str) -> None:
        """Look at every premise and note those that do not hold."""
        for what, holds in self._premises:
            try:
                if not holds():
                    self.faults.append(f"{when}: not so: {what}")
            except Exception as error:
                self.faults.append(f"{when}: can not be told: {what}: {error!r}")

    def close(self) -> None:
        """End what goes on happening, and close the browser."""
        self._over.set()
        for thread in self._acting:
            thread.join(30)
        for close in reversed(self._closing):
            close()
        self.browser.close()

    def end_server(self) -> None:
        """Kill the server, and what was started in it: its watch is over, and other rows need the machine.

        An sshd writes over its environment, and jupyter-server-proxy starts one anew that is killed: such are
        known by the user's folder in their command, once the server is gone.
        """
        in_it = (
            p for p in marked(self.hub.place.mark) if environment(p.pid).get("JUPYTERHUB_USER") == self.user
        )
        named = (p for p in psutil.process_iter() if f"{self.folder}/" in command_line(p))
        kill_all(in_it)
        kill_all(named)

    def status(self) -> dict[str, Any]:
        """Return the server's `/api/status`, asked without the proxy, so that nothing is refreshed."""
        address = environment(self.browser.server_pid)["JUPYTERHUB_SERVICE_URL"]
        return dict(call("GET", f"{address}api/status", token=self.browser.token).json())

    @property
    def python(self) -> str:
        """The servers' Python; a login shell may find another."""
        return str(self.hub.options.bin / "python")

    def has_shell(self) -> bool:
        """Whether a process of the server reads from a terminal."""
        return any(terminal(process.pid) for process in below(self.browser.server_pid))

    def find_marked(self, command: str) -> int | None:
        """Return the pid of a process of this Hub, wherever it went, by its command line."""
        return next((p.pid for p in marked(self.hub.place.mark) if command_line(p) == command), None)

    def file(self, name: str, text: str) -> Path:
        """Write a file into the user's folder and return its path."""
        path = self.folder / name
        path.write_text(text)
        return path
