"""`make demo`: hubcull at work on a real JupyterHub, four users, one minute's timeout.

Ends with exit code 0 only if the two idle servers were stopped and the two busy ones were not, by the
Hub's word and the processes'. Without ``--exit`` the Hub then goes on until Ctrl-C.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any, NoReturn

from rich.console import Console
from rich.markup import escape

from harness.demo_table import Rows, Screen
from harness.hubconfig import HubOptions
from harness.launch import HubFailedError
from harness.realhub import RealHub
from harness.scenes import SLACK, Scene, all_scenes

PASSWORD = "demo"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Ended(BaseException):
    """A signal asked the demo to end; BaseException, so that nothing on the way takes it for an error."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.code = 128 + signum


def _on_signal(signum: int, frame: FrameType | None) -> NoReturn:
    for each in _SIGNALS:  # from here on everything is being cleaned up; let nothing cut that short
        signal.signal(each, signal.SIG_IGN)
    raise _Ended(signum)


def _options(timeout: float) -> HubOptions:
    return HubOptions(
        service_options=(
            f"--timeout={timeout:g}",
            "--cull-every=2",
            f"--warm-up={min(20, timeout / 3):g}",
            "--log-level=INFO",
        ),
        password=PASSWORD,
        last_activity_interval=5,
        activity_interval=5,
    )


def _ask(hub: RealHub) -> Rows:
    """Return what hubcull says of each user's server; nothing while it does not answer."""
    try:
        answer = hub.ask_service("api/v1/servers")
        page: dict[str, Any] = answer.json() if answer.ok else {}
    except (OSError, ValueError):
        return {}
    return {row["user"]: row for row in page.get("servers", []) if not row["server"]}


def _begin(scenes: Sequence[Scene]) -> None:
    """Begin all scenes at once."""
    pool = ThreadPoolExecutor(len(scenes))
    try:
        for future in [pool.submit(scene.begin) for scene in scenes]:
            future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _watch(hub: RealHub, scenes: Sequence[Scene], screen: Screen, timeout: float) -> None:
    """Show what happens until there is nothing more to wait for, or it takes too long."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < 2 * timeout + 8 * SLACK:
        for scene in scenes:
            scene.look()
        screen.show(scenes, _ask(hub), passed)
        if all(scene.done(timeout) for scene in scenes):
            return
        time.sleep(1)


def _conclude(console: Console, scenes: Sequence[Scene], timeout: float) -> bool:
    """Say what happened and why, and return whether all of it was right."""
    console.print()
    right = True
    for scene in scenes:
        faults = scene.faults(timeout)
        right = right and not faults
        said = escape("; ".join(faults) or scene.words(timeout))
        console.print(f"[red]WRONG[/]  {said}" if faults else f"[green]right[/]  {said}", soft_wrap=True)
    console.print(f"\nJudged by the Hub's API and the processes: {'all right' if right else 'NOT right'}.")
    return right


def _stay(hub: RealHub, console: Console) -> None:
    """Leave the Hub running until a signal comes, or it ends by itself."""
    console.print(f"The Hub goes on at {hub.url} until Ctrl-C; any user name, password: {PASSWORD}")
    while hub.running:
        time.sleep(1)
    console.print("The Hub ended by itself.")


def _play(console: Console, timeout: float, leave: bool) -> int:
    console.print("Starting a real JupyterHub, with hubcull as its service, on loopback only …")
    try:
        with RealHub(_options(timeout)) as hub:
            console.print(f"It is at {hub.url} ; log in with any user name, password: {PASSWORD}")
            console.print("Starting the servers of carla, theo, olivia and nora …")
            scenes = all_scenes(hub)
            _begin(scenes)
            with Screen(console, timeout) as screen:
                _watch(hub, scenes, screen, timeout)
            code = 0 if _conclude(console, scenes, timeout) else 1
            if leave:
                return code
            try:
                _stay(hub, console)
            except _Ended:
                return code
            return 1
    except _Ended as ended:
        return ended.code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description="hubcull at work on a real JupyterHub")
    parser.add_argument("--exit", action="store_true", help="end by itself; the exit code is the verdict")
    parser.add_argument("--timeout", type=float, default=60, help="seconds of idleness allowed (60)")
    given = parser.parse_args(arguments)
    for each in _SIGNALS:
        signal.signal(each, _on_signal)
    console = Console() if sys.stdout.isatty() else Console(width=132)
    began = time.monotonic()
    try:
        code = _play(console, given.timeout, given.exit)
    except (HubFailedError, OSError) as error:
        console.print(f"The demo could not go on: {error}", markup=False)
        code = 1
    console.print(f"Everything is stopped. The demo took {time.monotonic() - began:.0f} s.")
    return code


if __name__ == "__main__":
    sys.exit(main())
