"""The real process: ``python -m hubcull_hub`` and the ``hubcull`` commands, against a fake Hub."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.calls import call
from harness.ports import free_ports
from hubcull_hub import cli
from hubcull_server_ext import wire
from tests.component.hub.fake_hub import FakeHub, Fault, server_token, service_token

SHOWN = wire.Report(
    boot_id="b",
    sequence=1,
    uptime=3600.0,
    server="alice/",
    sources=(
        *(wire.Source(name, wire.Health.OK) for name in ("kernels", "foreign")),
        wire.Source("terminals", wire.Health.OK, "this system keeps no times of terminals"),
        wire.Source("requests", wire.Health.OFF),
        wire.Source("network", wire.Health.OFF),
        wire.Source("collaboration", wire.Health.UNAVAILABLE, "no shared documents here"),
        wire.Source(
            "gpus", wire.Health.FAILED, "the driver can not be asked: NvmlError", 60.0, wire.Strength.WEAK
        ),
    ),
    signals=(
        wire.Signal(wire.Kind.KERNEL_REQUEST, "kernel:a", wire.Clock.PRESENCE, age=30.0),
        wire.Signal(wire.Kind.BROWSERS, "websockets", wire.Clock.NONE, age=300.0, count=2),
        wire.Signal(
            wire.Kind.SERVER_CULLER,
            "MappingKernelManager",
            wire.Clock.NONE,
            wire.Strength.WEAK,
            label="cull_idle_timeout",
            count=3600,
        ),
    ),
)
"""A report with what is shown and decides nothing."""


@contextmanager
def fake_hub(tls: ssl.SSLContext | None = None) -> Iterator[tuple[FakeHub, str]]:
    """Serve a fake Hub from a thread, with TLS if told how."""
    hub, ready, done = FakeHub(), threading.Event(), threading.Event()
    urls: list[str] = []

    async def serve() -> None:
        async with hub.serve(tls) as url:
            urls.append(url)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait(10)
    try:
        yield hub, urls[0]
    finally:
        done.set()
        thread.join()


class Service:
    """A running service process; with ``tls``, the proxy's context, its url is https."""

    def __init__(
        self,
        tmp_path: Path,
        api_url: str,
        *options: str,
        managed: bool = True,
        tls: ssl.SSLContext | None = None,
        given: Mapping[str, str] | None = None,
    ) -> None:
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=tls))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{free_ports(1)[0]}/services/hubcull/"
        env = {
            "PATH": os.environ["PATH"],
            "JUPYTERHUB_API_TOKEN": FakeHub().token,
            "JUPYTERHUB_API_URL": api_url,
            **(given or {}),
        }
        bind = self.url.split("/services")[0]
        if managed:
            env |= {
                "JUPYTERHUB_SERVICE_NAME": "hubcull",
                "JUPYTERHUB_SERVICE_PREFIX": "/services/hubcull/",
                "JUPYTERHUB_SERVICE_URL": bind,
            }
        else:
            options = (*options, f"--bind={bind.removeprefix('http://')}")
        self.log = tmp_path / "service.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hubcull_hub", *options], env=env, cwd=tmp_path, stderr=log, stdout=log
            )

    def wait_up(self) -> bytes:
        """Wait until it answers its prefix and is no longer starting, and return the answer."""
        for _ in range(900):  # three quarters of a minute, and longer where nothing answers
            asked = urllib.request.Request(self.url)  # noqa: S310 - loopback
            with contextlib.suppress(OSError), self._opener.open(asked, timeout=5) as answer:
                body: bytes = answer.read()
                if b'"starting"' not in body:
                    return body
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(15)


def wait_for(condition: object, seconds: float = 30) -> bool:
    """Wait until a condition holds."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_what_is_idle_and_ends_when_told(tmp_path: Path, number: signal.Signals) -> None:
    """Both signals alike, with exit code 0."""
    with fake_hub() as (hub, url):
        hub.add_server("alice")
        service = Service(tmp_path, url, "--warm-up=0", "--timeout=60", "--cull_every=1")
        try:
            assert b'"service": "hubcull"' in service.wait_up()
            assert wait_for(lambda: not hub.is_running("alice")), service.log.read_text()
        finally:
            assert service.stop(number) == 0
        assert "result=stopped reason=hub_idle" in service.log.read_text()


def test_a_stop_under_way_is_waited_for(tmp_path: Path) -> None:
    """SIGTERM in the middle of a DELETE: its outcome is still written down."""
    with fake_hub() as (hub, url):
        hub.add_server("alice")
        hub.script("DELETE", "/users/alice", Fault(delay=1.0))
        service = Service(tmp_path, url, "--warm-up=0", "--timeout=60", "--cull-every=1")
        service.wait_up()
        assert wait_for(lambda: hub.count("DELETE") == 1)
        assert service.stop() == 0
        assert "result=stopped" in service.log.read_text()


@pytest.mark.parametrize(
    "options", [["--timeuot=5"], ["--timeout=long"], ["--database-url=sqlite:////no/such/x"]]
)
def test_with_wrong_options_a_managed_service_answers_and_stops_nothing(
    tmp_path: Path, options: list[str]
) -> None:
    """An exit would take the Hub down; the error is in the log and at the prefix."""
    with fake_hub() as (hub, url):
        hub.add_server("alice")
        service = Service(tmp_path, url, "--warm-up=0", "--cull-every=1", *options)
        try:
            assert b"misconfigured" in service.wait_up()
        finally:
            assert service.stop() == 0
        assert "nothing is stopped: hubcull: " in service.log.read_text()
        assert hub.requests == []


@pytest.mark.parametrize(
    "options", [["--timeuot=5"], ["--timeout=long"], ["--database-url=sqlite:////no/such/x"]]
)
def test_with_wrong_options_a_standalone_service_exits(tmp_path: Path, options: list[str]) -> None:
    """With a code that is not 0 and the error on stderr."""
    service = Service(tmp_path, "http://127.0.0.1:9/hub/api", *options, managed=False)
    assert service.process.wait(15) == 2
    assert "Nothing is stopped." in service.log.read_text()


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """A SIGKILL of the Hub leaves no orphan on the port."""
    with fake_hub() as (_, url):
        (port,) = free_ports(1)
        code = (
            "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-m', 'hubcull_hub']);"
            "print(p.pid, flush=True); time.sleep(60)"
        )
        env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("JUPYTERHUB")},
            "JUPYTERHUB_API_TOKEN": FakeHub().token,
            "JUPYTERHUB_API_URL": url,
            "JUPYTERHUB_SERVICE_NAME": "hubcull",
            "JUPYTERHUB_SERVICE_PREFIX": "/services/hubcull/",
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}",
        }
        parent = subprocess.Popen(
            [sys.executable, "-c", code],
            env=env,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert parent.stdout is not None
        child = int(parent.stdout.readline())

        def up() -> bool:
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0

        assert wait_for(up)
        parent.kill()
        parent.communicate()
        assert wait_for(lambda: not up()), child
        assert wait_for(lambda: not Path(f"/proc/{child}").exists() or b"Z" in _state(child)), child


def _state(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()[0]
    except OSError:
        return b"Z"


class TestCommands:
    """plan and explain ask the running service."""

    def test_both_speak_of_what_the_service_knows(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who would be stopped, why not the others, and one server in full."""
        with fake_hub() as (hub, url):
            hub.add_server("alice")
            hub.add_server("bob", "gpu", pending="stop", ready=False)
            hub.add_server("bob", "")
            hub.tokens["ops"] = service_token("ops")
            service = Service(tmp_path, url, "--warm-up=0", "--dry-run", "--cull-every=1")
            try:
                service.wait_up()
                monkeypatch.setenv("HUBCULL_URL", service.url)
                monkeypatch.setenv("HUBCULL_TOKEN", "ops")
                assert wait_for(lambda: cli.main(["plan"]) == 0 and "[said]" in capsys.readouterr().out)
                assert cli.main(["plan"]) == 0
                text = capsys.readouterr().out
                assert "would be stopped now: 2" in text
                assert "dry run: nothing is really stopped" in text
                assert "bob/gpu" in text
                assert cli.main(["explain", "alice"]) == 0
                text = capsys.readouterr().out
                assert "alice/: cull, hub_idle" in text
                assert "never reported since it started" in text
                assert "would_stop  hub_idle" in text
                assert cli.main(["explain", "alice", "--json"]) == 0
                assert '"would_stop"' in capsys.readouterr().out
            finally:
                assert service.stop() == 0
            assert cli.main(["plan"]) == 1
            assert "no service answers at" in capsys.readouterr().err

    def test_explain_says_what_a_report_shows_and_is_worth_nothing(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Browsers, the server's own cullers, sources that are off, failed or remark something."""
        with fake_hub() as (hub, url):
            hub.add_server("alice")
            hub.tokens |= {"ops": service_token("ops"), "hers": server_token("alice")}
            service = Service(tmp_path, url, "--warm-up=0", "--dry-run", "--cull-every=1")
            monkeypatch.setenv("HUBCULL_URL", service.url)
            monkeypatch.setenv("HUBCULL_TOKEN", "ops")
            try:
                service.wait_up()
                report = wire.to_json(SHOWN)
                assert wait_for(
                    lambda: call("POST", service.url + wire.REPORTS_PATH, token="hers", body=report).ok
                )
                assert cli.main(["explain", "alice"]) == 0
                lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
                (browsers,) = [line for line in lines if line.startswith("signal: browsers")]
                assert re.fullmatch(r"signal: browsers websockets 2 \(none\) 0:05:0\d ago", browsers)
                assert "signal: server_culler MappingKernelManager cull_idle_timeout 3600 (none)" in lines
                assert "failed weak source: gpus the driver can not be asked: NvmlError" in lines
                assert not any(line.startswith("failed source") for line in lines)
                assert [line for line in lines if "remark" in line or "off" in line] == [
                    "remark of source: terminals this system keeps no times of terminals",
                    "source switched off: requests",
                    "source switched off: network",
                ]
                assert not any("collaboration" in line for line in lines)
                assert cli.main(["explain", "alice", "--json"]) == 0
                (server,) = json.loads(capsys.readouterr().out)["servers"]
                told = {signal["kind"]: signal for signal in server["signals"]}
                assert (told["browsers"]["count"], told["server_culler"]["count"]) == (2, 3600)
                assert [fault["name"] for fault in server["weak_faults"]] == ["gpus"]
                said = [(remark["name"], remark["off"]) for remark in server["remarks"]]
                assert said == [("terminals", False), ("requests", True), ("network", True)]
                assert (server["action"], server["reason"], server["faults"]) == ("keep", "active", [])
            finally:
                assert service.stop() == 0

    @pytest.mark.parametrize(
        ("args", "env", "said"),
        [
            ([], {}, "no service is named; give --url, or set HUBCULL_URL"),
            ([], {"HUBCULL_URL": "http://127.0.0.1:9/"}, "no token"),
            (["--url=file:///etc/passwd"], {"HUBCULL_TOKEN": "t"}, "is no http or https URL"),
        ],
    )
    def test_what_is_missing_is_said(
        self, args: list[str], env: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """With the remedy, and exit code 1."""
        assert cli.plan(args, env) == 1
        assert said in capsys.readouterr().err

    def test_without_a_command_the_usage_is_shown(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Exit code 2; --help 0."""
        assert cli.main([]) == 2
        assert "explain USER[/SERVER]" in capsys.readouterr().err
        assert cli.main(["--help"]) == 0
        assert cli.main(["--version"]) == 0
