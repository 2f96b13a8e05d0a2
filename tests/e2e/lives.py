"""What became of servers, seen from outside: by the Hub's API and the processes, never by hubcull's word."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any

from harness.api import HubError, age
from harness.processes import alive, lasted
from harness.realhub import RealHub
from harness.situations import Browser
from harness.waiting import wait_until


@dataclass
class Life:
    """One server's life. Moments are monotonic seconds; `activity` are ages of the Hub's last_activity.

    ``acted`` is when the user's last act was over, ``unsure`` by how much it may have been earlier (s): the
    extension counts from its own start, some time between the process's and the Hub's word that it is ready;
    without the extension the Hub's last_activity counts, which is set when the start is asked for, and again.
    """

    pid: int
    acted: float
    unsure: float = 0.0
    gone: float | None = None
    activity: list[float] = field(default_factory=list)

    @property
    def gone_after(self) -> float:
        """Seconds from the user's last act until the Hub no longer had the server."""
        assert self.gone is not None, "the server is still there"
        return self.gone - self.acted

    @property
    def oldest_activity(self) -> float:
        """How old the Hub's last_activity of the server ever was, in seconds; 0 before the first look."""
        return max(self.activity, default=0.0)

    def was_stopped(self, timeout: float, within: float) -> None:
        """Assert that it was stopped after the timeout and within a bound (s), process and all."""
        earliest = timeout - self.unsure - 1
        assert earliest <= self.gone_after <= timeout + within, f"gone after {self.gone_after:.1f} s"
        assert not alive(self.pid)

    def was_kept(self, timeout: float) -> None:
        """Assert that it lives although its last_activity is older than the timeout."""
        assert self.gone is None, f"gone after {self.gone_after:.1f} s"
        assert alive(self.pid)
        assert self.oldest_activity > timeout, f"the premise failed: {self.oldest_activity:.1f} s"


class Watcher:
    """Watches servers from a thread until it is closed; keys are ``user/name``."""

    def __init__(self, hub: RealHub) -> None:
        self.hub = hub
        self.lives: dict[str, Life] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watcher:
        """Begin to watch."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching."""
        self._end.set()
        self._thread.join()

    def __getitem__(self, key: str) -> Life:
        """Return one server's life."""
        return self.lives[key]

    def begin(self, key: str, act: Callable[[], object] | None = None, **options: Any) -> None:
        """Start a server, let its user act, and watch it from then on; the start is an act, too.

        The act must end with something that counts: to open a page's websocket, or to ask a kernel how it is,
        does not.
        """
        user, _, name = key.partition("/")
        model = self.hub.api.start_server(user, name, **options)
        pid = self.hub.api.server_pid(user, name)
        life = Life(pid, time.monotonic(), lasted(pid))
        if not options.get("extension", True):
            life = Life(pid, time.monotonic(), age(model["last_activity"]))
        if act is not None:
            act()
            life = Life(pid, time.monotonic())
        self.lives[key] = life

    def begin_all(self, scenes: Iterable[tuple[str, Callable[[], object] | None, dict[str, Any]]]) -> None:
        """Begin several servers, three at a time: two cores start no more at once."""
        with ThreadPoolExecutor(3) as pool:
            for done in [pool.submit(self.begin, key, act, **options) for key, act, options in scenes]:
                done.result()

    def wait(self, condition: Callable[[], bool], within: float, what: str) -> None:
        """Wait for a condition on the lives; AssertionError after so many seconds."""
        end = time.monotonic() + within
        while not condition():
            assert time.monotonic() < end, f"not within {within:g} s: {what}: {self.summary()}"
            time.sleep(0.2)

    def summary(self) -> dict[str, str]:
        """Return each life in a few words, for a test's failure message."""
        now = time.monotonic()
        return {
            key: f"gone after {life.gone_after:.0f} s"
            if life.gone
            else f"alive {now - life.acted:.0f} s, last_activity up to {life.oldest_activity:.0f} s"
            for key, life in self.lives.items()
        }

    def _watch(self) -> None:
        while not self._end.wait(0.4):
            known = [(key, life) for key, life in list(self.lives.items()) if life.gone is None]
            if known:
                self._look(known)

    def _look(self, known: list[tuple[str, Life]]) -> None:
        try:
            models = self.hub.api.servers()
        except (OSError, HubError):
            return  # the Hub is being restarted, or has no time
        for key, life in known:
            model = models.get(key)
            if model is None:
                life.gone = time.monotonic()
            elif model["ready"] and model["last_activity"]:
                life.activity.append(age(model["last_activity"]))


def begin_busy_and_idle(lives: Watcher) -> int:
    """Begin busy carla and idle ida, wait until both have reported, and return the busy kernel's pid."""
    hub = lives.hub
    hub.api.create_user("carla")
    browser = Browser(hub, "carla")
    kernel: list[str] = []
    lives.begin("carla/", lambda: kernel.append(browser.leave_cell("import time; time.sleep(900)")))
    lives.begin("ida/")
    for user in ("carla", "ida"):
        wait_until(partial(_has_reported, hub, user), 30, f"{user} has reported")
    return browser.kernel_pid(kernel[0])


def _has_reported(hub: RealHub, user: str) -> bool:
    return (hub.verdict(user) or {}).get("basis") == "report"
