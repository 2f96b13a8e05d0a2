"""A Hub with ``internal_ssl``: real proxy, real servers, real certificates, all made by the Hub."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.hubconfig import Service
from harness.processes import alive
from harness.realhub import RealHub
from harness.situations import Browser
from harness.waiting import stays, wait_until
from tests.component.hub.certs import make_certs
from tests.e2e.conftest import MakeHub
from tests.e2e.lives import Watcher

TIMEOUT, BOUND = 20.0, 20.0
OPTIONS = (f"--timeout={TIMEOUT:g}", "--cull-every=1", "--warm-up=10")
LONG = "import time; time.sleep(900)"


def the_idle_one_is_stopped_by_its_report_and_the_busy_one_kept(hub: RealHub) -> None:
    """Assert that, of two servers with the extension; the kept one's last_activity is old."""
    with Watcher(hub) as lives:
        kernels: list[int] = []

        def silent_cell() -> None:
            browser = Browser(hub, "carla")
            kernels.append(browser.kernel_pid(browser.leave_cell(LONG)))

        lives.begin("carla/", silent_cell)
        lives.begin("olivia/")
        wait_until(lambda: (hub.verdict("carla") or {}).get("reason") == "busy", 30, "carla is seen busy")
        lives.wait(lambda: lives["olivia/"].gone is not None, TIMEOUT + BOUND, "idle olivia is stopped")
        lives["olivia/"].was_stopped(TIMEOUT, BOUND)
        hub.says("server=olivia/ result=stopped reason=idle ")
        lives.wait(lambda: lives["carla/"].oldest_activity > TIMEOUT + 5, 60, "carla's last_activity is old")
        lives["carla/"].was_kept(TIMEOUT)
        assert alive(kernels[0])


def asked(hub: RealHub, *command: str) -> str:
    """Return what a command of hubcull's prints to an operator."""
    env = {"HUBCULL_URL": hub.service_url, "HUBCULL_TOKEN": hub.place.bench_token}
    program = [str(hub.options.bin / "hubcull"), *command]
    return subprocess.run(program, env=env, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_managed_service_needs_no_configuration(make_hub: MakeHub) -> None:
    """It asks the Hub with the certificate that the Hub gave it; reports come in by the public side."""
    hub = make_hub(*OPTIONS, internal_ssl=True)
    assert hub.options.internal_ssl
    the_idle_one_is_stopped_by_its_report_and_the_busy_one_kept(hub)
    wait_until(lambda: "carla/: keep, busy" in asked(hub, "explain", "carla"), 30, "carla is kept as busy")
    wait_until(lambda: "kept: 1" in asked(hub, "plan"), 30, "the plan keeps her")


def test_a_service_with_an_https_url_is_reached_by_the_proxy(make_hub: MakeHub) -> None:
    """Nothing between Hub, proxy and service goes unencrypted; who has no certificate is not let in."""
    hub = make_hub(*OPTIONS, internal_ssl=True, service=Service.STANDALONE, service_scheme="https")
    the_idle_one_is_stopped_by_its_report_and_the_busy_one_kept(hub)
    assert ", with TLS" in hub.service_log.read_text()


@pytest.mark.parity("1a.ssl_enabled")
def test_an_entry_of_idle_cullers_without_url(make_hub: MakeHub) -> None:
    """Its two options, and last_activity: the idle one is stopped, the one in use kept."""
    hub = make_hub(
        *OPTIONS,
        "--ssl-enabled",
        "--internal-certs-location=internal-ssl",
        internal_ssl=True,
        service_scheme=None,
    )
    with Watcher(hub) as lives:
        lives.begin("nora/", extension=False)
        lives.begin("uma/", extension=False)
        user = Browser(hub, "uma")

        def used_until_nora_is_gone() -> bool:
            user.status()
            return lives["nora/"].gone is not None

        lives.wait(used_until_nora_is_gone, TIMEOUT + BOUND, "idle nora is stopped")
        lives["nora/"].was_stopped(TIMEOUT, BOUND)
        assert hub.api.is_ready("uma")
    hub.says("server=nora/ result=stopped reason=hub_idle ")


def test_with_a_wrong_ca_nothing_is_stopped_and_the_log_says_why(make_hub: MakeHub, tmp_path: Path) -> None:
    """Whoever is not the Hub gets no token; with the right folder the idle server is stopped."""
    make_certs(tmp_path / "another-hub")
    wrong = ("--ssl-enabled", f"--internal-certs-location={tmp_path / 'another-hub'}")
    hub = make_hub(*OPTIONS, *wrong, internal_ssl=True, service=Service.STANDALONE)
    hub.api.start_server("ida", extension=False)
    wait_until(lambda: hub.api.last_activity_age("ida") > TIMEOUT, 60, "ida is overdue")
    assert stays(lambda: hub.api.is_ready("ida"), 5)
    assert "the servers could not be listed" in hub.service_log.read_text()
    assert "its certificate is not accepted by the CA in" in hub.service_log.read_text()
    hub.stop_service()
    hub.options = replace(hub.options, service_options=(*OPTIONS, "--ssl-enabled"))
    hub.start_service()
    hub.api.wait_gone("ida", within=2 * TIMEOUT + BOUND)
