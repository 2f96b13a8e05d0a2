"""A law: with default settings nothing that names a person's work leaves the server.

A real server, with words planted wherever people put some, and every byte of every request that it sends.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.calls import Answer, call
from harness.ports import free_ports
from harness.processes import MARK, command_line, environment, find_below, kill_marked
from harness.situations import Kernel, Terminal
from harness.waiting import wait_until
from hubcull_server_ext import wire
from tests.component.ext.kernel_watch import heard

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
}
"""Where a word is planted -> the word; none is a part of anything that may be said."""

BURN = "import time\nwhile True:\n    sum(range(200_000)); time.sleep(0.01)\n"
"""A program that computes for as long as it is let."""


class Sink:
    """A service that keeps every byte that it is sent, and asks for a report each second."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.reports: list[wire.Report] = []
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
            f"{WORDS['environment variable'].upper()}_KEY": WORDS["environment value"],
        }
        command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"]
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": port,
            "ServerApp.root_dir": root,
            "ServerApp.jpserver_extensions": {"hubcull_server_ext": True},
            "IdentityProvider.token": TOKEN,
        }
        self.process = subprocess.Popen(
            [*command, *(f"--{name}={value}" for name, value in options.items())],
            env=env,
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
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


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Give a service to report to."""
    made = Sink()
    yield made
    made.close()


@pytest.fixture
def server(tmp_path: Path, sink: Sink) -> Iterator[RealServer]:
    """Give a server whose folder has a telling name."""
    root = tmp_path / WORDS["folder of the server"]
    root.mkdir()
    made = RealServer(root, sink)
    yield made
    made.close()


def _save_and_look(server: RealServer) -> str:
    """Save a notebook in a folder, look at files, there and not; return the notebook's path."""
    folder, notebook = WORDS["folder"], f"{WORDS['folder']}/{WORDS['notebook']}.ipynb"
    server.must("PUT", f"api/contents/{folder}", {"type": "directory"})
    cell = {"cell_type": "markdown", "metadata": {}, "source": WORDS["text of a file"]}
    content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    server.must("PUT", f"api/contents/{notebook}", {"type": "notebook", "content": content})
    server.must("GET", f"api/contents/{notebook}?type=notebook&{WORDS['query']}={WORDS['query']}")
    assert server.call("GET", f"api/contents/{WORDS['missing file']}?type=file").status == 404
    return notebook


def _compute(server: RealServer, sink: Sink, notebook: str) -> tuple[Kernel, Kernel]:
    """Leave work in the background of one notebook's kernel, and a silent cell running in another's."""
    kernels = []
    for name in (WORDS["session's name"], "other"):
        asked = {"name": WORDS["kernel's name"]}
        session = {"path": f"{notebook}.{name}", "name": name, "type": "notebook", "kernel": asked}
        made = server.must("POST", "api/sessions", session)
        kernels.append(Kernel(server.url, TOKEN, made["kernel"]["id"]))
    wait_until(lambda: heard(sink.reports, len(kernels)), 30, "a report that hears both kernels")
    script = server.root / f"{WORDS['script in the background']}.py"
    script.write_text(BURN)
    program = server.root / WORDS["detached program"]
    shutil.copy("/usr/bin/yes", program)
    argument = f"--password={WORDS['argument in the background']}"
    code = f"""
import subprocess, sys
null = dict(stdin=-3, stdout=-3, stderr=-3)
subprocess.Popen(['nice', sys.executable, {str(script)!r}, {argument!r}], **null)
subprocess.Popen(['nice', {str(program)!r}], start_new_session=True, **null)
"""
    assert kernels[0].run(code, within=60)["status"] == "ok"
    kernels[0].send("comm_open", {"comm_id": "c", "target_name": WORDS["comm"], "data": {WORDS["comm"]: 1}})
    kernels[1].begin(f"{WORDS['code']} = 1; import time; time.sleep(600)  # {WORDS['code']}", within=60)
    return kernels[0], kernels[1]


def _type(server: RealServer) -> Terminal:
    """Type a command in a terminal that has a name."""
    name = WORDS["terminal's name"]
    server.must("POST", "api/terminals", {"name": name, "cwd": WORDS["folder"]})
    terminal = Terminal(server.url, TOKEN, name)
    word = WORDS["terminal's command"]
    terminal.type(f"{sys.executable} -c 'import time; time.sleep(600)' {word}")
    find_below(server.process.pid, word)
    return terminal


@pytest.mark.timeout(150)
def test_nothing_that_names_a_persons_work_leaves_the_server(server: RealServer, sink: Sink) -> None:
    """Every planted word is there for the extension to see, all of it is reported, and no word is told."""
    notebook = _save_and_look(server)
    kernels = _compute(server, sink, notebook)
    terminal = _type(server)
    server.call("GET", f"proxy/{sink.port}/{WORDS['path in an app']}")
    kind = wire.Kind
    wanted: set[tuple[str, str | None]] = {
        (kind.KERNEL_BUSY, None),
        (kind.KERNEL_REQUEST, "execute_request"),
        (kind.TERMINAL_JOB, "python"),
        (kind.TERMINAL_INPUT, None),
        (kind.API_REQUEST, "ContentsHandler PUT"),
        (kind.BACKGROUND_JOB, "python"),
        (kind.BACKGROUND_JOB, "program"),
    }
    wait_until(lambda: wanted <= sink.told(), 90, f"all of {wanted} in one report")
    sources = {signal.source for signal in sink.reports[-1].signals}
    assert f"app:port {sink.port}" in sources
    assert any(source.startswith("terminal:named-") for source in sources)
    came = len(sink.sent)
    wait_until(lambda: len(sink.sent) >= came + 3, 20, "three more reports")
    _assert_planted(server)
    for one in (*kernels, terminal):
        one.close()
    sent = "\n".join(sink.sent).lower()
    told = {where: word for where, word in WORDS.items() if word in sent}
    assert told == {}
    assert str(server.root.parent).lower() not in sent
    assert TOKEN not in sent
    # Its own token is in the one header where it must be.
    assert sent.count(HUB_TOKEN) == sent.count(f"authorization: bearer {HUB_TOKEN}") == len(sink.sent)
    assert max(map(len, sink.sent)) < 4096


def _assert_planted(server: RealServer) -> None:
    """Assert the premise: the words are what they are taken for, in the server and its processes."""
    pid = server.process.pid
    for where in ("script in the background", "argument in the background", "detached program"):
        found = find_below(pid, WORDS[where])
        assert WORDS[where] in command_line(psutil.Process(found))
        assert (
            environment(found)[f"{WORDS['environment variable'].upper()}_KEY"] == WORDS["environment value"]
        )
    sessions = json.dumps(server.must("GET", "api/sessions"))
    for where in ("folder", "notebook", "session's name", "kernel's name"):
        assert WORDS[where] in sessions
    assert [t["name"] for t in server.must("GET", "api/terminals")] == [WORDS["terminal's name"]]
