"""The demo's four users: what each does, and whether what became of their server was right.

What became of it is read from the Hub's API and from the processes, never from hubcull.
"""

from __future__ import annotations

import shlex
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from harness.api import age
from harness.processes import alive
from harness.realhub import RealHub
from harness.situations import Browser

SLACK = 5.0
"""Seconds by which the demo's own clock may differ from the Hub's."""


class Scene(ABC):
    """One user at one server. Seconds throughout; moments are monotonic.

    ``activity_age`` is how old the Hub's ``last_activity`` was when last seen, ``oldest_age`` the oldest
    it ever was; ``gone_after`` is how long after the user's last act the Hub no longer had the server.
    """

    user: ClassVar[str]
    doing: ClassVar[str]
    stays: ClassVar[bool]
    extension: ClassVar[bool] = True

    def __init__(self, hub: RealHub) -> None:
        self.hub = hub
        self.server_pid = 0
        self.acted = 0.0
        self.activity_age = self.oldest_age = 0.0
        self.gone_after: float | None = None
        self.lasted_as_it_should = True

    def begin(self) -> None:
        """Start the server and do what the user does; return once it is under way."""
        self.hub.api.start_server(self.user, extension=self.extension)
        self.server_pid = self.hub.api.server_pid(self.user)
        self.act()
        self.acted = time.monotonic()

    @abstractmethod
    def act(self) -> None:
        """Do what this user does."""

    def goes_on(self) -> bool:
        """Whether what the user left running, or open, is still there, by its process or socket."""
        return alive(self.server_pid)

    def look(self) -> None:
        """Take note of what the Hub says now, and of whether all still goes on."""
        if self.gone_after is not None:
            return
        model = self.hub.api.server_model(self.user)
        if model is None:
            self.gone_after = time.monotonic() - self.acted
            return
        if model["ready"]:
            self.activity_age = age(model["last_activity"])
            self.oldest_age = max(self.oldest_age, self.activity_age)
            # Looked at again, because a stop may have begun between the two looks.
            if not self.goes_on() and self.hub.api.is_ready(self.user):
                self.lasted_as_it_should = False

    def left(self, timeout: float) -> float:
        """Return how many seconds a server that stays is still to be watched.

        That is for a whole timeout longer than a culler that goes by ``last_activity`` would let it live.
        """
        if not self.stays or self.gone_after is not None:
            return 0.0
        return max(0.0, 2 * timeout + SLACK - self.activity_age)

    def done(self, timeout: float) -> bool:
        """Whether there is nothing more to wait for."""
        return not self.left(timeout) if self.stays else self.gone_after is not None

    def faults(self, timeout: float) -> list[str]:
        """Return what was not right, in words; nothing if all was."""
        return self._faults_of_one_kept(timeout) if self.stays else self._faults_of_one_stopped(timeout)

    def _faults_of_one_kept(self, timeout: float) -> list[str]:
        faults = []
        if not self.hub.api.is_ready(self.user):
            faults.append(f"{self.user}'s server is not there any more")
        if not (self.lasted_as_it_should and self.goes_on()):
            faults.append(f"what {self.user} left running ended")
        if self.activity_age <= timeout:
            faults.append(
                f"the premise failed: last_activity of {self.user} is {self.activity_age:.0f} s old"
            )
        return faults

    def _faults_of_one_stopped(self, timeout: float) -> list[str]:
        if self.gone_after is None:
            return [f"{self.user}'s server was not stopped"]
        faults = []
        if alive(self.server_pid):
            faults.append(f"the process of {self.user}'s server is still there")
        if self.gone_after < timeout - SLACK:
            faults.append(
                f"{self.user}'s server was stopped {self.gone_after:.0f} s after the last act, too early"
            )
        if not self.lasted_as_it_should:
            faults.append(f"{self.user}'s situation ended before the server was stopped")
        return faults

    @abstractmethod
    def words(self, timeout: float) -> str:
        """Say in plain words what happened and why, of a scene without faults."""


class Olivia(Scene):
    """She closed the lid of her laptop, so to speak: nothing runs, but her tab is open."""

    user, doing, stays = "olivia", "nothing; a notebook tab is left open", False

    def act(self) -> None:
        """Open a notebook, run a cell, and hold its websocket, answering pings as a browser does."""
        self.kernel = Browser(self.hub, self.user).open_kernel()
        self.kernel.run("1 + 1")

    def goes_on(self) -> bool:
        """Whether her tab is still connected."""
        return self.kernel.socket.open

    def words(self, timeout: float) -> str:
        """Say that she was stopped in spite of her tab."""
        text = f"olivia's server was stopped {self.gone_after:.0f} s after she last did anything."
        if self.oldest_age < timeout:
            text += (
                f" Her open tab kept the Hub's last_activity fresh all the time (never older than"
                f" {self.oldest_age:.0f} s), so a culler that goes by it would not have stopped her."
            )
        return text


class Carla(Scene):
    """She started a long fit and went home: a cell runs and prints nothing, no tab is open."""

    user, doing, stays = "carla", "a long, silent notebook cell; no tab open", True

    def act(self) -> None:
        """Begin the cell and close the tab; the cell says in files when it begins and ends."""
        self.folder = Path(self.hub.place.directory)
        began, ended = str(self.folder / "cell-began"), str(self.folder / "cell-ended")
        browser = Browser(self.hub, self.user)
        kernel_id = browser.leave_cell(
            f"import pathlib, time; pathlib.Path({began!r}).touch()\ntime.sleep(900)\n"
            f"pathlib.Path({ended!r}).touch()"
        )
        self.kernel_pid = browser.kernel_pid(kernel_id)

    def goes_on(self) -> bool:
        """Whether the kernel lives and its cell has begun and not ended."""
        began, ended = self.folder / "cell-began", self.folder / "cell-ended"
        return alive(self.kernel_pid) and began.exists() and not ended.exists()

    def words(self, timeout: float) -> str:
        """Say that the cell was kept."""
        return _kept(self, timeout, "carla's cell still runs, though it prints nothing.")


class Theo(Scene):
    """A quiet script of his waits in a terminal, for a queue or a download."""

    user, doing, stays = "theo", "a quiet script waiting in a terminal; no tab open", True

    def act(self) -> None:
        """Type the command and close the tab."""
        command = "import time; time.sleep(900)"
        line = f'{shlex.quote(sys.executable)} -c "{command}"'
        self.script_pid = Browser(self.hub, self.user).leave_command(line, command)

    def goes_on(self) -> bool:
        """Whether the script's process lives."""
        return alive(self.script_pid)

    def words(self, timeout: float) -> str:
        """Say that the script was kept."""
        return _kept(self, timeout, "theo's script still waits in its terminal.")


class Nora(Scene):
    """Her server runs an old image, without hubcull's extension, and she does nothing."""

    user, doing, stays, extension = "nora", "nothing; an image without the extension", False, False

    def act(self) -> None:
        """Do nothing."""

    def words(self, timeout: float) -> str:
        """Say that the Hub's own figure decided."""
        return (
            f"nora's server was stopped after {self.gone_after:.0f} s. It has no extension, so the Hub's"
            f" last_activity decided: it was {self.activity_age:.0f} s old when last seen."
        )


def _kept(scene: Scene, timeout: float, what: str) -> str:
    return (
        f"{what} The Hub's last_activity is {scene.activity_age:.0f} s old: a culler that goes by it, with"
        f" the same timeout, would have stopped the server {scene.activity_age - timeout:.0f} s ago."
    )


def all_scenes(hub: RealHub) -> list[Scene]:
    """Return the four scenes, none begun yet, those that are watched longest first."""
    return [Carla(hub), Theo(hub), Olivia(hub), Nora(hub)]
