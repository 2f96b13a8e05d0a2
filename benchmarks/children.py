"""The processes of one benchmark: started here, measured here, and all gone at the end."""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import psutil

from harness.calls import call
from harness.ports import free_ports
from harness.processes import MARK, kill_marked
from harness.waiting import wait_until

_ROOT = Path(__file__).resolve().parent.parent
_FOREIGN = ("JUPYTER", "JPY_", "HUBCULL_")
_MB = 1e6


class ChildFailedError(Exception):
    """A process of a benchmark did not start, or ended by itself; the text ends with its last words."""


class Child:
    """One running process; ``url`` is where it listens on the loopback, without a slash at its end."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self._process, self.url, self._log = process, url, log
        self._clock = _cpu_clock(process.pid)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def cpu(self) -> float:
        """Return the CPU time of the process and its threads so far, in seconds, without its children."""
        return time.clock_gettime(self._clock)

    def memory(self) -> tuple[float, float]:
        """Return what the process has for itself (USS), and that with its share of the rest (PSS), in MB."""
        full = psutil.Process(self.pid).memory_full_info()
        return full.uss / _MB, full.pss / _MB

    def wait_ready(self, path: str, token: str | None = None, within: float = 60.0) -> None:
        """Wait until a GET of ``path`` is answered with 200.

        Raises:
            ChildFailedError: when the process ends first, or does not answer in time.

        """

        def ready() -> bool:
            if self._process.poll() is not None:
                raise ChildFailedError(f"{self.url} ended: {self.last_words()}")
            try:
                return call("GET", self.url + path, token=token).status == 200
            except OSError:
                return False

        try:
            wait_until(ready, within, f"an answer from {self.url}")
        except TimeoutError as error:
            raise ChildFailedError(f"{error}: {self.last_words()}") from error

    def last_words(self) -> str:
        """Return the end of the process's log."""
        return self._log.read_text(errors="replace")[-2000:]

    def ask_to_end(self) -> None:
        """Ask it to end in order."""
        if self._process.poll() is None:
            self._process.terminate()

    def wait_end(self, within: float) -> None:
        """Wait for the end, and reap it; whoever is late is left to the caller."""
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            return


class Children:
    """Starts the processes of one benchmark in a folder of their own; use `children`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mark = secrets.token_hex(8)
        self._running: list[Child] = []

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> Child:
        """Start a Python module with its arguments; ``{port}`` in them becomes a free port.

        It runs in a session of its own, so that Ctrl-C reaches us alone and the end is in order.
        """
        port = free_ports(1)[0]
        log = self.folder / f"{name}.log"
        clean = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
        clean = {key: value for key, value in clean.items() if not key.lower().endswith("_proxy")}
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *(part.replace("{port}", str(port)) for part in command)],
                cwd=_ROOT,
                env={**clean, **(env or {}), MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        child = Child(process, f"http://127.0.0.1:{port}", log)
        self._running.append(child)
        return child

    def end(self) -> None:
        """End all processes and what they started, in order first and then by force."""
        for child in self._running:
            child.ask_to_end()
        for child in self._running:
            child.wait_end(within=8.0)
        kill_marked(self._mark)
        for child in self._running:
            child.wait_end(within=2.0)


@contextmanager
def children() -> Iterator[Children]:
    """Give a place to start processes; all are gone at its end, after an error, Ctrl-C or SIGTERM too."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with TemporaryDirectory(prefix="hubcull-bench-") as folder:
            made = Children(Path(folder))
            try:
                yield made
            finally:
                impatient = signal.signal(signal.SIGINT, signal.SIG_IGN)
                made.end()
                signal.signal(signal.SIGINT, impatient)
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _cpu_clock(pid: int) -> int:
    """Return the clock of another process's CPU time: to the nanosecond, where /proc counts in 10 ms."""
    clock = ctypes.c_int()
    error: int = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise OSError(error, f"no CPU clock for process {pid}")
    return clock.value
