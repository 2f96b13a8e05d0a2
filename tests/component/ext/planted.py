"""A real server as a Hub's spawner starts it, with words planted wherever people put some; and its service.

What fails in it fails with a planted word in the error's text.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from jupyter_server import version_info

from harness.calls import Answer, call
from harness.ports import free_ports
from harness.processes import MARK, kill_marked
from harness.waiting import wait_until
from hubcull_server_ext import wire

TOKEN = "token-of-the-test"
HUB_TOKEN = "token-of-ada"
USER = "ada"

WORDS = {
    "folder": "agate",
    "notebook": "basalt",
    "text of a file": "chalcedony",
    "code": "dolomite",
    "comm": "epidote",
    "kernel's name": "feldspar",
    "session's name": "gneiss",
    "terminal's name": "hornblende",
    "terminal's command": "ilmenite",
    "script in the background": "jasper",
    "argument in the background": "kyanite",
    "detached program": "lapis",
    "environment variable": "magnetite",
    "environment value": "nephrite",
    "path in an app": "obsidian",
    "query": "peridot",
    "missing file": "quartz",
    "folder of the server": "rhyolite",
    "shared document": "sardonyx",
    "text of a shared document": "tanzanite",
    "session of tmux": "ulexite",
    "window of tmux": "vivianite",
    "branch of git": "wulfenite",
    "remote of git": "xenotime",
    "folder of a plugin": "yugawaralite",
    "command of the admin": "zircon",
    "answer of the admin's command": "azurite",
    "error of a source": "brookite",
}
"""Where a word is planted -> the word; none is a part of anything that may be said."""

HAS_ROOMS = version_info[:2] >= (2, 11)
"""Whether jupyter_server_ydoc can be here."""
PLUGIN = """
def watch(server):
    def claims():
        open(__file__ + ".missing")
    return claims
"""
SABOTAGE = f"""
def _load_jupyter_server_extension(app):
    from hubcull_server_ext.signals.interplay import InterplaySource
    from hubcull_server_ext.signals.keepalive import KeepaliveSource
    def fails(*args):
        open("/{WORDS["error of a source"]}/{WORDS["error of a source"]}.txt")
    InterplaySource.collect = KeepaliveSource.sample = fails
"""
"""An extension that breaks two sources: reading a file that is not there."""
BURN = "import time\nwhile True:\n    sum(range(200_000)); time.sleep(0.01)\n"
"""A program that computes for as long as it is let."""


class Sink:
    """A service that keeps every byte that it is sent, and asks for a report each second."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.reports: list[wire.Report] = []
        self.asked: list[str] = []
        sink = self

        class Post(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                sink.sent.append(f"{self.requestline}\n{self.headers}\n{body}")
                sink.reports.append(wire.report_from_json(json.loads(body)))
                answer = json.dumps(
                    wire.to_json(wire.Reply("keep", "active", "text", "default", 1.0))
                ).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def do_GET(self) -> None:
                """Be an app behind the proxy, too."""
                sink.asked.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Post)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/services/hubcull/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Take no more."""
        self._server.shutdown()
        self._server.server_close()

    def told(self) -> set[tuple[str, str | None]]:
        """Return the kinds of the newest report's signals, each with its label."""
        return {(signal.kind, signal.label) for signal in self.reports[-1].signals} if self.reports else set()


class RealServer:
    """A real jupyter_server as a Hub's spawner starts it, with the extension's default settings."""

    def __init__(self, root: Path, sink: Sink) -> None:
        self.root, self._mark = root, secrets.token_hex(8)
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}/"
        data = root.parent / "data"
        _plant_kernelspec(data)
        packages = _plant_packages(root.parent / WORDS["folder of a plugin"])
        checks = _plant_checks(root)
        self.log = root.parent / "server.log"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY_", "HUBCULL_"))}
        env = {
            **clean,
            MARK: self._mark,
            "HOME": str(root),
            "JUPYTER_CONFIG_DIR": str(root.parent / "config"),
            "JUPYTER_DATA_DIR": str(data),
            "JUPYTER_RUNTIME_DIR": str(root.parent / "runtime"),
            "JUPYTERHUB_API_TOKEN": HUB_TOKEN,
            "JUPYTERHUB_USER": USER,
            "JUPYTERHUB_SERVER_NAME": "",
            "HUBCULL_URL": sink.url,
            "HUBCULL_APP_CHECKS": json.dumps(checks),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(packages), clean.get("PYTHONPATH")))),
            f"{WORDS['environment variable'].upper()}_KEY": WORDS["environment value"],
        }
        command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"]
        rooms = ("jupyter_server_ydoc", "jupyter_server_fileid") if HAS_ROOMS else ()
        extensions = ("sabotage", "hubcull_server_ext", *rooms)
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": port,
            "ServerApp.root_dir": root,
            "ServerApp.jpserver_extensions": dict.fromkeys(extensions, True),
            "ServerApp.log_level": "DEBUG",
            "HubcullExtension.log_level": "DEBUG",
            "SQLiteYStore.db_path": root.parent / "rooms.db",
            "BaseFileIdManager.db_path": root.parent / "files.db",
            "IdentityProvider.token": TOKEN,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *(f"--{name}={value}" for name, value in options.items())],
                env=env,
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self._answers, 60, "the server's answer")

    def _answers(self) -> bool:
        assert self.process.poll() is None
        try:
            return call("GET", f"{self.url}api/status", token=TOKEN).ok
        except OSError:
            return False

    def call(self, method: str, path: str, body: object = None) -> Answer:
        """Ask the server, as its user."""
        return call(method, self.url + path, token=TOKEN, body=body)

    def must(self, method: str, path: str, body: object = None) -> Any:
        """Ask the server, as its user, for what must be; return the answer's JSON."""
        answer = self.call(method, path, body)
        assert answer.ok, (method, path, answer.status, answer.body)
        return answer.json()

    def close(self) -> None:
        """End it and all that it started."""
        self.process.terminate()
        kill_marked(self._mark)
        self.process.wait(10)


def _plant_kernelspec(data: Path) -> None:
    """Install a kernel under a name of the user's own."""
    name = WORDS["kernel's name"]
    folder = data / "kernels" / name
    folder.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (folder / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": name, "language": "python"})
    )


def _plant_packages(folder: Path) -> Path:
    """Install a plugin that fails, and an extension that breaks sources, in a folder of the user's own."""
    info = folder / "planted-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hubcull.signals]\nplanted = planted:watch\n")
    (folder / "planted.py").write_text(PLUGIN)
    (folder / "sabotage.py").write_text(SABOTAGE)
    return folder


def _plant_checks(root: Path) -> list[dict[str, Any]]:
    """Return an admin's questions to apps: of a command that is not there, and one with a wrong answer."""
    missing = str(root / WORDS["command of the admin"] / WORDS["command of the admin"])
    answer = WORDS["answer of the admin's command"]
    wrong = json.dumps({"since": f"/{answer}"})
    return [
        {"app": "missing", "command": [missing, f"--{WORDS['command of the admin']}"]},
        {"app": "wrong", "command": [sys.executable, "-c", f"print({wrong!r})"]},
    ]
