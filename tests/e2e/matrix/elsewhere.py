"""How the rows are made of kernels on a gateway, and of people who come over ssh."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.calls import call
from harness.ports import free_ports
from harness.processes import MARK, alive, find_below
from harness.sockets import Socket
from harness.waiting import wait_until
from tests.e2e.matrix.kernels import COMPUTE, computes
from tests.e2e.matrix.scene import A_PERSON, Scene
from tests.e2e.matrix.servers import APPS, PROGRAMS
from tests.e2e.matrix.stage import Maker


def _answers(url: str) -> bool:
    try:
        return call("GET", url).ok
    except OSError:
        return False


def _gateway(scene: Scene) -> str:
    """Have the server's kernels run on a gateway, which is not below it, and return its address."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [str(APPS / "jupyter-kernelgateway"), "--KernelGatewayApp.ip=127.0.0.1"]
    command += [f"--KernelGatewayApp.port={port}", "--KernelGatewayApp.port_retries=0"]
    command += ["--JupyterWebsocketPersonality.list_kernels=True"]
    scene.start(command)
    wait_until(lambda: _answers(f"{url}/api"), 60, "the gateway answers")
    scene.restart(args=[f"--GatewayClient.url={url}"])
    return url


def _kernel_is(scene: Scene, gateway: str, state: str) -> None:
    """Have it looked at that the gateway's one kernel is in a state, by the gateway's own word."""

    def holds() -> bool:
        (kernel,) = call("GET", f"{gateway}/api/kernels").json()
        return bool(kernel["execution_state"] == state)

    scene.premise(f"the gateway's kernel is {state}", holds)


def remote_cell(scene: Scene) -> None:
    """Row 47."""
    gateway = _gateway(scene)
    printed = scene.folder / "printed"
    line = f"print('.', flush=True); open({str(printed)!r}, 'a').write('.'); time.sleep(1)"
    scene.browser.leave_cell(f"import time\nwhile True:\n    {line}")
    sizes = [0]

    def prints() -> bool:
        sizes.append(printed.stat().st_size)
        return sizes[-1] > sizes[-2]

    scene.premise("it prints", prints)
    _kernel_is(scene, gateway, "busy")


def remote_rest(scene: Scene) -> None:
    """Row 47a."""
    gateway = _gateway(scene)
    with scene.browser.open_kernel() as kernel:
        assert kernel.run("1 + 1")["status"] == "ok"
    _kernel_is(scene, gateway, "idle")


class _Sshd(NamedTuple):
    """An sshd below the server, and the folder with its keys, one of which is host's and user's alike."""

    pid: int
    port: int
    folder: Path


def _sshd(scene: Scene, settings: Mapping[str, str] | None = None) -> _Sshd:
    """Have jupyter-server-proxy start an sshd, as jupyter-sshd-proxy has it do.

    Raises:
        FileNotFoundError: where there is no sshd.

    """
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise FileNotFoundError("this row needs an sshd: on Debian, apt install openssh-server")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it parts its privileges
    folder = scene.folder / "ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    key, (port,) = folder / "key", free_ports(1)
    made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    if not key.exists():
        subprocess.run(made, check=True)
    options = {"ListenAddress": "127.0.0.1", "Port": port, "HostKey": key, "AuthorizedKeysFile": f"{key}.pub"}
    options |= {"StrictModes": "no", "PidFile": "none", "PermitRootLogin": "yes", "AcceptEnv": MARK}
    words = [f"-o{name}={value}" for name, value in options.items()]
    entry = {"command": [program, "-D", "-e", "-f", "/dev/null", *words], "port": port}
    entry |= {"raw_socket_proxy": True, "timeout": 30}
    scene.restart(args=[f"--ServerProxy.servers={{'sshd': {entry!r}}}"], env=dict(settings or {}))
    Socket(f"{scene.browser.url}sshd/", scene.browser.token).close()  # its first visitor has it started
    pid = find_below(scene.browser.server_pid, "[listener]")
    scene.end_with(pid)
    return _Sshd(pid, port, folder)


def _ssh(scene: Scene, sshd: _Sshd, *command: str, options: Mapping[str, Any] | None = None) -> Any:
    """Come in over ssh, run a command there, and return the client, whose stdin is the keyboard."""
    given = {"StrictHostKeyChecking": "no", "UserKnownHostsFile": sshd.folder / "known", "LogLevel": "ERROR"}
    given |= {"SetEnv": f"{MARK}={scene.hub.place.mark}", **(options or {})}
    words = [f"-o{name}={value}" for name, value in given.items()]
    client = ["ssh", "-F", "/dev/null", "-i", str(sshd.folder / "key"), "-p", str(sshd.port), *words]
    return scene.start([*client, *command], stdin=subprocess.PIPE)


def _prompt(scene: Scene, sshd: _Sshd, options: Mapping[str, Any] | None = None) -> Any:
    client = _ssh(scene, sshd, "-tt", "127.0.0.1", "exec bash --norc", options=options)
    pid = find_below(sshd.pid, "bash --norc")
    scene.premise("the prompt is there", lambda: alive(pid) and client.poll() is None)
    return client


def typing(scene: Scene, settings: Mapping[str, str] | None = None) -> None:
    """Row 50."""
    sshd = _sshd(scene, settings)
    client = _prompt(scene, sshd)
    typed = scene.folder / "typed"

    def type_words() -> None:
        client.stdin.write(f"echo word >> {typed}\r".encode())
        client.stdin.flush()

    scene.again(type_words, A_PERSON)
    scene.premise("the prompt obeys", lambda: typed.read_text().count("word") > 3)


def job(scene: Scene) -> None:
    """Row 50a."""
    program = scene.file("train.py", f"import time\n{COMPUTE}")
    sshd = _sshd(scene)
    client = _ssh(scene, sshd, "-T", "127.0.0.1", f"exec {scene.python} {program}")
    pid = find_below(sshd.pid, "train.py")
    computes(scene, pid)
    scene.premise("the client is there", lambda: client.poll() is None)


def idle_prompt(scene: Scene) -> None:
    """Row 50b: through jupyter-server-proxy, as people outside come in."""
    sshd = _sshd(scene)
    pipe = f"{sys.executable} {PROGRAMS / 'pipe.py'} {scene.browser.url}sshd/ {scene.browser.token}"
    _prompt(scene, sshd, {"ProxyCommand": pipe, "ServerAliveInterval": 5})


MAKERS: dict[str, Maker] = {
    "47": remote_cell,
    "47a": remote_rest,
    "50": typing,
    "50a": job,
    "50b": idle_prompt,
}
