"""The harness keeps its word: what the other end-to-end tests take for granted."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import psutil
import pytest

from harness.environments import chosen_hub, hub_bin, installed
from harness.hubconfig import HubOptions, Service
from harness.launch import HubFailedError
from harness.ports import free_ports
from harness.processes import alive, below, environment, find_below, marked
from harness.realhub import RealHub
from harness.situations import Browser, post_report, server_token
from harness.waiting import wait_until
from tests.e2e.conftest import MakeHub

SCRIPT = "import time; time.sleep(600)"


@pytest.fixture(scope="module")
def hub(make_module_hub: MakeHub) -> RealHub:
    """One Hub without hubcull, with the default server of ada."""
    hub = make_module_hub(service=Service.NONE)
    hub.api.start_server("ada")
    return hub


@pytest.fixture
def ada(hub: RealHub) -> Browser:
    """Return the browser of ada."""
    return Browser(hub, "ada")


def test_servers_are_as_asked_for(hub: RealHub) -> None:
    hub.api.start_server("bob", "gpu", extension=False, env={"COLOUR": "blue"})
    pid = hub.api.server_pid("bob", "gpu")
    assert hub.api.servers_ready() >= {"ada/", "bob/gpu"}
    assert environment(pid)["COLOUR"] == "blue"
    assert environment(pid)["HUBCULL_URL"] == hub.service_url
    hub.api.stop_server("bob", "gpu")
    assert hub.api.server_model("bob", "gpu") is None
    assert not alive(pid)


@pytest.mark.parametrize("kind", [Service.MANAGED, Service.STANDALONE])
def test_all_that_is_tested_runs_in_the_environment_of_the_hub(make_hub: MakeHub, kind: Service) -> None:
    """The Hub of the version asked for, a server, its kernel, the service; only the proxy is no Python."""
    hub = make_hub(service=kind)
    assert hub.api.version() == installed(hub_bin(), "jupyterhub")["jupyterhub"]
    assert hub.api.version().startswith(f"{chosen_hub()}.")
    hub.api.start_server("ada")
    kernel = Browser(hub, "ada").leave_cell(SCRIPT)
    named = {
        "hub": hub.hub_pid,
        "server": hub.api.server_pid("ada"),
        "kernel": Browser(hub, "ada").kernel_pid(kernel),
        "service": hub.service_pid,
    }
    used = {what: Path(psutil.Process(pid).cmdline()[0]).parent for what, pid in named.items()}
    assert used == dict.fromkeys(named, hub_bin())
    others = [each for each in marked(hub.place.mark) if each.pid not in named.values()]
    assert [each.name() for each in others] == ["node"]


def test_a_server_token_is_the_servers_own(hub: RealHub, ada: Browser) -> None:
    token = server_token(ada.server_pid)
    assert "access:servers!server=ada/" in hub.api.whoami(token).json()["scopes"]
    assert post_report(hub, token, {}).status == 403  # no service here: the Hub answers, and not with JSON


def test_a_cell_left_alone_runs_on_and_the_hub_sees_nothing_of_it(hub: RealHub, ada: Browser) -> None:
    kernel_id = ada.leave_cell("import time; time.sleep(600)")
    wait_until(lambda: hub.api.last_activity_age("ada") > 4, 20, "last_activity stands still")
    assert alive(ada.kernel_pid(kernel_id))
    pid = ada.crash_kernel(kernel_id)
    wait_until(lambda: not alive(pid), 15, "the kernel is dead")


def test_an_open_tab_answers_and_can_interrogate_a_busy_kernel(ada: Browser) -> None:
    with ada.open_kernel() as kernel:
        assert kernel.run("1 + 1")["status"] == "ok"
        kernel.begin("import time; time.sleep(600)")
        assert kernel.ask("usage_request", channel="control")["content"]["pid"] == ada.kernel_pid(kernel.id)
        assert ada.status()["connections"] == 1
    wait_until(lambda: ada.status()["connections"] == 0, 15, "the tab is closed")


def test_a_command_left_in_a_terminal_runs_on(ada: Browser) -> None:
    pid = ada.leave_command(f'{sys.executable} -c "{SCRIPT}"', SCRIPT)
    assert alive(pid)
    assert find_below(ada.server_pid, SCRIPT) == pid


def test_a_path_can_be_cut_off_for_longer_than_the_hub_looks_away(hub: RealHub) -> None:
    assert hub.options.last_activity_interval == 2
    before = post_report(hub, None, {}).status
    hub.routes.cut("/services/hubcull")
    with pytest.raises(TimeoutError):
        wait_until(lambda: post_report(hub, None, {}).status != 503, 3.5, "the Hub mends the route")
    hub.routes.mend("/services/hubcull")
    assert post_report(hub, None, {}).status == before


def test_servers_outlive_a_hub_that_leaves_them_alone(make_hub: MakeHub) -> None:
    hub = make_hub(service=Service.NONE, cleanup_servers=False)
    hub.api.start_server("ada")
    pid = hub.api.server_pid("ada")
    hub.restart_hub()
    wait_until(lambda: hub.api.is_ready("ada"), 30, "the Hub finds the server again")
    hub.routes.wait_for("/user/ada")
    assert hub.api.server_pid("ada") == pid
    assert Browser(hub, "ada").status()["kernels"] == 0


def test_what_is_said_of_a_former_start_is_not_taken_for_the_new_ones(make_hub: MakeHub) -> None:
    """With this timeout the service lists every five minutes, so that it goes on about the one it knew."""
    hub = make_hub("--timeout=600", "--cull-every=1")
    hub.api.start_server("ada")

    def reported() -> dict[str, Any] | None:
        said = hub.verdict("ada")
        return said if said is not None and said["basis"] == "report" else None

    said = wait_until(reported, 30, "ada has reported")
    hub.api.stop_server("ada")
    assert hub.verdict("ada") is None
    hub.api.start_server("ada", extension=False)
    shown = hub.shown("ada")
    assert shown is not None
    assert shown["started"] == said["started"], "the premise failed: it knows already"
    assert hub.verdict("ada") is None


def test_nothing_is_left_of_a_killed_hub(make_hub: MakeHub) -> None:
    hub = make_hub(service=Service.NONE)
    hub.api.start_server("ada")
    script = Browser(hub, "ada").leave_command(f'{sys.executable} -c "{SCRIPT}"', SCRIPT)
    pids = [hub.api.server_pid("ada"), script]
    hub.kill_hub()
    assert all(alive(pid) for pid in pids)
    hub.stop()
    assert not any(alive(pid) for pid in pids)
    assert any("jupyterhub-singleuser" in each for each in hub.leftovers)


def test_a_child_that_has_not_yet_become_itself_is_not_taken_for_its_parent() -> None:
    """Such as one that `watch` begins every second, and that is gone before anybody looks at it."""
    forked = "import os, sys, time; os.fork(); sys.stdout.write('x'); sys.stdout.flush(); time.sleep(60)"
    with Popen([sys.executable, "-c", forked], stdout=PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(2) == b"xx"
        (child,) = below(process.pid)
        assert find_below(os.getpid(), "os.fork()") == process.pid
        child.kill()
        process.kill()


def test_no_two_processes_are_given_the_same_port() -> None:
    """Neither while both run, nor those that nobody listens on yet."""
    command = [sys.executable, "-c", "from harness.ports import free_ports; print(*free_ports(150)); input()"]
    with ExitStack() as running:
        each = [running.enter_context(Popen(command, stdin=PIPE, stdout=PIPE, text=True)) for _ in range(3)]
        given = [port for process in each for port in (process.stdout or StringIO()).readline().split()]
        given += map(str, free_ports(150))
        for process in each:
            process.communicate("\n", timeout=10)
    assert len(given) == len(set(given)) == 600


def test_nothing_is_left_of_a_hub_that_does_not_start() -> None:
    """Hubs before 5.0 do start where a service exits at once, but not where it can not be started at all."""
    exits = (sys.executable, "-c", "import sys; sys.exit('no')"), "exited with status 1"
    missing = ("/no/such/program",), "No such file or directory"
    version = installed(hub_bin(), "jupyterhub")["jupyterhub"]
    command, says = missing if int(version.partition(".")[0]) < 5 else exits
    hub = RealHub(HubOptions(service_command=command))
    with pytest.raises(HubFailedError, match=says), hub:
        pass
    assert list(marked(hub.place.mark)) == []
    assert not hub.place.directory.exists()
