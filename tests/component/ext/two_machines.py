"""Two networks of our own with a cable between them, as of two machines; gone with the processes in them."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tests.component.ext.waiting import until

T = TypeVar("T")
HERE, THERE = "10.77.0.1", "10.77.0.2"
HERE6, THERE6 = "fd77::1", "fd77::2"
_TALK = [sys.executable, str(Path(__file__).parent / "programs" / "talk.py")]
_NEW_NETWORK = 0x40000000


def missing() -> str | None:
    """Return what is missing to make networks, or None."""
    if not all(shutil.which(tool) for tool in ("ip", "unshare", "nsenter")):
        return "no ip, unshare or nsenter"
    tried = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True)  # noqa: S607
    return None if tried.returncode == 0 else "no right to make a network"


def _network(pid: int | str = "self") -> Path:
    return Path(f"/proc/{pid}/ns/net").readlink()


class TwoMachines:
    """Programs run *here*, and what they talk to *there*."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []
        self._pool = ThreadPoolExecutor(1, initializer=self._enter)

    async def begin(self) -> None:
        """Make both, and let one answer there."""
        self._here, self._there = [self._start(["unshare", "--net", "sleep", "600"]) for _ in range(2)]
        both = self._here, self._there
        await until(lambda: all(_network(pid) != _network() for pid in both))
        link = ["link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", str(self._there)]
        self._ip(self._here, *link)
        for pid, address, address6 in ((self._here, HERE, HERE6), (self._there, THERE, THERE6)):
            self._ip(pid, "addr", "add", f"{address}/24", "dev", "cable")
            self._ip(pid, "addr", "add", f"{address6}/64", "dev", "cable", "nodad")
            for device in ("lo", "cable"):
                self._ip(pid, "link", "set", device, "up")
        for pid in both:
            self._start([*self._inside(pid), *_TALK, "listen"])
        await until(lambda: all(":1B5F " in Path(f"/proc/{pid}/net/tcp6").read_text() for pid in both))

    def end(self) -> None:
        """End what runs in them, and with it both."""
        self._pool.shutdown()
        for process in self._running:
            process.kill()
            process.wait()

    def talk(self, address: str, direction: str, rate: int) -> list[str]:
        """Return a command that moves so many bytes a second from here to an address, or from there."""
        return [*self._inside(self._here), *_TALK, address, direction, str(rate)]

    def here(self, call: Callable[[], T]) -> T:
        """Call something in a thread that is here."""
        return self._pool.submit(call).result(timeout=10)

    def carried(self) -> int:
        """Return how many bytes the cable has carried, as its device counts them."""
        text = Path(f"/proc/{self._here}/net/dev").read_text()
        found = re.search(r"cable: *(\d+)(?: +\d+){7} +(\d+)", text)
        assert found is not None
        return int(found[1]) + int(found[2])

    def _inside(self, pid: int) -> list[str]:
        return ["nsenter", f"--net=/proc/{pid}/ns/net"]

    def _start(self, command: list[str]) -> int:
        self._running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        return self._running[-1].pid

    def _ip(self, pid: int, *words: str) -> None:
        subprocess.run([*self._inside(pid), "ip", *words], check=True, timeout=10)

    def _enter(self) -> None:
        with Path(f"/proc/{self._here}/ns/net").open("rb") as network:
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _NEW_NETWORK):
                raise OSError(ctypes.get_errno(), "setns")
