"""The service killed and back: nobody who works is stopped; the idle one is, a little later."""

from __future__ import annotations

import time

from harness.hubconfig import Service
from harness.processes import alive
from harness.waiting import stays, wait_until
from tests.e2e.conftest import MakeHub
from tests.e2e.lives import Watcher, begin_busy_and_idle

TIMEOUT, BOUND = 24.0, 20.0
INTERVAL = TIMEOUT / 4


def test_a_service_killed_with_sigkill_stops_nobody_it_should_not(make_hub: MakeHub) -> None:
    """It is away while the idle server's deadline passes; back, it waits until it has seen for itself."""
    hub = make_hub(f"--timeout={TIMEOUT:g}", "--cull-every=1", "--warm-up=15", service=Service.STANDALONE)
    with Watcher(hub) as lives:
        kernel = begin_busy_and_idle(lives)
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
        kernel = begin_busy_and_idle(lives)
        old = hub.kill_service()
        wait_until(lambda: hub.ask_service("").ok and hub.service_pid != old, 60, "the service is back")
        lives.wait(lambda: lives["ida/"].gone is not None, TIMEOUT + BOUND, "ida is stopped in the end")
        lives.wait(lambda: lives["carla/"].oldest_activity > TIMEOUT, 40, "carla's last_activity is old")
        lives["carla/"].was_kept(TIMEOUT)
        assert alive(kernel)
