"""How the rows are made of kernels on other machines, and of people who come over ssh."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from harness.calls import call
from harness.ports import free_ports
from harness.processes import MARK, alive, below, command_line, find_below, marked, parent
from harness.sockets import Socket
from harness.waiting import wait_until
from tests.e2e.matrix.databases import MAKERS as DATABASES
from tests.e2e.matrix.kernels import COMPUTE, computes
from tests.e2e.matrix.scene import A_PERSON, Scene
from tests.e2e.matrix.servers import APPS, PROGRAMS, using
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


def _far_kernel(scene: Scene) -> str:
    """Start a kernel of gateway_provisioners, on a machine that its provisioner reaches by ssh.

    To it, an address of this machine that it does not list is another machine's.
    """
    address, keys = "127.0.0.2", scene.folder / ".ssh"
    command, port = _sshd_at(scene, address, keys, SetEnv=f"{MARK}={scene.hub.place.mark}")
    scene.start(command)
    public = (keys / "id_ed25519.pub").read_text().split()[:2]
    (keys / "known_hosts").write_text(f"[{address}]:{port} {' '.join(public)}\n")
    specs = scene.folder / "share" / "jupyter"
    made = [
        str(APPS / "jupyter-ssh-spec"),
        "install",
        f"--remote-hosts={address}",
        f"--prefix={scene.folder}",
    ]
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    file = specs / "kernels" / "ssh_python" / "kernel.json"
    spec = json.loads(file.read_text())
    spec["argv"][0] = str(APPS / "python")  # as there, where another is found first
    file.write_text(json.dumps(spec))
    person = pwd.getpwuid(os.getuid()).pw_name
    settings = {"JUPYTER_PATH": str(specs), "GP_SSH_PORT": str(port), "GP_REMOTE_USER": person}
    settings |= {"GP_RESPONSE_IP": "127.0.0.1", "GP_KERNEL_LOG_DIR": str(scene.folder)}
    scene.restart(lab=True, env=settings, **using())
    kernel = scene.browser.start_kernel("ssh_python")
    found = [each for each in marked(scene.hub.place.mark) if kernel in command_line(each)]
    for process in found:
        scene.end_with(process.pid)
    scene.premise("its processes live, none below the server", lambda: _live_apart(scene, found))
    return kernel


def _live_apart(scene: Scene, processes: list[psutil.Process]) -> bool:
    left = [process for process in processes if alive(process.pid)]
    parents = {parent.pid for process in left for parent in process.parents()}
    return bool(parents) and scene.browser.server_pid not in parents


def far_cell(scene: Scene) -> None:
    """Row 68."""
    with scene.browser.open_kernel(_far_kernel(scene)) as kernel:
        kernel.begin("import time; time.sleep(900)")


def far_rest(scene: Scene) -> None:
    """Row 68a."""
    with scene.browser.open_kernel(_far_kernel(scene)) as kernel:
        assert kernel.run("1 + 1")["status"] == "ok"


class _Sshd(NamedTuple):
    """An sshd below the server, and the folder with its keys, one of which is host's and user's alike."""

    pid: int
    port: int
    folder: Path


def _sshd_at(scene: Scene, address: str, folder: Path, **more: str) -> tuple[list[str], int]:
    """Return the command of an sshd whose key is in a folder, for host and user alike, and its port.

    Raises:
        FileNotFoundError: where there is no sshd.

    """
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise FileNotFoundError("this row needs an sshd: on Debian, apt install openssh-server")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it parts its privileges
    folder.mkdir(mode=0o700, exist_ok=True)
    key, (port,) = folder / "id_ed25519", free_ports(1)
    made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    if not key.exists():
        subprocess.run(made, check=True)
    options = {
        **more,
        "ListenAddress": address,
        "Port": port,
        "HostKey": key,
        "AuthorizedKeysFile": f"{key}.pub",
    }
    options |= {"StrictModes": "no", "PidFile": "none", "PermitRootLogin": "yes", "AcceptEnv": MARK}
    words = [f"-o{name}={value}" for name, value in options.items()]
    return [program, "-D", "-e", "-f", "/dev/null", *words], port


def _listener(server: int) -> int | None:
    """Return the pid of the sshd below a server; what it starts for a visitor is called the same at first."""
    parents = {each.pid: parent(each) for each in below(server) if "[listener]" in command_line(each)}
    return next((pid for pid, above in parents.items() if above not in parents), None)


def _sshd(scene: Scene, settings: Mapping[str, str] | None = None) -> _Sshd:
    """Have jupyter-server-proxy start an sshd, as jupyter-sshd-proxy has it do."""
    folder = scene.folder / "ssh"
    command, port = _sshd_at(scene, "127.0.0.1", folder)
    entry: dict[str, Any] = {"command": command, "port": port}
    entry |= {"raw_socket_proxy": True, "timeout": 30}
    scene.restart(args=[f"--ServerProxy.servers={{'sshd': {entry!r}}}"], env=dict(settings or {}))
    Socket(f"{scene.browser.url}sshd/", scene.browser.token).close()  # its first visitor has it started
    server = scene.browser.server_pid
    pid = wait_until(lambda: _listener(server), 15, "an sshd listens")
    scene.end_with(pid)
    return _Sshd(pid, port, folder)


def _ssh(scene: Scene, sshd: _Sshd, *command: str, options: Mapping[str, Any] | None = None) -> Any:
    """Come in over ssh, run a command there, and return the client, whose stdin is the keyboard."""
    given = {"StrictHostKeyChecking": "no", "UserKnownHostsFile": sshd.folder / "known", "LogLevel": "ERROR"}
    given |= {"SetEnv": f"{MARK}={scene.hub.place.mark}", **(options or {})}
    words = [f"-o{name}={value}" for name, value in given.items()]
    client = ["ssh", "-F", "/dev/null", "-i", str(sshd.folder / "id_ed25519"), "-p", str(sshd.port), *words]
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
    "68": far_cell,
    "68a": far_rest,
    **DATABASES,
}
