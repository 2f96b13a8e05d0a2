"""A real Hub, with the service entry and the role of idle-culler's README: who stops what."""

from __future__ import annotations

import re
import sqlite3
import time
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path

import pytest

from harness.api import age
from harness.hubconfig import Service
from harness.processes import MARK, alive
from harness.realhub import RealHub
from harness.situations import Browser
from harness.waiting import wait_until
from tests.e2e.conftest import MakeHub
from tests.parity.cullers import IDLE_CULLER
from tests.parity.states import HOUR

QUIET = Path(__file__).with_name("quiet_server.py")
MODULE = "jupyterhub_idle_culler"
# name, server: how long ago it started and was used last, None for never
SERVERS: dict[tuple[str, str], tuple[float, float | None]] = {
    ("idle", ""): (3 * HOUR, 2 * HOUR),
    ("active", ""): (3 * HOUR, 60),
    ("unused", ""): (3 * HOUR, None),
    ("new", ""): (60, None),
    ("named", ""): (3 * HOUR, 60),
    ("named", "gpu"): (3 * HOUR, 2 * HOUR),
    ("a b@c", ""): (3 * HOUR, 2 * HOUR),
}
DUE = ["/users/a%20b%40c/server", "/users/idle/server", "/users/named/servers/gpu", "/users/unused/server"]


@cache
def readme() -> tuple[str, str]:
    """Return the role and the service entry of idle-culler's README, as they stand there."""
    text = (IDLE_CULLER / "sdist" / "README.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (role,) = (block for block in blocks if "load_roles" in block)
    (entry,) = (block for block in blocks if '"command"' in block)
    assert entry.count(MODULE) == 1
    return role, entry


def config(module: str) -> str:
    """Return the README's configuration with this module, the harness's own service beside it."""
    role, entry = readme()
    return f"""
import sys
c.Spawner.cmd = [sys.executable, {str(QUIET)!r}]
services, roles = c.JupyterHub.services, c.JupyterHub.load_roles
{role}
{entry.replace(MODULE, module)}
c.JupyterHub.services += services
c.JupyterHub.load_roles += roles
"""


def backdate(hub: RealHub) -> None:
    """Write into the stopped Hub's database when servers started and were used."""
    now = datetime.now(timezone.utc).replace(tzinfo=None)

    def at(age: float | None) -> str | None:
        return None if age is None else str(now - timedelta(seconds=age))

    with sqlite3.connect(hub.place.directory / "jupyterhub.sqlite") as database:
        for (name, server), (started, used) in SERVERS.items():
            changed = database.execute(
                "UPDATE spawners SET started = ?, last_activity = ? WHERE name = ? AND user_id ="
                " (SELECT id FROM users WHERE name = ?)",
                (at(started), at(used), server, name),
            )
            assert changed.rowcount == 1
    database.close()


def restarted(make_hub: MakeHub, module: str) -> tuple[RealHub, int]:
    """Return a Hub that has just come back to servers of long standing, and where its log goes on.

    A culler with this module is its service; before the restart nothing is idle for long enough.
    """
    hub = make_hub(
        service=Service.NONE,
        cleanup_servers=False,
        cleanup_proxy=False,
        last_activity_interval=3000,
        extra_config=config(module),
    )
    for name, server in SERVERS:
        hub.api.create_user(name)
        hub.api.start_server(name, server)
    hub.stop_hub()
    backdate(hub)
    (hub.place.directory / "hubcull_config.py").write_text("c.Hubcull.warm_up = 0\n")
    begun = len(hub.log.read_text(errors="replace"))
    hub.start_hub()
    return hub, begun


def deletes(log: str) -> list[tuple[str, str]]:
    """Return the answered DELETEs of the culler, as the Hub's log has them: path and status."""
    by = r"\(jupyterhub-idle-culler-service@"
    return sorted((path, status) for status, path in re.findall(rf"(\d+) DELETE /hub/api(\S+) {by}", log))


def stops_by(module: str, make_hub: MakeHub) -> list[tuple[str, str]]:
    """Return what the culler with this module asks a restarted Hub to stop."""
    hub, begun = restarted(make_hub, module)

    def log() -> str:
        return hub.log.read_text(errors="replace")[begun:]

    wait_until(lambda: len(deletes(log())) >= len(DUE), 60, f"the stops by {module}")
    assert hub.api.servers_ready() == {"active/", "new/", "named/"}
    assert ("cycle=1 " in log()) == (module == "hubcull_hub")
    hub.stop()
    return deletes(log())


@pytest.mark.parity("1g.readme")
@pytest.mark.parity("1f.at_once")
def test_the_readmes_entry_with_another_module_stops_the_same_servers(
    make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same role and options; the warm-up of hubcull (L1) is in a file of its own."""
    (found,) = IDLE_CULLER.glob(f"lib/python*/site-packages/{MODULE}")
    (tmp_path / MODULE).symlink_to(found)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # a Hub hands it on to its services
    theirs, ours = stops_by(MODULE, make_hub), stops_by("hubcull_hub", make_hub)
    assert theirs == ours == [(path, "204") for path in DUE]


_STOCK = """
import os
c.JupyterHub.services.append({{
    "name": "stock",
    "command": [{python!r}, "-m", "jupyterhub_idle_culler", "--timeout=20", "--cull-every=2"],
    "environment": {{{mark!r}: os.environ[{mark!r}]}},
}})
scopes = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
c.JupyterHub.load_roles.append({{"name": "stock", "services": ["stock"], "scopes": scopes}})
"""


def test_published_work_keeps_a_server_from_the_real_idle_culler(make_hub: MakeHub) -> None:
    """The same silent cell in both, and hubcull in a dry run: idle-culler stops the one that does not tell.

    The Hub's own figure of the other stays young, which is what its page shows.
    """
    stock = _STOCK.format(python=str(IDLE_CULLER / "bin" / "python"), mark=MARK)
    hub = make_hub("--timeout=20", "--dry-run", "--warm-up=5", extra_config=stock)
    told = {"HUBCULL_PUBLISH_WORK": "true", "HUBCULL_SAMPLE_INTERVAL": "2"}
    pids = {}
    for user, env in (("kept", told), ("culled", {**told, "HUBCULL_PUBLISH_WORK": "false"})):
        hub.api.start_server(user, env=env)
        with Browser(hub, user) as browser:
            pids[user] = browser.kernel_pid(browser.leave_cell("import time; time.sleep(900)"))
    assert all(alive(pid) for pid in pids.values())
    begun = time.monotonic()
    wait_until(lambda: hub.api.server_model("culled") is None, 60, "idle-culler stops the one")
    assert time.monotonic() - begun > 10, "it was stopped for its idleness"
    while time.monotonic() - begun < 45:
        model = hub.api.server_model("kept")
        assert model is not None
        assert age(model["last_activity"]) < 15
        time.sleep(1)
    assert alive(pids["kept"])
    assert (hub.verdict("kept") or {})["reason"] == "busy"
