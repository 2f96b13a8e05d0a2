"""hubcull beside the Hub, not below it: the operator starts it with a service token and the Hub's address."""

from __future__ import annotations

import signal
from pathlib import Path
from subprocess import STDOUT, Popen

from harness.hubconfig import Service
from harness.processes import MARK, alive
from harness.waiting import stays, wait_until
from tests.e2e.conftest import MakeHub
from tests.e2e.lives import Watcher, begin_busy_and_idle

TIMEOUT, BOUND = 20.0, 20.0


def test_a_token_and_the_hubs_address_are_enough(make_hub: MakeHub, tmp_path: Path) -> None:
    """It takes reports through the proxy and stops servers, outlives the Hub, and ends when told to."""
    hub = make_hub(service=Service.STANDALONE)
    hub.stop_service()
    options = (
        f"--timeout={TIMEOUT:g}",
        "--cull-every=1",
        "--warm-up=10",
        f"--bind=127.0.0.1:{hub.place.service}",
    )
    log = tmp_path / "service.log"
    with log.open("wb") as out:
        service = Popen(
            [str(hub.options.bin / "python"), "-m", "hubcull_hub", *options],
            env={
                "JUPYTERHUB_API_TOKEN": hub.place.service_token,
                "JUPYTERHUB_API_URL": hub.api.url,
                MARK: hub.place.mark,
            },
            cwd=tmp_path,
            stdout=out,
            stderr=STDOUT,
        )
    wait_until(lambda: hub.ask_service("").ok, 30, "the service answers through the proxy")
    with Watcher(hub) as lives:
        kernel = begin_busy_and_idle(lives)
        lives.wait(lambda: lives["ida/"].gone is not None, TIMEOUT + BOUND, "idle ida is stopped")
        lives["ida/"].was_stopped(TIMEOUT, BOUND)
        lives.wait(lambda: lives["carla/"].oldest_activity > TIMEOUT, 40, "carla's last_activity is old")
        lives["carla/"].was_kept(TIMEOUT)
        assert alive(kernel)
    hub.kill_hub()
    assert stays(lambda: service.poll() is None, 3), log.read_text()
    service.send_signal(signal.SIGTERM)
    assert service.wait(15) == 0
    assert hub.place.service_token not in log.read_text()
