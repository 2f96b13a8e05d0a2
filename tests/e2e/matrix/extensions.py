"""How the rows of other extensions and of other people's runners are made."""

from __future__ import annotations

from textwrap import indent

from jupyter_client.blocking.client import BlockingKernelClient

from harness.processes import alive, below, command_line, find_below
from harness.waiting import wait_until
from tests.e2e.matrix import shared
from tests.e2e.matrix.kernels import COMPUTE
from tests.e2e.matrix.scene import A_PERSON, Scene
from tests.e2e.matrix.servers import APPS
from tests.e2e.matrix.stage import Maker
from tests.e2e.matrix.terminals import long_notebook

_WORKERS = "from distributed import Client, LocalCluster\n" + (
    "cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)\n"
    "client = Client(cluster)\nassert client.submit(abs, -1).result() == 1\n"
)
_COMPUTE = f"def work():\n    import time\n{indent(COMPUTE, '    ')}future = client.submit(work)\n"


def _dask(scene: Scene, code: str) -> None:
    with scene.browser.open_kernel() as kernel:
        assert kernel.run(code, within=60)["status"] == "ok"
        pid = scene.browser.kernel_pid(kernel.id)

    def has_worker() -> bool:
        return any("distributed" in command_line(p) or "spawn_main" in command_line(p) for p in below(pid))

    assert has_worker()
    scene.premise("its worker is there", has_worker)


def dask_computes(scene: Scene) -> None:
    """Row 16c."""
    _dask(scene, _WORKERS + _COMPUTE)


def dask_rests(scene: Scene) -> None:
    """Row 16d."""
    _dask(scene, _WORKERS)


def papermill(scene: Scene) -> None:
    """Row 36a."""
    long_notebook(scene)
    pid = scene.browser.leave_command(f"{APPS / 'papermill'} long.ipynb done.ipynb", "papermill")
    kernel = find_below(pid, "ipykernel_launcher", within=60)
    scene.premise("its kernel runs", lambda: alive(pid) and alive(kernel))


def scheduled(scene: Scene) -> None:
    """Row 37."""
    long_notebook(scene, f"import time\n{COMPUTE}")
    found = scene.browser.call("GET", "scheduler/runtime_environments").json()
    job = {"name": "night", "input_uri": "long.ipynb", "runtime_environment_name": found[0]["name"]}
    answer = scene.browser.call("POST", "scheduler/jobs", {**job, "output_formats": ["ipynb"]})
    assert answer.ok, answer.body[:300]
    kernel = find_below(scene.browser.server_pid, "ipykernel_launcher", within=60)
    scene.premise("its kernel runs", lambda: alive(kernel))


def usage_panel(scene: Scene) -> None:
    """Row 26a: jupyter-resource-usage asks the kernel on the panel's behalf."""
    kernel = scene.browser.open_kernel()
    kernel.begin("import time; time.sleep(900)")
    pid = scene.browser.kernel_pid(kernel.id)

    def ask() -> None:
        answer = scene.browser.call("GET", f"api/metrics/v1/kernel_usage/get_usage/{kernel.id}")
        if not answer.ok or "kernel_cpu" not in answer.json()["content"]:
            raise ConnectionError(f"kernel_usage: {answer.status} {answer.body[:200]!r}")

    scene.again(ask)
    scene.premise("the cell runs, the tab open", lambda: alive(pid) and kernel.socket.open)


def declared(scene: Scene) -> None:
    """Row 71: what the package goes by is there from now on."""
    scene.file("training.running", "")


_ASKED = (
    ("POST", "git/code/branch"),
    ("POST", "git/code/tags"),
    ("POST", "git/code/status"),
    ("GET", "git/code/stash"),
    ("GET", "git/code/remote/show"),
    ("GET", "lsp/status"),
)


def panels(scene: Scene) -> None:
    """Row 72: of git what its panel asks for when it refreshes, and of lsp which servers there are."""
    (scene.folder / "code").mkdir()
    scene.file(".gitconfig", "[user]\nname = somebody\nemail = somebody@example.org\n")
    answer = scene.browser.call("POST", "git/code/init", {})
    assert answer.ok, answer.body[:300]
    assert scene.browser.call("GET", "lab").ok

    def ask() -> None:
        for method, path in _ASKED:
            answer = scene.browser.call(method, path, {} if method == "POST" else None)
            if not answer.ok:
                raise ConnectionError(f"{method} {path}: {answer.status} {answer.body[:200]!r}")

    scene.again(ask, A_PERSON)  # a beat would be known by itself, also of handlers that nobody knows


def kept_by_wish(scene: Scene) -> None:
    """Rows 42 and 42a."""
    answer = scene.browser.call("POST", "ext-keepalive", {"seconds": 900})
    assert answer.ok, answer.body[:300]
    assert answer.json()["remaining"] > 800


def external_kernel(scene: Scene) -> None:
    """Row 46: started by somebody else, who runs a cell in it that prints."""
    folder = scene.folder / "external"
    folder.mkdir(exist_ok=True)
    file = folder / "kernel-11111111-2222-4333-8444-555555555555.json"
    scene.start([scene.python, "-m", "ipykernel_launcher", "-f", str(file)])
    wait_until(lambda: file.exists() and file.stat().st_size > 100, 30, "the kernel has written its file")
    client = BlockingKernelClient(connection_file=str(file))
    client.load_connection_file()
    client.start_channels()
    scene.at_end(client.stop_channels)
    client.wait_for_ready(timeout=30)
    assert len(scene.browser.call("GET", "api/kernels").json()) == 1
    client.execute("import time\nwhile True:\n    print('.', flush=True); time.sleep(1)")
    scene.premise("it runs, and the server knows of it", lambda: bool(scene.status()["kernels"] == 1))


MAKERS: dict[str, Maker] = {
    **shared.MAKERS,
    "26a": usage_panel,
    "71": declared,
    "72": panels,
    "16c": dask_computes,
    "16d": dask_rests,
    "36a": papermill,
    "37": scheduled,
    "42": kept_by_wish,
    "46": external_kernel,
}
