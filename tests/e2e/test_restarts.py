"""Whatever is restarted, nobody who works is stopped; the idle one is, a little later."""

from __future__ import annotations

import time
from functools import partial

import pytest

from harness.hubconfig import Service
from harness.processes import alive
from harness.realhub import RealHub
from harness.situations import Browser
from harness.waiting import stays, wait_until
from tests.e2e.conftest import MakeHub
from tests.e2e.lives import Watcher

TIMEOUT, BOUND = 24.0, 20.0
INTERVAL = TIMEOUT / 4
LONG = "import time; time.sleep(900)"


def has_reported(hub: RealHub, user: str) -> bool:
    """Tell whether the service goes by the reports of this user's default server."""
    return (hub.verdict(user) or {}).get("basis") == "report"


def settle(hub: RealHub, lives: Watcher) -> int:
    """Start a busy and an idle server, wait until both have reported, and return the busy kernel's pid."""
    hub.api.create_user("carla")
    browser = Browser(hub, "carla")
    kernel: list[str] = []
    lives.begin("carla/", lambda: kernel.append(browser.leave_cell(LONG)))
    lives.begin("ida/")
    for user in ("carla", "ida"):
        wait_until(partial(has_reported, hub, user), 15, f"{user} has reported")
    return browser.kernel_pid(kernel[0])


def test_a_service_killed_with_sigkill_stops_nobody_it_should_not(make_hub: MakeHub) -> None:
    """It is away while the idle server's deadline passes; back, it waits until it has seen for itself."""
    hub = make_hub(f"--timeout={TIMEOUT:g}", "--cull-every=1", "--warm-up=15", service=Service.STANDALONE)
    with Watcher(hub) as lives:
        kernel = settle(hub, lives)
        hub.kill_service()
        wait_until(lambda: hub.api.last_activity_age("ida") > TIMEOUT + 2, 60, "ida is overdue")
        hub.start_service()
        back = time.monotonic()
        assert stays(lambda: hub.api.is_ready("ida"), 2 * INTERVAL - 4), "stopped before two report intervals"
        lives.wait(lambda: lives["ida/"].gone is not None, 2 * INTERVAL + BOUND, "ida is stopped in the end")
        gone = lives["ida/"].gone
        assert gone is not None
        assert gone - back >= 2 * INTERVAL - 2
        lives["carla/"].was_kept(TIMEOUT)
        assert alive(kernel)


def test_the_hub_brings_a_killed_service_back(make_hub: MakeHub) -> None:
    """As a managed service: the Hub looks every 30 s, and nothing is lost meanwhile."""
    hub = make_hub(f"--timeout={TIMEOUT:g}", "--cull-every=1", "--warm-up=15")
    with Watcher(hub) as lives:
        kernel = settle(hub, lives)
        old = hub.kill_service()
        wait_until(lambda: hub.ask_service("").ok and hub.service_pid != old, 60, "the service is back")
        lives.wait(lambda: lives["ida/"].gone is not None, TIMEOUT + BOUND, "ida is stopped in the end")
        lives.wait(lambda: lives["carla/"].oldest_activity > TIMEOUT, 40, "carla's last_activity is old")
        lives["carla/"].was_kept(TIMEOUT)
        assert alive(kernel)


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_the_hub_restarted_with_servers_running(make_hub: MakeHub, killed: bool) -> None:
    """Its managed service goes and comes with it, and its proxy; who is active is not stopped."""
    hub = make_hub(
        f"--timeout={TIMEOUT:g}",
        "--cull-every=1",
        "--warm-up=15",
        cleanup_servers=False,
        cleanup_proxy=killed,
    )
    with Watcher(hub) as lives:
        kernel = settle(hub, lives)
        if killed:
            hub.kill_hub()
            time.sleep(3)  # what the old service needs to see that its Hub is gone, and to free the port
        else:
            hub.stop_hub()
        time.sleep(5)
        hub.start_hub()
        wait_until(lambda: hub.api.is_ready("carla"), 30, "the Hub finds the server again")
        lives.wait(lambda: lives["ida/"].gone is not None, TIMEOUT + 2 * BOUND, "ida is stopped in the end")
        lives.wait(
            lambda: lives["carla/"].oldest_activity > TIMEOUT, 60, "carla's last_activity is old again"
        )
        lives["carla/"].was_kept(TIMEOUT)
        assert alive(kernel)
        verdict = hub.verdict("carla")
        assert verdict is not None
        assert verdict["reason"] == "busy"
