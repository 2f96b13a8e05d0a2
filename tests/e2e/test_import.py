"""What `hubcull import-idle-culler` prints runs on a real Hub: it stops what is idle, and lacks no scope."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness.hubconfig import Service
from harness.waiting import wait_until
from tests.e2e.conftest import MakeHub

TIMEOUT = 8

TODAY = """
import sys
c.JupyterHub.services = [
    {{
        "name": "cull-idle",
        "admin": True,
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--config={file}", "--timeout={timeout}",
                    "--cull_every=1", "--cull-users", "--remove-named-servers"],
    }}
]
"""

FILE = """
def hook(inactive, inactive_limit, server):
    return server["name"] != "kept" and inactive.total_seconds() >= inactive_limit

c.IdleCuller.cull_arbiter_hook = hook
c.Hubcull.warm_up = 0
"""


def imported(folder: Path) -> str:
    """Return what the command prints for an entry of idle-culler with users, a hook and a file."""
    file = folder / "idle_culler_config.py"
    file.write_text(FILE)
    today = folder / "jupyterhub_config.py"
    today.write_text(TODAY.format(file=file, timeout=TIMEOUT))
    argv = [sys.executable, "-c", "from hubcull_hub.cli import main; import sys; sys.exit(main())"]
    return subprocess.run(
        [*argv, "import-idle-culler", str(today)], check=True, capture_output=True, text=True, timeout=60
    ).stdout


def test_the_printed_entry_and_role_do_the_work(make_hub: MakeHub, tmp_path: Path) -> None:
    """The idle servers of ada and bob are stopped and ada is deleted; the hook, and its server, keep bob."""
    text = imported(tmp_path)
    assert "idle for 8 s" in text
    hub = make_hub(service=Service.NONE, extra_config=text)
    hub.api.start_server("bob", "kept", extension=False)
    hub.api.start_server("bob", "gpu", extension=False)
    hub.api.start_server("ada", extension=False)
    wait_until(lambda: hub.api.call("GET", "/users/ada").status == 404, 60, "ada is deleted")
    hub.api.wait_gone("bob", "gpu", within=30)
    wait_until(lambda: hub.api.last_activity_age("bob", "kept") > 2 * TIMEOUT, 60, "kept is idle, too")
    assert hub.api.is_ready("bob", "kept")
    assert hub.api.call("GET", "/users/bob").status == 200
    log = hub.log.read_text()
    assert "cull server=ada/ result=stopped" in log
    assert "is missing" not in log
    assert log.count("Three lines turn reports on") == 1
    assert "/services/cull-idle/" in log
