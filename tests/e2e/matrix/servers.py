"""The options with which servers of rows are started: which environment, which extensions, which app."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.e2e.matrix.row import BUILD

QUICK_PING = "--ServerApp.tornado_settings={'ws_ping_interval': 5000}"
QUICK_PINGS = {"args": [QUICK_PING]}
"""Pings every 30 s are shorter than any real timeout; at 35 s they must be scaled, too."""

LAB = {"lab": True}
"""A row that needs nothing beside a server does without JupyterLab, whose start takes as long as the rest."""

TMUX = {"tmux": "tmux"}
PROCPS = {"top": "procps", "watch": "procps"}
SSH = {"sshd": "openssh-server", "ssh": "openssh-client"}
"""Programs that rows need, each with Debian's package; where one is missing they are not run."""

PROGRAMS = Path(__file__).parent / "programs"
APPS = BUILD / "apps" / "bin"
"""The environment that `make` makes for rows that need more than JupyterLab."""
_EXTENSIONS = (
    "jupyter_keepalive",
    "jupyterlab_git",
    "nbdime",
    "jupyter_remote_desktop_proxy",
    "jupyter_resource_usage",
    "jupyter_scheduler",
    "jupyter_server_fileid",
    "jupyter_server_ydoc",
    "nbclassic",
)


def using(*extensions: str, args: Sequence[str] = ()) -> dict[str, Any]:
    """Return the options of a server in that environment, with these of its extensions and no others."""
    chosen = {name: name in extensions for name in (*_EXTENSIONS, *extensions)}
    enabled = f"--ServerApp.jpserver_extensions={chosen!r}"
    return {"program": str(APPS / "jupyterhub-singleuser"), "args": [enabled, *args]}


def proxied(**settings: object) -> dict[str, Any]:
    """Return the options of a server with our app behind jupyter-server-proxy."""
    command = [sys.executable, str(PROGRAMS / "app.py"), "{port}", "taken"]
    return {"args": [f"--ServerProxy.servers={{'app': { ({'command': command} | settings)!r}}}"]}


COLLABORATION = ("jupyter_server_ydoc", "jupyter_server_fileid")


def app(program: str, *words: str, **settings: object) -> dict[str, Any]:
    """Return the options of a server with an app of that environment behind jupyter-server-proxy."""
    paths = [str(PROGRAMS / word) if word.endswith(".py") else word for word in words]
    return _behind_the_proxy(str(APPS / program), *paths, **settings)


def _behind_the_proxy(*command: str, **settings: object) -> dict[str, Any]:
    entry = {"command": [*command], "timeout": 60, **settings}
    return using(args=[f"--ServerProxy.servers={{'app': {entry!r}}}"])


_OURS = {"env": {"PYTHONPATH": str(PROGRAMS)}}
POLLED = {"args": ["--ServerApp.jpserver_extensions={'polled': True}"], **_OURS}
DOCUMENTS = {"program": str(BUILD / "documents" / "bin" / "jupyterhub-singleuser")}
"""A server that holds the documents and runs their cells, in an environment of its own."""
DESKTOP = {
    **using("jupyter_remote_desktop_proxy"),
    "env": {"JUPYTER_REMOTE_DESKTOP_PROXY_XSTARTUP": str(PROGRAMS / "desktop.sh")},
}
KEEPALIVE = {**using("jupyter_keepalive", "quick_keepalive"), **_OURS}
PROXIED = proxied()
PROXIED_EXCLUDED = proxied(exclude_last_activity_patterns=[".*/heartbeat"])
BOKEH = app(
    *("python", "-m", "bokeh", "serve", "dashboard.py", "--port", "{port}"),
    *("--allow-websocket-origin=*", "--prefix={base_url}app"),
    absolute_url=True,
)
STREAMLIT = app(
    *("streamlit", "run", "streamed.py", "--server.port={port}", "--server.headless=true"),
    *("--server.enableXsrfProtection=false", "--server.enableCORS=false"),
    "--browser.gatherUsageStats=false",
)
SHINY = app("shiny", "run", "--port={port}", "shining.py")
_CODE_SERVER = BUILD / "code-server"
EDITOR = _behind_the_proxy(
    *(str(_CODE_SERVER / "node"), str(_CODE_SERVER / "node_modules/code-server/out/node/entry.js")),
    *("--bind-addr=127.0.0.1:{port}", "--auth=none", "--disable-telemetry", "--disable-update-check"),
    *("--disable-workspace-trust", "--disable-getting-started-override"),
)


def setting(name: str, value: str) -> dict[str, Any]:
    """Return the options of a server whose extension has a setting."""
    return {"env": {f"HUBCULL_{name.upper()}": value}}


ONLY_CELLS = setting("watch_background", "false")
"""What goes on outside cells and terminals counts nowhere."""
STARTS_QUICKLY = setting("kernel_start_limit", "15")
NO_PYTHON = setting("not_work", Path(sys.executable).resolve().name)
"""Python is no work in a terminal."""
