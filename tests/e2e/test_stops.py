"""How servers are stopped: slow ones are followed, and one that its user restarted is left alone."""

from __future__ import annotations

import threading
from dataclasses import replace

from harness.api import age
from harness.hubconfig import Service
from harness.processes import alive
from harness.realhub import RealHub
from harness.waiting import stays, wait_until
from tests.e2e.conftest import MakeHub
from tests.e2e.interposer import Interposer
from tests.e2e.lives import Watcher

TIMEOUT, BOUND = 15.0, 20.0
LONGER = 30.0
"""The timeout where a server has to start twice, and to report between, before it is due."""

SLOW = """
import asyncio
from jupyterhub.spawner import SimpleLocalProcessSpawner

class SlowToStop(SimpleLocalProcessSpawner):
    async def stop(self, now=False):
        if self.user.name == "slow":
            await asyncio.sleep(6)
        await super().stop(now)

c.JupyterHub.spawner_class = SlowToStop
c.JupyterHub.tornado_settings = {"slow_stop_timeout": 1}
"""


def test_a_stop_answered_202_is_followed_to_its_end(make_hub: MakeHub) -> None:
    """The Hub says 202 after a second and needs six; the other server is stopped meanwhile."""
    hub = make_hub(f"--timeout={TIMEOUT:g}", "--cull-every=1", "--warm-up=10", extra_config=SLOW)
    with Watcher(hub) as lives:
        lives.begin("slow/")
        lives.begin("ida/")
        lives.wait(
            lambda: all(life.gone for life in lives.lives.values()), TIMEOUT + BOUND + 6, "both are gone"
        )
        lives["ida/"].was_stopped(TIMEOUT, BOUND)
        lives["slow/"].was_stopped(TIMEOUT, BOUND + 6)
    wait_until(lambda: "cull server=slow/ result=stopped" in hub.log.read_text(), 15, "the outcome is known")
    text = hub.log.read_text()
    assert "server slow/ is slow to stop; following it" in text
    assert text.count("DELETE /hub/api/users/slow/server") == 1
    made = hub.ask_service("api/v1/servers?user=slow").json()["decisions"]
    assert [d["result"] for d in made] == ["stopped"]


class Restarter:
    """Restarts rita's server the moment the service takes its second look at it."""

    def __init__(self, hub: RealHub) -> None:
        self.hub, self.armed = hub, threading.Event()
        self.asked = self.restarted = False

    def __call__(self, method: str, path: str) -> None:
        """Act on the first read of rita's server once armed."""
        if method == "GET" and path.endswith("/users/rita") and self.armed.is_set():
            self.armed.clear()
            self.asked = True
            self.hub.api.stop_server("rita")
            self.hub.api.start_server("rita")
            self.restarted = True


def test_a_server_restarted_between_decision_and_stop_is_not_stopped(make_hub: MakeHub) -> None:
    """The Hub's DELETE has no condition, so the second look must see the other incarnation."""
    hub = make_hub(service=Service.NONE)
    with Interposer(hub.api.url) as wire:
        hub.stop_hub()
        hub.options = replace(
            hub.options,
            service=Service.STANDALONE,
            service_options=(f"--timeout={LONGER:g}", "--cull-every=1", "--warm-up=10", f"--url={wire.url}"),
        )
        hub.start_hub()
        restarter = Restarter(hub)
        wire.before = restarter
        with Watcher(hub) as lives:
            lives.begin("ida/")
            lives.begin("rita/")
            wait_until(lambda: (hub.verdict("rita") or {}).get("basis") == "report", 25, "rita reported")
            old = hub.api.server_pid("rita")
            restarter.armed.set()
            lives.wait(lambda: restarter.asked, LONGER + BOUND, "the second look")
            lives.wait(lambda: restarter.restarted, 60, "rita's server has started again")
            new = hub.api.server_pid("rita")
            assert new != old
            model = hub.api.server_model("rita")
            assert model is not None
            left = LONGER - 2 - age(model["started"])
            assert left > 0, "the premise failed: its new start took longer than the timeout"
            assert stays(lambda: hub.api.is_ready("rita") and alive(new), left)
            lives.wait(lambda: lives["ida/"].gone is not None, BOUND, "idle ida is stopped")
        hub.says("cull server=rita/ result=replaced")
