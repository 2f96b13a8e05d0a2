"""A law: with default settings nothing that names a person's work leaves the server.

A real server, with words planted wherever people put some, and every byte of every request that it sends.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.processes import command_line, environment, find_below
from harness.situations import Kernel, Terminal
from harness.sockets import Socket
from harness.waiting import wait_until
from hubcull_server_ext import wire
from tests.component.ext.kernel_watch import heard
from tests.component.ext.planted import BURN, HAS_ROOMS, HUB_TOKEN, TOKEN, WORDS, RealServer, Sink

TMUX, GIT = shutil.which("tmux"), shutil.which("git")


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
{WORDS["code"]} = '{WORDS["code"]}'
get_ipython().kernel.comm_manager.register_target({WORDS["comm"]!r}, lambda comm, message: None)
null = dict(stdin=-3, stdout=-3, stderr=-3)
subprocess.Popen(['nice', sys.executable, {str(script)!r}, {argument!r}], **null)
subprocess.Popen(['nice', {str(program)!r}], start_new_session=True, **null)
"""
    assert kernels[0].run(code, within=60)["status"] == "ok"
    kernels[0].send("comm_open", {"comm_id": "c", "target_name": WORDS["comm"], "data": {WORDS["comm"]: 1}})
    kernels[0].run("pass")  # the comm is there after it
    kernels[1].begin(f"{WORDS['code']} = 1; import time; time.sleep(600)  # {WORDS['code']}", within=60)
    return kernels[0], kernels[1]


def _share(server: RealServer, sink: Sink) -> Socket | None:
    """Type into a shared document, where there are any."""
    if not HAS_ROOMS:
        return None
    pycrdt: Any = import_module("pycrdt")
    name = f"{WORDS['shared document']}.txt"
    server.must("PUT", f"api/contents/{name}", {"type": "file", "format": "text", "content": ""})
    session = server.must("PUT", f"api/collaboration/session/{name}", {"format": "text", "type": "file"})
    room = f"text:file:{session['fileId']}?sessionId={session['sessionId']}"
    socket = Socket(f"{server.url}api/collaboration/room/{room}", TOKEN)
    document = pycrdt.Doc()
    document["source"] = text = pycrdt.Text()

    def typed_and_told() -> bool:
        nonlocal text
        text += WORDS["text of a shared document"]
        socket.send_bytes(pycrdt.create_update_message(document.get_update()))
        return (wire.Kind.DOCUMENT_EDIT, "file") in sink.told()

    wait_until(typed_and_told, 30, "a report of an edit", every=0.5)
    saved = server.root / name
    wait_until(lambda: WORDS["text of a shared document"] in saved.read_text(), 20, "the document on disk")
    return socket


def _open_a_window(server: RealServer, kernel: Kernel) -> None:
    """Leave a quiet job in a window of tmux, and a repository of git in the server's folder."""
    session, window = WORDS["session of tmux"], WORDS["window of tmux"]
    if TMUX:
        socket = str(server.root.parent / "tmux")
        job = f"{sys.executable} -c 'import time; time.sleep(600)' {window}"
        tmux = [
            "tmux",
            "-S",
            socket,
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-s",
            session,
            "-n",
            window,
            job,
        ]
        assert kernel.run(f"import subprocess; subprocess.run({tmux!r}, check=True)")["status"] == "ok"
    if GIT:
        address = f"https://git.example/{WORDS['remote of git']}.git"
        for words in (["init", "-q", "-b", WORDS["branch of git"]], ["remote", "add", "origin", address]):
            subprocess.run([GIT, *words], cwd=server.root, check=True, timeout=30)


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
    room = _share(server, sink)
    kernels = _compute(server, sink, notebook)
    _open_a_window(server, kernels[0])
    terminal = _type(server)
    server.call("GET", f"proxy/{sink.port}/{WORDS['path in an app']}")
    kind = wire.Kind
    wanted: set[tuple[str, str | None]] = {
        (kind.KERNEL_BUSY, "execute_request"),
        (kind.KERNEL_REQUEST, "execute_request"),
        (kind.TERMINAL_JOB, "python"),
        (kind.TERMINAL_INPUT, None),
        (kind.API_REQUEST, "ContentsHandler PUT"),
        (kind.BACKGROUND_JOB, "python"),
        (kind.BACKGROUND_JOB, "program"),
        *([(kind.DOCUMENT_EDIT, "file")] if HAS_ROOMS else []),
    }
    wait_until(lambda: wanted <= sink.told(), 90, f"all of {wanted} in one report")
    sources = {signal.source for signal in sink.reports[-1].signals}
    assert f"app:port {sink.port}" in sources
    assert any(source.startswith("terminal:named-") for source in sources)
    assert any(source.startswith("pts:") for source in sources) is (TMUX is not None)
    _assert_failed(sink.reports[-1])
    came = len(sink.sent)
    wait_until(lambda: len(sink.sent) >= came + 3, 20, "three more reports")
    _assert_planted(server)
    _assert_said(server, sink, notebook, kernels[0])
    for one in (*kernels, terminal, room):
        if one is not None:
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
    if TMUX:
        ask = [TMUX, "-S", str(server.root.parent / "tmux"), "list-panes", "-a", "-F", "#S #W #{pane_pid}"]
        listed = subprocess.run(ask, capture_output=True, text=True, check=True, timeout=30).stdout
        session, window, job = listed.split()
        assert (session, window) == (WORDS["session of tmux"], WORDS["window of tmux"])
        assert WORDS["window of tmux"] in command_line(psutil.Process(int(job)))
    if GIT:
        repository = server.root / ".git"
        assert WORDS["branch of git"] in (repository / "HEAD").read_text()
        assert WORDS["remote of git"] in (repository / "config").read_text()


def _assert_said(server: RealServer, sink: Sink, notebook: str, kernel: Kernel) -> None:
    """Assert the premise: the words came to the server in requests, cells and files."""
    assert WORDS["text of a file"] in json.dumps(server.must("GET", f"api/contents/{notebook}"))
    assert any(WORDS["path in an app"] in path for path in sink.asked)
    cells = [
        m["content"]["code"] for m in kernel.socket.received if m["header"]["msg_type"] == "execute_input"
    ]
    assert any(WORDS["code"] in cell for cell in cells)
    assert WORDS["comm"] in json.dumps(kernel.ask("comm_info_request")["content"])
    log = server.log.read_text()
    assert f"{WORDS['query']}={WORDS['query']}" in log
    assert f"GET /api/contents/{WORDS['missing file']}" in log
    # What failed said so with a path, to the server's own log at most.
    assert f"No such file or directory: '/{WORDS['error of a source']}" in log
    checks = environment(server.process.pid)["HUBCULL_APP_CHECKS"]
    assert WORDS["command of the admin"] in checks
    assert WORDS["answer of the admin's command"] in checks
    assert WORDS["folder of a plugin"] in environment(server.process.pid)["PYTHONPATH"]


def _assert_failed(report: wire.Report) -> None:
    """Assert the premise: what was to fail did, and is named by a class or by words of ours."""
    told = {source.name: source.detail for source in report.sources if source.health is wire.Health.FAILED}
    assert told.keys() == {"interplay", "keepalive", "plugins", "adapters"}
    assert told["interplay"] == "FileNotFoundError"
    assert told["keepalive"] == "sample: FileNotFoundError"
    assert told["plugins"] == "plugin:planted: FileNotFoundError"
    missing, _, wrong = (told["adapters"] or "").partition("; ")
    assert missing == "app:missing: FileNotFoundError"
    assert wrong.startswith("app:wrong: the answer is ")
