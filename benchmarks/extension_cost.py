"""What the extension costs a user's server: latency and CPU per request, CPU at rest, memory.

Three real servers run side by side: one with the extension at work, and two without. The two are the same
program twice, so what they differ by is noise, and a cost below it can not be told from none. All three are
asked in short rounds that alternate, and rest through the same minute, so that whatever else the machine does
meets all of them.
"""

from __future__ import annotations

import http.client
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import mean, median
from urllib.parse import urlsplit

from benchmarks.children import Child, Children, children
from benchmarks.figures import Figure
from harness.calls import call
from harness.waiting import wait_until

TOKEN = "token-of-the-benchmark"  # noqa: S105 - of servers on the loopback, gone in minutes
PATH = "/api/kernels"
USERS = {"extended": "alice", "plain": "bob", "twin": "carol"}
"""The three servers, and whose each is."""
ROUNDS = 60
REQUESTS = 100
REST = 60.0
"""Seconds at rest, each time."""
AIM_REST = 0.1
"""Percent of a core."""
AIM_MB = 4.0


@dataclass
class Server:
    """One of the three servers, and what its rounds gave: seconds per request, of waiting and of CPU."""

    child: Child
    latency: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    kernels: list[str] = field(default_factory=list)
    """The kernels that are open, by their ids."""

    def connect(self) -> None:
        """Open the connection that all requests go over."""
        parts = urlsplit(self.child.url)
        self._line = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=30)

    def ask(self) -> float:
        """Send one authenticated request, and return the seconds until its answer was there."""
        begun = time.perf_counter()
        self._line.request("GET", PATH, headers={"Authorization": f"token {TOKEN}"})
        answer = self._line.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{self.child.url}{PATH} answers {answer.status}")
        return time.perf_counter() - begun

    def open_kernel_and_terminal(self) -> None:
        """Open what most servers at rest have open."""
        for what in ("kernels", "terminals"):
            answer = call("POST", f"{self.child.url}/api/{what}", token=TOKEN, body={})
            if not answer.ok:
                raise RuntimeError(f"{self.child.url}/api/{what} answers {answer.status}")


@dataclass
class Three:
    """The server with the extension, the one without, and its twin; `sink` takes the reports."""

    extended: Server
    plain: Server
    twin: Server
    sink: Child

    @property
    def all(self) -> tuple[Server, Server, Server]:
        """All three."""
        return self.extended, self.plain, self.twin

    def sizes(self) -> dict[str, int]:
        """Return the bytes of the largest report, by server."""
        largest: dict[str, int] = call("GET", f"{self.sink.url}/sizes").json()
        return largest

    def reports(self) -> dict[str, int]:
        """Return how many reports came, by server."""
        came: dict[str, int] = call("GET", f"{self.sink.url}/count").json()
        return came

    def difference(self, measure: Callable[[Server], float]) -> tuple[float, float]:
        """Return what the extension adds to a measure, and the noise: what the other two differ by."""
        extended, plain, twin = (measure(server) for server in self.all)
        return extended - mean((plain, twin)), abs(plain - twin)


def run() -> list[Figure]:
    """Measure all of it, in about three minutes."""
    with children() as made:
        three = start(made)
        figures = _requests(three)
        figures.append(_rest("extension_rest", three, "nothing open"))
        figures.append(_memory("extension_memory", three, "nothing open"))
        for server in three.all:
            server.open_kernel_and_terminal()
        time.sleep(15.0)  # the kernels' own start is no rest
        figures.append(_rest("extension_rest_open", three, "a kernel and a terminal open, both idle"))
        figures.append(_memory("extension_memory_open", three, "a kernel and a terminal open, both idle"))
        if set(three.reports()) != {"alice/"}:
            raise RuntimeError(f"reports came from {sorted(three.reports())}, and not from alice/ alone")
        return figures


def start(made: Children) -> Three:
    """Start the three servers and the sink, and wait until all answer and one reports."""
    sink = made.start("sink", ["benchmarks.stubs", "sink", "{port}"])
    sink.wait_ready("/")
    extended, plain, twin = (Server(_server(made, sink, name)) for name in USERS)
    three = Three(extended, plain, twin, sink)
    for server in three.all:
        server.child.wait_ready("/api/status", TOKEN)
        server.connect()
    wait_until(three.reports, 15.0, "a report of the extension")
    return three


def _server(made: Children, sink: Child, name: str) -> Child:
    """Start a server, as a spawner would; they differ in the extension alone, and in whose they are.

    With the same environment the one with the extension would take the others' processes for its own.
    """
    folder = made.folder / name
    folder.mkdir()
    command = [
        "jupyter_server",
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={folder}",
        # The limit is 1,000 messages a second: just there it drops all for a while, and little is left to do.
        "--ZMQChannelsWebsocketConnection.limit_rate=False",
        f"--ServerApp.jpserver_extensions={{'hubcull_server_ext': {name == 'extended'}}}",
    ]
    env = {
        "HOME": str(folder),
        "JUPYTERHUB_API_TOKEN": "token-of-alice",
        "JUPYTERHUB_USER": USERS[name],
        "JUPYTERHUB_SERVER_NAME": "",
        "HUBCULL_URL": f"{sink.url}/",
        **{f"JUPYTER_{what}_DIR": str(folder / what.lower()) for what in ("CONFIG", "DATA", "RUNTIME")},
    }
    return made.start(name, command, env)


def _requests(three: Three) -> list[Figure]:
    """Ask the three in turn, request by request, `REQUESTS` times a round; the first round only warms up."""
    for _ in range(1 + ROUNDS):
        _round(three)
    return [
        _per_request("extension_latency", three, lambda server: server.latency[1:]),
        _per_request("extension_request_cpu", three, lambda server: server.cpu[1:]),
    ]


def _round(three: Three) -> None:
    before = [server.child.cpu() for server in three.all]
    waited: list[list[float]] = [[], [], []]
    for number in range(REQUESTS):
        for place in range(3):
            turn = (number + place) % 3
            waited[turn].append(three.all[turn].ask())
    time.sleep(0.05)  # a server writes its log after the answer
    for server, cpu, times in zip(three.all, before, waited, strict=True):
        server.latency.append(median(times))
        server.cpu.append((server.child.cpu() - cpu) / REQUESTS)


def _per_request(name: str, three: Three, of: Callable[[Server], list[float]]) -> Figure:
    """Compare round by round, and the two servers without the extension in the same way."""
    plain = of(three.plain)
    ratios = [one / other for one, other in zip(of(three.extended), plain, strict=True)]
    control = [one / other for one, other in zip(of(three.twin), plain, strict=True)]
    ratio, noise = median(ratios), noise_of(control)
    judged = name == "extension_latency"
    return Figure(
        name=name,
        figure=ratio,
        unit="times",
        ratio_to="without extension",
        aim="within noise" if judged else None,
        met=ratio - 1 <= noise if judged else None,
        details={
            "noise": noise,
            "twin_ratio": median(control),
            "added_us": (ratio - 1) * median(plain) * 1e6,
            "without_us": median(plain) * 1e6,
            "request": f"GET {PATH}",
            "rounds": ROUNDS,
            "requests_per_round": REQUESTS,
        },
    )


def noise_of(control: list[float]) -> float:
    """Return what can not be told from nothing, from the ratios of two servers that are the same program.

    How far their median is from 1, and twice its standard error (1.25 sigma / sqrt(n), sigma by the median
    deviation, which a single disturbed round does not move).
    """
    middle = median(control)
    sigma = 1.48 * median(abs(ratio - middle) for ratio in control)
    return float(abs(middle - 1) + 2 * 1.25 * sigma / math.sqrt(len(control)))


def _rest(name: str, three: Three, scene: str) -> Figure:
    """Let all three rest through the same minute."""
    reports = sum(three.reports().values())
    begun = time.monotonic()
    before = {id(server): server.child.cpu() for server in three.all}
    time.sleep(REST)
    spent = {id(server): server.child.cpu() - before[id(server)] for server in three.all}
    seconds = time.monotonic() - begun
    share, noise = three.difference(lambda server: 100 * spent[id(server)] / seconds)
    return Figure(
        name=name,
        figure=share,
        unit="% of a core",
        ratio_to="added to one without",
        aim=f"< {AIM_REST:g} %",
        met=share < AIM_REST,
        details={
            "scene": scene,
            "noise": noise,
            "without_percent": 100 * spent[id(three.plain)] / seconds,
            "seconds": seconds,
            "reports_meanwhile": sum(three.reports().values()) - reports,
        },
    )


def _memory(name: str, three: Three, scene: str) -> Figure:
    added, noise = three.difference(lambda server: server.child.memory()[0])
    shared, _ = three.difference(lambda server: server.child.memory()[1])
    return Figure(
        name=name,
        figure=added,
        unit="MB",
        ratio_to="added to one without (USS)",
        aim=f"< {AIM_MB:g} MB",
        met=added < AIM_MB,
        details={
            "scene": scene,
            "noise": noise,
            "pss_mb": shared,
            "without_mb": three.plain.child.memory()[0],
        },
    )
