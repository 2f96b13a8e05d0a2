"""The main job on a real Hub: a stage with many users at once, each test one of them.

Every server that is kept shares its Hub with idle ones that are stopped, so a service that stops nothing at
all fails here, too.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from harness.processes import alive
from harness.realhub import RealHub
from harness.situations import Browser
from harness.waiting import wait_until
from tests.e2e.conftest import MakeHub
from tests.e2e.lives import Watcher

pytestmark = pytest.mark.timeout(480)  # the first test plays the whole stage

TIMEOUT = 30.0
BOUND = 20.0
"""Seconds past the timeout within which an idle server is gone: report, cycle, stop, a busy machine."""

LONG = "import time; time.sleep(900)"
QUICK_PINGS = "--ServerApp.tornado_settings={'ws_ping_interval': 5000}"
APP = (
    "--ServerProxy.servers={'app': {'command': ['"
    + sys.executable
    + "', '-m', 'http.server', '{port}', '--bind', '127.0.0.1'], 'timeout': 60}}"
)


class Stage:
    """The Hub, the lives, and what the users left running."""

    def __init__(self, hub: RealHub, lives: Watcher) -> None:
        self.hub, self.lives = hub, lives
        self.browsers: dict[str, Browser] = {}
        self.pids: dict[str, int] = {}
        self.crashed = 0.0
        self.tab_open_at_the_end = False
        self.clicking = threading.Event()
        self.clicker: threading.Thread | None = None
        self.kernels: list[str] = []

    def browser(self, key: str) -> Browser:
        """Return the browser of a server's owner."""
        user, _, name = key.partition("/")
        if key not in self.browsers:
            self.browsers[key] = Browser(self.hub, user, name)
        return self.browsers[key]

    def silent_cell(self, key: str) -> None:
        """Begin a silent cell and close the tab."""
        browser = self.browser(key)
        self.pids[key] = browser.kernel_pid(browser.leave_cell(LONG))

    def interrogated_cell(self, key: str) -> None:
        """Ask a silent cell's kernel for its usage; beside it a kernel crashes in its cell."""
        browser = self.browser(key)
        with browser.open_kernel() as kernel:
            kernel.begin(LONG)
            self.pids[key] = browser.kernel_pid(kernel.id)
            kernel.ask("usage_request", channel="control")
        browser.crash_kernel(browser.leave_cell(LONG))

    def crashed_cell(self, key: str) -> None:
        """Kill a kernel in the middle of its cell, and wait until the one in its place answers.

        Until then that one may be taken for busy. To connect to it, and to ask it how it is, is no act.
        """
        browser = self.browser(key)
        kernel = browser.leave_cell(LONG)
        old = browser.crash_kernel(kernel)
        self.crashed = time.monotonic()
        wait_until(lambda: browser.kernel_pid(kernel) != old, 60, "the server restarts the kernel")
        browser.open_kernel(kernel).close()

    def open_tab(self, key: str) -> None:
        """Run a cell, which is the last act, and leave its kernel's websocket open."""
        assert self.browser(key).open_kernel().run("pass")["status"] == "ok"

    def script(self, key: str) -> None:
        """Leave a quiet script in a terminal."""
        self.pids[key] = self.browser(key).leave_command(f'{sys.executable} -c "{LONG}"', LONG)

    def repl(self, key: str) -> None:
        """Leave an interpreter that waits for input in a terminal."""
        self.pids[key] = self.browser(key).leave_command(f"{sys.executable} -q -i -u", "-q -i -u")

    def app(self, key: str) -> None:
        """Open a proxied app and go on clicking in it."""
        browser = self.browser(key)
        assert browser.call("GET", "app/").ok

        def click() -> None:
            for page in itertools.count():  # here and there, at uneven times: a beat would be a timer's
                if self.clicking.wait((2.0, 5.0, 1.0, 3.0)[page % 4]):
                    return
                with contextlib.suppress(OSError):  # the Hub ends before us where the stage fails
                    browser.call("GET", f"app/?page={page}")

        self.clicker = threading.Thread(target=click, daemon=True)
        self.clicker.start()

    def many_cells(self, key: str) -> None:
        """Begin silent cells, each right after its kernel's start."""
        self.kernels = [self.browser(key).leave_cell(LONG) for _ in range(6)]


@pytest.fixture(scope="module")
def stage(make_module_hub: MakeHub) -> Iterator[Stage]:
    """Play the whole scene once; the tests look at what became of each server."""
    hub = make_module_hub(f"--timeout={TIMEOUT:g}", "--cull-every=1", "--warm-up=15", lab=True)
    with Watcher(hub) as lives:
        stage = Stage(hub, lives)
        acts: dict[str, Callable[[str], None] | None] = {
            "carla/": stage.silent_cell,
            "uma/": stage.interrogated_cell,
            "cory/": stage.crashed_cell,
            "olga/": stage.open_tab,
            "nina/gpu": None,
            "nina/": stage.silent_cell,
            "ned/": None,
            "ned/gpu": stage.silent_cell,
            "theo/": stage.script,
            "tia/": stage.repl,
            "paul/": stage.app,
            "mira/": stage.many_cells,
            "ida/": None,
        }
        options: dict[str, dict[str, object]] = {"olga/": {"args": [QUICK_PINGS]}, "paul/": {"args": [APP]}}
        lives.begin_all(
            (key, partial(act, key) if act else None, options.get(key, {})) for key, act in acts.items()
        )
        lives["cory/"].unsure = lives["cory/"].acted - stage.crashed
        idle = ["ida/", "olga/", "cory/", "nina/gpu", "ned/", "tia/"]
        lives.wait(lambda: all(lives[k].gone for k in idle), TIMEOUT + BOUND + 20, "the idle ones are gone")
        kept = ["carla/", "uma/", "nina/", "ned/gpu", "theo/", "mira/"]
        lives.wait(
            lambda: all(lives[k].gone or lives[k].oldest_activity > TIMEOUT + 10 for k in kept),
            60,
            "a culler that goes by last_activity would have stopped the others",
        )
        yield stage
        stage.clicking.set()
        for browser in stage.browsers.values():
            browser.close()


def is_said(stage: Stage, user: str, action: str, reason: str) -> bool:
    """Tell whether the service says this of a user's default server; late reports may delay it."""
    verdict = stage.hub.verdict(user) or {}
    return (verdict.get("action"), verdict.get("reason")) == (action, reason)


def test_an_idle_server_is_stopped(stage: Stage) -> None:
    stage.lives["ida/"].was_stopped(TIMEOUT, BOUND)


def test_a_silent_cell_keeps_its_server(stage: Stage) -> None:
    stage.lives["carla/"].was_kept(TIMEOUT)
    assert alive(stage.pids["carla/"])
    wait_until(lambda: is_said(stage, "carla", "keep", "busy"), 30, "carla is kept as busy")


def test_a_usage_request_and_the_crash_of_another_kernel_change_nothing(stage: Stage) -> None:
    stage.lives["uma/"].was_kept(TIMEOUT)
    assert alive(stage.pids["uma/"])


def test_a_crash_in_mid_cell_does_not_keep_the_server_for_ever(stage: Stage) -> None:
    stage.lives["cory/"].was_stopped(TIMEOUT, BOUND)


def test_an_open_tab_does_not_keep_an_idle_server(stage: Stage) -> None:
    life = stage.lives["olga/"]
    life.was_stopped(TIMEOUT, BOUND)
    assert 0 < life.oldest_activity < TIMEOUT, "the premise failed: a stock culler would have stopped it, too"


def test_default_and_named_servers_are_told_apart(stage: Stage) -> None:
    stage.lives["nina/"].was_kept(TIMEOUT)
    stage.lives["nina/gpu"].was_stopped(TIMEOUT, BOUND)
    stage.lives["ned/gpu"].was_kept(TIMEOUT)
    stage.lives["ned/"].was_stopped(TIMEOUT, BOUND)


def test_a_quiet_script_in_a_terminal_keeps_its_server(stage: Stage) -> None:
    stage.lives["theo/"].was_kept(TIMEOUT)
    assert alive(stage.pids["theo/"])


def test_an_interpreter_that_waits_for_input_does_not(stage: Stage) -> None:
    stage.lives["tia/"].was_stopped(TIMEOUT, BOUND)


def test_a_proxied_app_in_use_keeps_its_server(stage: Stage) -> None:
    life = stage.lives["paul/"]
    assert life.gone is None
    assert alive(life.pid)
    assert 0 < life.oldest_activity < TIMEOUT, "the proxy counts it, too"
    wait_until(lambda: is_said(stage, "paul", "keep", "active"), 30, "paul is kept as active")
    verdict = stage.hub.verdict("paul")
    assert verdict is not None
    assert verdict["idle"] < TIMEOUT


def detail(stage: Stage, user: str) -> dict[str, Any]:
    """Return all that the service knows of a user's default server."""
    answer = stage.hub.ask_service(f"api/v1/servers?user={user}&server=")
    found: dict[str, Any] = answer.json()["servers"][0]
    return found


def test_every_cell_begun_right_after_its_kernels_start_is_seen(stage: Stage) -> None:
    stage.lives["mira/"].was_kept(TIMEOUT)
    going_on = {s["source"] for s in detail(stage, "mira")["signals"] if "going_on_for" in s}
    assert going_on == {f"kernel:{kernel[:8]}" for kernel in stage.kernels}


def hubcull(stage: Stage, *args: str, token: str) -> str:
    """Run the command line as an operator does, and return what it prints."""
    env = {**os.environ, "HUBCULL_URL": stage.hub.service_url, "HUBCULL_TOKEN": token}
    command = [sys.executable, "-m", "hubcull_hub", *args]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_operator_can_ask_what_and_why(stage: Stage) -> None:
    token = stage.hub.place.bench_token
    plan = hubcull(stage, "plan", token=token)
    assert "carla/" in plan
    assert "busy" in plan
    stopped = hubcull(stage, "explain", "ida", token=token)
    assert "the Hub does not list it as running" in stopped
    assert "stopped  idle: idle for" in stopped
    wait_until(lambda: is_said(stage, "carla", "keep", "busy"), 30, "carla is kept as busy")
    kept = json.loads(hubcull(stage, "explain", "carla", "--json", token=token))
    assert kept["servers"][0]["decided_by"].startswith("kernel:")


def test_a_user_sees_only_their_own(stage: Stage) -> None:
    token = stage.browser("carla/").token
    plan = hubcull(stage, "plan", token=token)
    assert "carla/" in plan
    assert "theo/" not in plan
    assert stage.hub.ask_service("api/v1/servers?user=theo", token=token).status == 403


def test_no_token_is_in_the_log(stage: Stage) -> None:
    text = stage.hub.log.read_text()
    place = stage.hub.place
    for secret in (place.service_token, place.bench_token, stage.browser("carla/").token):
        assert secret not in text
