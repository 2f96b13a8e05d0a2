"""What goes wrong around the service only ever reduces what is stopped."""

from __future__ import annotations

from dataclasses import replace

from harness.calls import call
from harness.processes import alive
from harness.situations import Browser
from harness.waiting import stays, wait_until
from tests.e2e.conftest import MakeHub
from tests.e2e.lives import Watcher

TIMEOUT, BOUND = 20.0, 20.0
LONG = "import time; time.sleep(900)"


def test_a_hub_with_a_misspelt_option_starts_and_nothing_is_stopped(make_hub: MakeHub) -> None:
    """The error is at the prefix and in the log; with the option put right the idle server is stopped."""
    hub = make_hub(f"--timeuot={TIMEOUT:g}", "--cull-every=1", "--warm-up=5", cleanup_servers=False)
    hub.api.start_server("ida")
    pid = hub.api.server_pid("ida")
    wait_until(lambda: hub.api.last_activity_age("ida") > TIMEOUT, 60, "ida is overdue")
    assert stays(lambda: hub.api.is_ready("ida"), 5)
    answer = hub.ask_service("")
    assert answer.status == 200
    said = "unknown option --timeuot; did you mean --timeout?"
    assert said in answer.json()["problems"][0]
    assert said in hub.log.read_text()
    right = (f"--timeout={TIMEOUT:g}", *hub.options.service_options[1:])
    hub.stop_hub()
    hub.options = replace(hub.options, service_options=right)
    hub.start_hub()
    hub.api.wait_gone("ida", within=2 * TIMEOUT + BOUND)
    wait_until(lambda: not alive(pid), 10, "its process is gone")


def test_reports_cut_off_during_a_silent_cell_hold_the_server(make_hub: MakeHub) -> None:
    """The proxy's route to the service is gone; a server without the extension is stopped all the while."""
    hub = make_hub(f"--timeout={TIMEOUT:g}", "--cull-every=1", "--warm-up=10", last_activity_interval=3600)
    with Watcher(hub) as lives:
        hub.api.create_user("carla")
        browser = Browser(hub, "carla")
        kernels: list[str] = []
        lives.begin("carla/", lambda: kernels.append(browser.leave_cell(LONG)))
        wait_until(lambda: (hub.verdict("carla") or {}).get("reason") == "busy", 30, "carla is seen busy")
        kernel = browser.kernel_pid(kernels[0])
        route = hub.routes.remove("/services/hubcull")
        lives.begin("nora/", extension=False)
        lives.wait(lambda: lives["nora/"].gone is not None, TIMEOUT + BOUND, "nora is stopped")
        lives["nora/"].was_stopped(TIMEOUT, BOUND)
        lives.wait(lambda: lives["carla/"].oldest_activity > TIMEOUT + 5, 60, "carla's last_activity is old")
        lives["carla/"].was_kept(TIMEOUT)
        assert alive(kernel)
        beside = f"http://127.0.0.1:{hub.place.service}/services/hubcull/api/v1/servers?user=carla"
        (row,) = call("GET", beside, token=hub.place.bench_token).json()["servers"]
        assert (row["action"], row["reason"]) == ("hold", "silent_at_work")
        hub.routes.restore("/services/hubcull", route)
        wait_until(lambda: (hub.verdict("carla") or {}).get("reason") == "busy", 40, "reports come in again")
