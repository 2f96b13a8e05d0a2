"""Scales jupyter-keepalive as all times of the matrix: it says every 5 s, not every 60 s, what it wants.

An extension that is loaded beside it; its handlers take the countdown that they find.
"""

from typing import Any

from jupyter_keepalive.handlers import Spinner


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "quick_keepalive"}]


def _load_jupyter_server_extension(app: Any) -> None:
    settings = app.web_app.settings
    settings["keepalive_spinner"] = Spinner(settings["last_activity_times"], spin_interval=5)
