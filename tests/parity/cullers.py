"""Both cullers as the processes that an operator runs, each at its own replay of the same recorded state.

`side_by_side` starts the two at once, waits until each has done one cycle (or what a scene waits for), ends
them, and returns what each asked of its Hub. The real idle-culler is in ``build/idle-culler``; `make parity`
puts it there.
"""

from __future__ import annotations

import copy
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from harness.ports import free_ports
from tests.parity.replay import TOKEN, ReplayHub, Request
from tests.parity.states import LAST, Model, user

ROOT = Path(__file__).resolve().parents[2]
IDLE_CULLER = ROOT / "build" / "idle-culler"
PATIENCE = 40.0
"""Seconds that a scene may take; many times what it takes on a quiet machine."""

_SAID = re.compile(r"cycle=1 .* stopping=(\d+)")


@dataclass
class Process:
    """One culler at work: its Hub, its folder, what it printed."""

    name: str
    hub: ReplayHub
    popen: subprocess.Popen[bytes]
    folder: Path
    ends_by: signal.Signals = signal.SIGTERM

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return (self.folder / "log").read_text(errors="replace")

    def end(self) -> None:
        """End it by its signal, and by force where that takes too long.

        To idle-culler it is sent again: one that comes while it works may be lost on it.

        Raises:
            subprocess.TimeoutExpired: when it had to be killed.

        """
        times = 5 if self.name == "theirs" else 1
        for _ in range(times):
            if self.popen.poll() is None:
                self.popen.send_signal(self.ends_by)
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(15 / times)
                return
        self.popen.kill()
        self.popen.wait()
        raise subprocess.TimeoutExpired(self.popen.args, 15)


Until = Callable[[Process], bool]


class Run(NamedTuple):
    """What one culler did: every DELETE, every request, its log and exit code, and its Hub at the end."""

    hub: ReplayHub
    log: str
    code: int | None
    memory: int
    """Peak of its resident memory in bytes."""

    @property
    def deletes(self) -> list[Request]:
        """Every DELETE, sorted, for the order is each culler's own."""
        return sorted(self.hub.deletes)

    def of(self, name: str) -> list[Request]:
        """Return the DELETEs about one user, named as in a path."""
        return [each for each in self.deletes if re.split("[/?]", each.path)[2] == name]


class Pair(NamedTuple):
    """What the two did with the same state."""

    theirs: Run
    ours: Run

    def same(self, name: str) -> list[Request]:
        """Return the DELETEs about one user, which are the same of both."""
        assert self.theirs.of(name) == self.ours.of(name), name
        return self.ours.of(name)

    def differ(self, name: str) -> tuple[list[Request], list[Request]]:
        """Return the DELETEs about one user, theirs and ours, which are not the same."""
        theirs, ours = self.theirs.of(name), self.ours.of(name)
        assert theirs != ours, name
        return theirs, ours


def stop(name: str, server: str | None = None, body: bytes = b"") -> Request:
    """Return the DELETE of a server; names as they stand in a path."""
    tail = "server" if server is None else f"servers/{server}"
    return Request("DELETE", f"/users/{name}/{tail}", body)


def remove(name: str) -> Request:
    """Return the DELETE of a user."""
    return Request("DELETE", f"/users/{name}")


def one_cycle_of_theirs(process: Process) -> bool:
    """Tell whether idle-culler has come to the end of the list, which it works through in order."""
    return stop(LAST) in process.hub.answered


def one_cycle_of_ours(process: Process) -> bool:
    """Tell whether the first cycle of hubcull is written down, with what came of everything it began."""
    said = _SAID.search(process.log)
    return said is not None and process.log.count(" result=") >= int(said[1])


@dataclass(frozen=True)
class Scene:
    """One state, and how both cullers are run at it.

    ``users`` makes the state, to which `LAST` is added; ``hub`` are fields of `ReplayHub`. ``options`` are
    for both, ``theirs`` and ``ours`` for one, ``level`` is the log's; ``every`` (s) is the period, long
    enough for one cycle, None for the default. ``files`` are written to the working directory of both before
    the start. ``managed``
    gives hubcull the environment of a service without ``url``. After ``until_...``, or ``patience`` seconds,
    each is ended by the signal ``ends_by``.
    """

    users: Callable[[], Sequence[Model]] = tuple
    options: tuple[str, ...] = ()
    every: int | None = 3000
    level: tuple[str, ...] = ("--Application.log_level=DEBUG",)
    theirs: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    hub: Mapping[str, object] = field(default_factory=dict)
    managed: bool = True
    last: bool = True
    patience: float = PATIENCE
    ends_by: signal.Signals = signal.SIGTERM
    until_theirs: Until = one_cycle_of_theirs
    until_ours: Until = one_cycle_of_ours


def _period(scene: Scene) -> tuple[str, ...]:
    return () if scene.every is None else (f"--cull-every={scene.every}",)


def _environment(scene: Scene, folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "JUPYTERHUB_API_TOKEN": TOKEN, **scene.env}


def theirs(scene: Scene, hub: ReplayHub, url: str, folder: Path) -> Process:
    """Start jupyterhub-idle-culler."""
    python = IDLE_CULLER / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(f"{python}: `make parity` makes the environment of idle-culler")
    command = [str(python), "-m", "jupyterhub_idle_culler", *scene.level]
    options = (*_period(scene), *scene.options, *scene.theirs)
    env = {"JUPYTERHUB_API_URL": url, **_environment(scene, folder)}
    return _spawn("theirs", [*command, *options], env, hub, folder, scene.files)


def ours(scene: Scene, hub: ReplayHub, url: str, folder: Path) -> Process:
    """Start hubcull, without its warm-up (L1)."""
    command = [sys.executable, "-m", "hubcull_hub", *scene.level, "--warm-up=0"]
    env = {"JUPYTERHUB_API_URL": url, **_environment(scene, folder)}
    if scene.managed:
        env |= {
            "JUPYTERHUB_SERVICE_NAME": "idle-culler",
            "JUPYTERHUB_SERVICE_PREFIX": "/services/idle-culler/",
        }
    else:
        command.append(f"--bind=127.0.0.1:{free_ports(1)[0]}")
    options = (*_period(scene), *scene.options, *scene.ours)
    return _spawn("ours", [*command, *options], env, hub, folder, scene.files)


def _spawn(
    name: str,
    command: Sequence[str],
    env: Mapping[str, str],
    hub: ReplayHub,
    folder: Path,
    files: Mapping[str, str],
) -> Process:
    folder.mkdir()
    for file, text in files.items():
        (folder / file).write_text(text)
    with (folder / "log").open("wb") as log:
        popen = subprocess.Popen(
            command, env=dict(env), cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    return Process(name, hub, popen, folder)


@cache
def side_by_side(make: Callable[[], Scene]) -> Pair:
    """Run both at the scene that ``make`` returns, once in a session however many tests look at it."""
    scene = make()
    users = [*scene.users(), *([user(LAST)] if scene.last else [])]
    hubs = [ReplayHub(copy.deepcopy(users), **scene.hub) for _ in range(2)]  # type: ignore[arg-type]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hubcull-parity-")))
        started = [
            (process, until)
            for begin, until, hub in zip(
                (theirs, ours), (scene.until_theirs, scene.until_ours), hubs, strict=True
            )
            for process in [begin(scene, hub, stack.enter_context(hub.serve()), folder / begin.__name__)]
        ]
        try:
            for process, _ in started:
                process.ends_by = scene.ends_by
            memory = _wait(started, scene.patience)
        finally:
            for process, _ in started:
                process.end()
        runs = [
            Run(process.hub, process.log, process.popen.returncode, peak)
            for (process, _), peak in zip(started, memory, strict=True)
        ]
    return Pair(*runs)


def _wait(started: Sequence[tuple[Process, Until]], patience: float) -> list[int]:
    """Wait until each has done what it is waited for; end it then, and return the peaks of their memory."""
    peaks = [0] * len(started)
    waiting = set(range(len(started)))
    deadline = time.monotonic() + patience
    while waiting:
        for number in sorted(waiting):
            process, until = started[number]
            ended = process.popen.poll() is not None
            if until(process):
                waiting.discard(number)
                peaks[number] = 0 if ended else _peak(process.popen.pid)
                process.end()
            elif ended or time.monotonic() > deadline:
                asked = "\n".join(map(str, process.hub.requests[-20:]))
                raise AssertionError(f"{process.name} did not come so far:\n{asked}\n{process.log[-6000:]}")
        time.sleep(0.05)
    return peaks


def _peak(pid: int) -> int:
    """Return the most memory that a process has held so far, in bytes; 0 for one that is gone."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return 1024 * int(found[1]) if found else 0
