"""idle-culler's own five tests, taken from its source distribution, pass against hubcull.

They start a JupyterHub on fixed ports. So they run from a copy, as they stand, with two additions: ports,
mark and servers of a test Hub at the end of their ``jupyterhub_config.py``, and their address in a conftest
closer to the tests than theirs, which says that one might want to override it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.launch import proxy_command
from harness.ports import free_ports
from harness.processes import MARK, kill_marked
from tests.parity.cullers import IDLE_CULLER, ROOT

SDIST = IDLE_CULLER / "sdist"
ADAPTER = ROOT / "tests" / "parity" / "adapter"
THEIR_TESTS = {
    "test_alive",
    "test_cull_idle",
    "test_custom_cull_arbiter",
    "test_async_custom_cull_arbiter",
    "test_help",
}

_HUB = """

# Added by hubcull's tests.
public, hub, proxy = {ports}
c.JupyterHub.bind_url = f"http://127.0.0.1:{{public}}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{{hub}}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{{proxy}}"
c.ConfigurableHTTPProxy.command = {proxy_command!r}
c.SimpleLocalProcessSpawner.home_dir_template = {home!r}
c.Spawner.environment = {{{mark_name!r}: {mark!r}}}
c.Spawner.cmd = {server!r}
"""
_ADDRESS = """
import pytest


@pytest.fixture(scope="session")
def hub_url():
    return "http://127.0.0.1:{port}"
"""


def lay_out(folder: Path, mark: str) -> Path:
    """Copy their tests into a folder with our additions, and return where to run pytest."""
    tests, closer = folder / "tests", folder / "tests" / "closer"
    closer.mkdir(parents=True)
    for name in ("conftest.py", "jupyterhub_config.py"):
        shutil.copy(SDIST / "tests" / name, tests)
    shutil.copy(SDIST / "tests" / "test_idle_culler.py", closer)
    ports = free_ports(3)
    home = str(folder / "home" / "{username}")
    server = [sys.executable, str(ROOT / "tests" / "parity" / "quiet_server.py")]
    words = {
        "proxy_command": proxy_command(),
        "home": home,
        "server": server,
        "mark_name": MARK,
        "mark": mark,
    }
    addition = _HUB.format(ports=ports, **words)
    with (tests / "jupyterhub_config.py").open("a") as config:
        config.write(addition)
    (closer / "conftest.py").write_text(_ADDRESS.format(port=ports[0]))
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    return folder


def run_their_tests(folder: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Run them in the environment of idle-culler; return the outcome of each, by name."""
    mark = secrets.token_hex(8)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTEST"))}
    path = os.pathsep.join((str(Path(sys.executable).parent), clean.get("PATH", os.defpath)))
    command = [
        str(IDLE_CULLER / "bin" / "python"),
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--junitxml=out.xml",
    ]
    try:
        done = subprocess.run(
            [*command, "tests"],
            cwd=lay_out(folder, mark),
            env={**clean, **extra, "PATH": path, MARK: mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=150,
            check=False,
        )
    finally:
        kill_marked(mark)
    cases = ET.parse(folder / "out.xml").iter("testcase")  # noqa: S314 - written by pytest just now
    outcomes = {case.get("name", ""): "/".join(child.tag for child in case) or "passed" for case in cases}
    if set(outcomes.values()) != {"passed"}:
        pytest.fail(done.stdout.decode(errors="replace")[-8000:])
    return outcomes


def origin(extra: Mapping[str, str]) -> Path:
    """Return where the module under test comes from, with this environment."""
    command = [
        str(IDLE_CULLER / "bin" / "python"),
        "-c",
        "import jupyterhub_idle_culler as m; print(m.__file__)",
    ]
    done = subprocess.run(command, env={**os.environ, **extra}, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def test_they_pass_against_idle_culler(tmp_path: Path) -> None:
    """Here, as we run them; else what follows would prove nothing."""
    assert IDLE_CULLER in origin({}).parents
    assert run_their_tests(tmp_path, {}) == dict.fromkeys(THEIR_TESTS, "passed")


@pytest.mark.parity("2.own_tests")
def test_they_pass_against_hubcull(tmp_path: Path) -> None:
    """With hubcull's rooms behind the name of their module."""
    extra = {"PYTHONPATH": str(ADAPTER)}
    assert ADAPTER in origin(extra).parents
    assert run_their_tests(tmp_path, extra) == dict.fromkeys(THEIR_TESTS, "passed")
