"""The demo's table: what hubcull says of each server, beside what the Hub says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from harness.scenes import Scene

Rows = Mapping[str, Mapping[str, Any]]
"""What hubcull's API says of each user's server."""

_COLOURS = {"keep": "green", "hold": "yellow", "cull": "red"}
_PLAIN_EVERY = 10.0


def _span(seconds: float) -> str:
    """Return a countdown in the unit a person would use."""
    left = max(seconds, 0)
    if left < 180:
        return f"{left:.0f} s"
    return f"{left / 60:.0f} min" if left < 3 * 3600 else f"{left / 3600:.0f} h"


def _cells(scene: Scene, row: Mapping[str, Any] | None) -> tuple[str, str, str, str]:
    """Return verdict, reason, countdown and the Hub's figure for one scene."""
    if scene.gone_after is not None:
        return "[red]stopped[/]", f"{scene.gone_after:.0f} s after the last act", "", ""
    hub = f"{scene.activity_age:.0f} s ago"
    if row is None:
        return "", "hubcull has not looked at it yet", "", hub
    colour = _COLOURS.get(str(row["action"]), "white")
    left = row["deadline_in"]
    countdown = "-" if left is None else _span(left)
    return f"[{colour}]{row['action']}[/]", escape(str(row["text"])), countdown, hub


def _caption(scenes: Sequence[Scene], timeout: float) -> str:
    """Say what is still awaited."""
    idle = [scene.user for scene in scenes if not scene.stays and not scene.done(timeout)]
    if idle:
        return f"waiting for {' and '.join(idle)} to be stopped, {timeout:.0f} s after their last act"
    left = max(scene.left(timeout) for scene in scenes)
    return f"watching whether the busy ones stay, {left:.0f} s more"


def build(scenes: Sequence[Scene], rows: Rows, seconds: float, timeout: float) -> Table:
    """Return the table as it is ``seconds`` after the four servers were up."""
    table = Table(
        title=f"hubcull after {seconds:.0f} s",
        title_justify="left",
        caption=_caption(scenes, timeout),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("user")
    table.add_column("is doing", max_width=25)
    table.add_column("hubcull", min_width=7)
    table.add_column("because", min_width=44, max_width=44)
    table.add_column("stops in", justify="right")
    table.add_column("Hub's last_activity", justify="right", max_width=13)
    for scene in scenes:
        verdict, why, countdown, hub = _cells(scene, rows.get(scene.user))
        table.add_row(scene.user, scene.doing, verdict, why, countdown, hub)
    return table


class Screen:
    """Shows the table: live in a terminal, else printed on a change and every ten seconds."""

    def __init__(self, console: Console, timeout: float) -> None:
        self.console, self.timeout = console, timeout
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._printed = -_PLAIN_EVERY
        self._state: object = None

    def __enter__(self) -> Screen:
        """Begin."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Leave the last table standing."""
        if self._live:
            self._live.stop()

    def show(self, scenes: Sequence[Scene], rows: Rows, seconds: float) -> None:
        """Show how things are now."""
        table = build(scenes, rows, seconds, self.timeout)
        if self._live:
            self._live.update(table, refresh=True)
            return
        state = [(rows.get(s.user, {}).get("reason"), s.gone_after is None) for s in scenes]
        if state != self._state or seconds - self._printed >= _PLAIN_EVERY:
            self.console.print(table)
            self._state, self._printed = state, seconds
