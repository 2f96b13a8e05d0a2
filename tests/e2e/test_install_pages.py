"""The page for one machine on a real Hub: its wheel, its blocks, its commands, in the order of the page.

Only ports and times are those of a test. Hub and servers run from `build/installed`, where `make` has
followed the page; of hubcull there is nothing but the wheel's files. It is the newest Hub, whatever `HUB`,
so it is run with that one only.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.environments import NEWEST, chosen_hub
from harness.hubconfig import Service
from harness.installed import PAGE, in_environment
from harness.pages import ROOT, block
from harness.ports import free_ports
from harness.processes import MARK, alive
from harness.realhub import RealHub
from harness.situations import Browser
from harness.waiting import wait_until
from tests.e2e.conftest import MakeHub

pytestmark = pytest.mark.skipif(chosen_hub() != NEWEST, reason="always the newest Hub: run with that one")
INSTALLED = ROOT / "build" / "installed"
TIMEOUT = 8.0
WITHIN = 40.0
"""Seconds for an idle server to be due, seen and gone, on a busy machine."""
DRY_RUN = ', "--dry-run"'

# What the harness has set is taken back: the page alone says where the service is.
AS_ON_THE_PAGE = f"""
del ENVIRONMENT["HUBCULL_URL"]
c.JupyterHub.load_groups = {{"hubcull-pilot": {{"users": ["ada"]}}}}
with open("page.py") as page:
    exec(page.read())
c.JupyterHub.services[-1]["environment"] = {{"{MARK}": os.environ["{MARK}"]}}
"""


class Machine:
    """A real Hub whose configuration ends with the page's block; `write` changes the block."""

    def __init__(self, make_hub: MakeHub, folder: Path) -> None:
        assert (INSTALLED / ".ready").exists(), "nothing is installed; `make build/installed/.ready` does it"
        self.port = free_ports(1)[0]
        self.page = folder / "page.py"
        config = AS_ON_THE_PAGE.replace("page.py", str(self.page))
        self._make_hub, self._config = make_hub, config

    def local(self, text: str) -> str:
        """Return a block with this test's port in the place of the page's."""
        assert "10101" in text
        return text.replace("10101", str(self.port))

    def write(self, text: str) -> None:
        """Put a block at the end of the Hub's configuration, with this test's port and timeout."""
        assert "--timeout=3600" in text
        self.page.write_text(self.local(text).replace("--timeout=3600", f"--timeout={TIMEOUT:g}"))

    def start(self) -> RealHub:
        """Start the Hub."""
        self.hub = self._make_hub(
            service=Service.NONE, bin=INSTALLED / "bin", cleanup_servers=False, extra_config=self._config
        )
        return self.hub

    def plan(self) -> str:
        """Do what the page says under Check, with an admin's token; return what `hubcull plan` prints."""
        check = block(PAGE, "check")
        assert "HUBCULL_TOKEN=..." in check
        token = self.hub.api.mint_token("admin")
        commands = self.local(check).replace("HUBCULL_TOKEN=...", f"HUBCULL_TOKEN={token}")
        return in_environment(INSTALLED, commands, self.hub.place.directory)


@pytest.fixture
def machine(make_hub: MakeHub, tmp_path: Path) -> Machine:
    """Return a machine on which the Hub does not run yet."""
    return Machine(make_hub, tmp_path)


def part(plan: str, heading: str) -> str:
    """Return what stands below one heading of `hubcull plan`."""
    return plan.partition(f"\n{heading}")[2].partition("\n\n")[0]


def outlives_its_activity(hub: RealHub, user: str) -> None:
    """Assert that a server is there although its last_activity is older than timeout and cycle together.

    A restarted proxy takes every route for just used, so that this figure begins anew with the Hub.
    """
    due = 1.5 * TIMEOUT
    wait_until(lambda: hub.api.last_activity_age(user) > due, WITHIN, f"{user}'s last_activity is old")
    assert hub.api.is_ready(user)


def test_the_page_leads_from_a_dry_run_to_the_real_thing(machine: Machine) -> None:
    """A dry run stops nothing and shows what it would; then the idle server is stopped, and no other."""
    page = block(PAGE, "hub")
    machine.write(page)
    hub = machine.start()
    for user in ("ada", "carl"):
        hub.api.start_server(user)
    browser = Browser(hub, "carl")
    cell = browser.kernel_pid(browser.leave_cell("import time; time.sleep(600)"))
    wait_until(lambda: "reporting=2 without_extension=0" in hub.log.read_text(), WITHIN, "both report")
    wait_until(lambda: "result=would_stop reason=idle" in hub.log.read_text(), WITHIN, "ada was due")

    def shows(plan: str) -> str | None:
        right = "ada/" in part(plan, "would be stopped now") and "carl/" in part(plan, "kept")
        return plan if right else None

    plan = wait_until(lambda: shows(machine.plan()), WITHIN, "the plan shows both, by reports not too old")
    assert "dry run: nothing is really stopped" in plan
    assert hub.api.servers_ready() == {"ada/", "carl/"}
    assert f"hubcull reports to http://127.0.0.1:{machine.port}/services/hubcull/" in hub.log.read_text()

    assert page.count(DRY_RUN) == 1
    machine.write(page.replace(DRY_RUN, ""))
    hub.restart_hub()
    hub.api.wait_gone("ada", within=WITHIN)
    outlives_its_activity(hub, "carl")
    assert alive(cell)


def test_a_pilot_leaves_the_others_alone(machine: Machine) -> None:
    """Of two idle servers only the one of the group is seen, and stopped."""
    page = block(PAGE, "hub").replace(DRY_RUN, "")
    everywhere = '        "scopes": ["list:users", "read:servers", "delete:servers"],\n'
    assert everywhere in page
    *head, address = page.replace(everywhere, block("README.md", "pilot-scopes")).strip().splitlines()
    assert "HUBCULL_URL" in address
    machine.write("\n".join([*head, block("README.md", "pilot-address")]))
    hub = machine.start()
    for user in ("bob", "ada"):
        hub.api.start_server(user)
    hub.api.wait_gone("ada", within=WITHIN)
    outlives_its_activity(hub, "bob")
    assert "bob/" not in machine.plan()
    assert "hubcull does nothing: no service" in hub.log.read_text()
