"""The Hub restarted with servers running: nobody who works is stopped; the idle one is, a little later."""

from __future__ import annotations

import time

import pytest

from harness.processes import alive
from harness.waiting import wait_until
from tests.e2e.conftest import MakeHub
from tests.e2e.lives import Watcher, begin_busy_and_idle

TIMEOUT, BOUND = 24.0, 20.0


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
        kernel = begin_busy_and_idle(lives)
        service = hub.service_pid
        if killed:
            hub.kill_hub()
        else:
            hub.stop_hub()
        wait_until(lambda: not alive(service), 30, "the old service has left the port")
        time.sleep(5)
        hub.start_hub()
        wait_until(lambda: hub.api.is_ready("carla"), 30, "the Hub finds the server again")
        lives.wait(lambda: lives["ida/"].gone is not None, TIMEOUT + 2 * BOUND, "ida is stopped in the end")
        lives.wait(
            lambda: lives["carla/"].oldest_activity > TIMEOUT, 60, "carla's last_activity is old again"
        )
        lives["carla/"].was_kept(TIMEOUT)
        assert alive(kernel)
        wait_until(lambda: (hub.verdict("carla") or {}).get("reason") == "busy", 30, "carla is seen busy")
