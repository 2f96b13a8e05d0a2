"""A real JupyterHub on loopback: real proxy, real single-user servers, hubcull as its service.

    with RealHub(HubOptions(service_options=["--timeout=10"])) as hub:
        hub.api.start_server("alice")

Whatever happens, no process outlives `RealHub.stop`, not even those of a Hub killed with SIGKILL.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psutil

from harness.api import HubAPI, moment
from harness.calls import Answer, call
from harness.hubconfig import HubOptions, Place, Service, hub_address, public_url, render, service_argv
from harness.launch import HubFailedError, service_environment, settle, spawn
from harness.processes import alive, command_line, environment, kill_marked, marked
from harness.routes import ProxyRoutes
from harness.waiting import wait_until

START_WITHIN = 90.0
"""Seconds a Hub may take to start; the first start on a cold, slow machine takes the longest."""
STOP_WITHIN = 75.0
"""Seconds a Hub may take to stop by itself; it waits up to 30 s each for services and servers."""
_TRIES = 3
_PORT_TAKEN = re.compile("EADDRINUSE|address already in use", re.IGNORECASE)


class RealHub:
    """One JupyterHub and all that belongs to it.

    ``api`` is its REST API, ``routes`` its proxy's, ``log`` the file with what the Hub, its proxy, its
    servers and a managed service say, ``service_log`` what a standalone service says. ``directory``
    keeps everything; without one a temporary folder is made at `start` and removed at `stop`.
    ``leftovers`` names the processes that had to be killed at `stop` because nobody else ended them.
    """

    def __init__(self, options: HubOptions | None = None, directory: Path | None = None) -> None:
        self.options = options or HubOptions()
        self.leftovers: list[str] = []
        self._own_directory = directory is None
        self._directory = directory
        self._hub: subprocess.Popen[bytes] | None = None
        self._service: subprocess.Popen[bytes] | None = None
        self._place: Place | None = None

    def __enter__(self) -> RealHub:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it and clean up."""
        self.stop()

    # where things are

    @property
    def place(self) -> Place:
        """Folder, ports and secrets; only a Hub that was started has one."""
        if self._place is None:
            raise HubFailedError("this Hub was not started")
        return self._place

    @property
    def url(self) -> str:
        """Where browsers find the Hub, through the proxy, with a closing slash."""
        return public_url(self.place, self.options)

    @property
    def service_url(self) -> str:
        """Where servers and people find hubcull, through the proxy, with a closing slash."""
        return f"{self.url}services/hubcull/"

    @property
    def log(self) -> Path:
        """The file with all that the Hub and its children print."""
        return self.place.directory / "hub.log"

    @property
    def service_log(self) -> Path:
        """The file with what the service prints."""
        standalone = self.options.service is Service.STANDALONE
        return self.place.directory / "service.log" if standalone else self.log

    @property
    def api(self) -> HubAPI:
        """The Hub's REST API, reached without the proxy, unless that alone speaks plain http."""
        direct = f"{hub_address(self.place, self.options)}{self.options.base_url}"
        return HubAPI(f"{self.url if self.options.internal_ssl else direct}hub/api", self.place.bench_token)

    @property
    def routes(self) -> ProxyRoutes:
        """The proxy's own API."""
        return ProxyRoutes(f"http://127.0.0.1:{self.place.proxy_api}", self.place.proxy_token)

    @property
    def hub_pid(self) -> int:
        """The process id of the Hub."""
        if self._hub is None:
            raise HubFailedError("this Hub does not run")
        return self._hub.pid

    @property
    def running(self) -> bool:
        """Whether the Hub's process is there."""
        return self._hub is not None and self._hub.poll() is None

    @property
    def service_pid(self) -> int:
        """The process id of the hubcull service; TimeoutError when none runs for 45 s."""
        return wait_until(self._find_service, 45, "a hubcull service runs")

    def _find_service(self) -> int | None:
        if self._service is not None:
            return self._service.pid if self._service.poll() is None else None
        for process in marked(self.place.mark):
            if environment(process.pid).get("JUPYTERHUB_SERVICE_NAME") == "hubcull":
                return process.pid
        return None

    # life

    def start(self) -> None:
        """Start the Hub on fresh ports and wait until it and its service are reachable.

        Raises:
            HubFailedError: when it did not start, other than for a port that somebody took meanwhile.

        """
        directory = self._directory or Path(tempfile.mkdtemp(prefix="hubcull-"))
        directory.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, _TRIES + 1):
            self._place = settle(directory, self.options)
            try:
                self._launch()
                return
            except BaseException as error:
                self._end()
                if attempt < _TRIES and isinstance(error, HubFailedError) and _PORT_TAKEN.search(str(error)):
                    continue
                self._remove_own_directory()
                raise

    def _launch(self) -> None:
        config = self.place.directory / "jupyterhub_config.py"
        config.touch(mode=0o600)
        config.write_text(render(self.place, self.options))
        command = [str(self.options.bin / "python"), "-m", "jupyterhub", "-f", str(config)]
        if self.options.service is Service.STANDALONE and self._service is None:
            if self.options.internal_ssl:
                making = [*command, "--generate-certs"]
                spawn(self.place, self.options, making, self.log, {}).wait(START_WITHIN)
            self.start_service()
        began = self.log.stat().st_size if self.log.exists() else 0
        self._hub = spawn(self.place, self.options, command, self.log, {})
        try:
            wait_until(lambda: self._is_up(began), START_WITHIN, "the Hub is up")
        except TimeoutError as error:
            raise HubFailedError(f"{error}: {self.log_tail()}") from error

    def _is_up(self, began: int) -> bool:
        if self._hub is None or self._hub.poll() is not None:
            raise HubFailedError(f"the Hub ended: {self.log_tail()}")
        with self.log.open("rb") as log:
            log.seek(began)
            if b"JupyterHub is now running" not in log.read():
                return False
        try:
            return call("GET", f"{self.url}hub/api/").ok
        except OSError:
            return False

    def says(self, text: str, within: float = 10) -> None:
        """Wait until hubcull's log says this: what is done shows at the Hub a moment before.

        Raises:
            TimeoutError: when it does not say so within ``within`` seconds.

        """
        wait_until(lambda: text in self.service_log.read_text(), within, f"the log says {text!r}")

    def log_tail(self, characters: int = 4000) -> str:
        """Return the end of the Hub's log."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    def kill_hub(self) -> None:
        """Kill the Hub with SIGKILL; everything it had started goes on."""
        if self._hub is not None:
            self._hub.kill()
            self._hub.wait()
            self._hub = None

    def stop_hub(self, within: float = STOP_WITHIN) -> None:
        """End the Hub as an operator would, with SIGTERM, and wait; kill it after ``within`` seconds."""
        if self._hub is None:
            return
        self._hub.send_signal(signal.SIGTERM)
        try:
            self._hub.wait(within)
        except subprocess.TimeoutExpired:
            self.leftovers.append(f"the Hub itself, still there {within:g} s after SIGTERM")
        self.kill_hub()

    def start_hub(self) -> None:
        """Start the Hub again, on the same ports with the same database, and wait as `start` does."""
        self._launch()

    def restart_hub(self) -> None:
        """Stop and start the Hub; what stays meanwhile is for ``cleanup_servers`` and ``cleanup_proxy``."""
        self.stop_hub()
        self.start_hub()

    def stop(self) -> None:
        """Stop everything, kill what is left, remove the folder if it was a temporary one."""
        try:
            self.stop_hub()
        finally:
            self.end()

    def end(self) -> None:
        """Kill everything at once, as nobody would who still needs it, and remove a temporary folder."""
        if self._place is None:
            return
        self._end()
        self._remove_own_directory()

    def _remove_own_directory(self) -> None:
        if self._own_directory:
            shutil.rmtree(self.place.directory, ignore_errors=True)

    def _end(self) -> None:
        self.kill_hub()
        self.stop_service(signal.SIGTERM)
        self.leftovers += kill_marked(self.place.mark)

    # the service

    def start_service(self) -> None:
        """Start a standalone service, as an operator would beside the Hub."""
        command = service_argv(self.place, self.options)
        extra = service_environment(self.place, self.options)
        self._service = spawn(self.place, self.options, command, self.service_log, extra)

    def stop_service(self, how: signal.Signals = signal.SIGTERM, within: float = 15) -> None:
        """End a standalone service with a signal and wait; kill it after ``within`` seconds."""
        if self._service is None:
            return
        self._service.send_signal(how)
        try:
            self._service.wait(within)
        except subprocess.TimeoutExpired:
            self.leftovers.append(f"the service, still there {within:g} s after {how.name}")
            self._service.kill()
            self._service.wait()
        self._service = None

    def kill_service(self) -> int:
        """Kill the service with SIGKILL and return the pid it had; a managed one the Hub brings back."""
        pid = self.service_pid
        psutil.Process(pid).kill()
        if self._service is not None:
            self._service.wait()
            self._service = None
        wait_until(lambda: not alive(pid), 10, f"the end of process {pid}")
        return pid

    def ask_service(
        self, path: str, method: str = "GET", token: str | None = None, body: object = None
    ) -> Answer:
        """Send a request to hubcull through the proxy, with the bench token if no other is given."""
        return call(method, self.service_url + path, token=token or self.place.bench_token, body=body)

    def verdict(self, user: str, name: str = "") -> dict[str, Any] | None:
        """Return what hubcull's API says of the server that runs, None while it says nothing of that start.

        Until it lists again, or the new one reports, it shows the one that was stopped a moment ago.
        """
        shown, model = self.shown(user, name), self.api.server_model(user, name)
        same = shown and model and moment(shown["started"]) == moment(model["started"])
        return shown if same else None

    def shown(self, user: str, name: str = "") -> dict[str, Any] | None:
        """Return what hubcull's API shows of a server, whether that one still runs or not."""
        answer = self.ask_service("api/v1/servers")
        if not answer.ok or answer.json().get("service") != "hubcull":
            return None
        rows = answer.json()["servers"]
        return next((dict(row) for row in rows if (row["user"], row["server"]) == (user, name)), None)

    def processes(self) -> list[str]:
        """Return the command lines of all living processes of this Hub, for a test's failure message."""
        return [f"{each.pid} {command_line(each)}" for each in marked(self.place.mark)]
