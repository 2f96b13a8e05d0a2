"""How the rows are made in which an operator has chosen otherwise than we do."""

from __future__ import annotations

from tests.e2e.matrix import apps, browser, elsewhere, extensions, kernels, requests, terminals, waits
from tests.e2e.matrix.scene import Scene
from tests.e2e.matrix.servers import ONLY_CELLS, PROGRAMS
from tests.e2e.matrix.stage import Maker

OPTIONS = {
    "visible-tab-grace": "600",
    "max-busy": "10",
    "config": str(PROGRAMS / "choosing.py"),
}
"""Of the service."""


def typing_over_ssh(scene: Scene) -> None:
    """Row 50c."""
    elsewhere.typing(scene, ONLY_CELLS["env"])


MAKERS: dict[str, Maker] = {
    "2a": kernels.waiting_cell,
    "4b": requests.visible_tab,
    "12a": browser.reading,
    "14a": kernels.animation,
    "15a": kernels.printing_thread,
    "16e": kernels.background_thread,
    "18a": waits.input_waits,
    "19a": waits.breakpoint_hit,
    "27a": requests.reloading,
    "33a": terminals.jobs_behind_the_prompt,
    "34c": terminals.in_its_own_session,
    "39b": apps.heartbeats,
    "42a": extensions.kept_by_wish,
    "41c": browser.dashboard,
    "50c": typing_over_ssh,
}
