"""All rows of the matrix: the situations, what is right in each, and what is known of the others."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from tests.e2e.matrix.row import Fate, Need, Right, Row

ACTIVE, IDLE = Right.ACTIVE, Right.IDLE
KEPT, STOPPED = Fate.KEPT, Fate.STOPPED
NOTHING, APP, BROWSER = Need.NOTHING, Need.APP, Need.BROWSER

LATER = "not built yet"
QUICK_PING = "--ServerApp.tornado_settings={'ws_ping_interval': 5000}"
QUICK_PINGS = {"args": [QUICK_PING]}
"""Pings every 30 s are shorter than any real timeout; at 35 s they must be scaled, too."""

APPS = Path(__file__).resolve().parents[3] / "build" / "apps" / "bin"
"""The environment that `make` makes for rows that need more than JupyterLab."""
_EXTENSIONS = (
    "jupyter_keepalive",
    "jupyter_resource_usage",
    "jupyter_scheduler",
    "jupyter_server_fileid",
    "jupyter_server_ydoc",
    "nbclassic",
)


def _with(*extensions: str, args: Sequence[str] = ()) -> dict[str, Any]:
    """Return the options of a server in that environment, with these of its extensions and no others."""
    chosen = {name: name in extensions for name in _EXTENSIONS}
    enabled = f"--ServerApp.jpserver_extensions={chosen!r}"
    return {"program": str(APPS / "jupyterhub-singleuser"), "args": [enabled, *args]}


def _proxied(**settings: object) -> dict[str, Any]:
    """Return the options of a server with our app behind jupyter-server-proxy."""
    command = [sys.executable, str(Path(__file__).parent / "programs" / "app.py"), "{port}", "taken"]
    return {"args": [f"--ServerProxy.servers={{'app': { ({'command': command} | settings)!r}}}"]}


COLLABORATION = ("jupyter_server_ydoc", "jupyter_server_fileid")


def _app(program: str, *words: str, **settings: object) -> dict[str, Any]:
    """Return the options of a server with an app of that environment behind jupyter-server-proxy."""
    paths = [str(PROGRAMS / word) if word.endswith(".py") else word for word in words]
    entry = {"command": [str(APPS / program), *paths], "timeout": 60, **settings}
    return _with(args=[f"--ServerProxy.servers={{'app': {entry!r}}}"])


PROGRAMS = Path(__file__).parent / "programs"
POLLED = {
    "args": ["--ServerApp.jpserver_extensions={'polled': True}"],
    "env": {"PYTHONPATH": str(PROGRAMS)},
}
PROXIED = _proxied()
PROXIED_EXCLUDED = _proxied(exclude_last_activity_patterns=[".*/heartbeat"])

_KERNELS = (
    Row("1", "kernels", "A cell computes and prints nothing", ACTIVE, STOPPED, "kernel",
        made="a cell that computes, its tab closed"),
    Row("2", "kernels", "A cell waits silently, as for a database or Spark", ACTIVE, STOPPED, "kernel",
        option="`max_busy` caps it", made="a cell that sleeps, its tab closed"),
    Row("3", "kernels", "A cell prints", ACTIVE, KEPT, "kernel",
        made="a cell that prints every second, its tab closed"),
    Row("7", "kernels", "The tab is closed, a kernel is left that does nothing", IDLE, STOPPED,
        made="a cell run to its end, its tab closed"),
    Row("10", "kernels", "Somebody types in a notebook and runs nothing", ACTIVE, KEPT, "kernel",
        made="requests for completions, again and again"),
    Row("13", "kernels", "Somebody moves a widget", ACTIVE, KEPT, "kernel",
        made="messages of a widget to its kernel, again and again"),
    Row("14", "kernels", "A kernel's thread animates a widget", IDLE, KEPT,
        made="a thread that sends messages to an open tab, its cell ended", server=QUICK_PINGS),
    Row("15", "kernels", "A thread computes and prints after its cell has ended", ACTIVE, KEPT, "kernel",
        made="a thread that does, its tab closed"),
    Row("16", "kernels", "A thread that a cell started computes silently after it", ACTIVE, STOPPED,
        "kernel", made="a thread that computes, its cell ended, its tab closed"),
    Row("16a", "kernels", "A process that a cell started computes silently after it", ACTIVE, STOPPED,
        "kernel", made="`subprocess.Popen`, its cell ended, its tab closed"),
    Row("17", "kernels", "`%%bash` or `!command` runs long", ACTIVE, STOPPED, "kernel",
        made="`%%bash` with a loop, its tab closed"),
    Row("18", "kernels", "`input()` waits for an answer", IDLE, KEPT, made="`input()` in an open tab",
        server=QUICK_PINGS),
    Row("20", "kernels", "A kernel crashed in mid-cell and was restarted", IDLE, STOPPED,
        made="the kernel killed during its cell, restarted by the server"),
    Row("21", "kernels", "Somebody restarts a kernel in mid-cell", ACTIVE, KEPT, "requests",
        made="restarts, the first in mid-cell, the tab closed"),
    Row("22", "kernels", "A kernel is dead after five restarts", IDLE, STOPPED,
        made="the kernel killed whenever it was restarted, then a look at `lab`"),
    Row("23", "kernels", "A kernel started over REST, with no websocket, does nothing", IDLE, STOPPED,
        made="a kernel so started"),
    Row("24", "kernels", "A client without websocket runs a cell", ACTIVE, STOPPED, "kernel",
        made="a client at the kernel's own ports"),
    Row("26", "kernels", "The kernel panel of jupyter-resource-usage asks during a cell", ACTIVE, KEPT,
        "kernel", made="`usage_request`, again and again, in an open tab"),
)  # fmt: skip

_TERMINALS = (
    Row("28", "terminals", "A shell prompt that waits", IDLE, STOPPED, made="a command, then nothing"),
    Row("29", "terminals", "`top` or `watch` runs, the tab open", IDLE, KEPT, made="`top` in an open tab"),
    Row("29a", "terminals", "`top` or `watch` runs, the tab closed", IDLE, STOPPED,
        made="`watch date`, its tab closed"),
    Row("30", "terminals", "`sleep 9999` in the foreground", IDLE, STOPPED, made="just that, its tab closed",
        option="`HUBCULL_NOT_WORK` without `sleep`: row 30a"),
    Row("30a", "terminals", "The same, where `sleep` counts as work", ACTIVE, STOPPED, "terminal",
        made="the same, with `HUBCULL_NOT_WORK=top`", server={"env": {"HUBCULL_NOT_WORK": "top"}}),
    Row("31", "terminals", "`python train.py` in the foreground, silent", ACTIVE, STOPPED, "terminal",
        made="just that, its output in a file, its tab closed"),
    Row("32", "terminals", "A pager, an interpreter, a nested shell left open", IDLE, STOPPED,
        made="`less`, `python` and `bash` in a terminal each, their tabs closed"),
    Row("33", "terminals", "`job &` and `nohup job &`", ACTIVE, STOPPED, "terminal",
        made="`nohup python3 train.py &`, its tab closed"),
    Row("34", "terminals", "A job under setsid", ACTIVE, STOPPED, "detached",
        made="`setsid -f python3 train.py`, its tab closed"),
    Row("34a", "terminals", "A job under tmux or screen", ACTIVE, STOPPED, "pts",
        made="`tmux new-session -d`, its tab closed"),
    Row("35", "terminals", "A terminal is resized and reconnected", IDLE, KEPT,
        made="both, again and again"),
    Row("36", "terminals", "nbconvert runs a notebook in a terminal", ACTIVE, STOPPED, "terminal",
        made="`jupyter nbconvert --execute`, a cell that takes long, its tab closed"),
)  # fmt: skip

_REQUESTS = (
    Row("9", "requests", "Somebody writes markdown and runs nothing", ACTIVE, KEPT, "requests",
        made="saves of a text that grows"),
    Row("27", "requests", "Somebody reloads the page", ACTIVE, KEPT, "requests", made="`GET lab`"),
    Row("45", "requests", "Somebody downloads and uploads files", ACTIVE, KEPT, "requests",
        made="`files/` and `api/contents`, 3 MB and 1 MB"),
    Row("48", "requests", "Monitoring asks `/api/status` and `/metrics`", IDLE, KEPT,
        made="both, and `no_track_activity`, after a look at `lab`"),
    Row("4a", "tabs", "A visible JupyterLab tab, nobody in front of it", IDLE, KEPT,
        made="what such a tab sends, without a browser", option="`visible_tab_grace`, here 45 s"),
    Row("5a", "tabs", "A hidden JupyterLab tab", IDLE, KEPT,
        made="websockets of a kernel and of events, without a browser", server=QUICK_PINGS),
)  # fmt: skip


_APPS = (
    Row("25", "apps", "The status bar of jupyter-resource-usage polls", IDLE, KEPT, need=APP,
        made="`GET api/metrics/v1` after a look at `lab`", option="`visible_tab_grace`, here 45 s",
        server=_with("jupyter_resource_usage")),
    Row("38", "apps", "Somebody clicks in a proxied app", ACTIVE, KEPT, "app", need=APP,
        made="requests through jupyter-server-proxy", server=PROXIED),
    Row("39", "apps", "A proxied app is open and only sends heartbeats", IDLE, KEPT, need=APP,
        made="requests to `app/heartbeat` at an even beat, which nothing excludes", server=PROXIED),
    Row("39a", "apps", "The same without a beat, but excluded by the server's settings", IDLE, KEPT,
        need=APP, made="such requests, with `exclude_last_activity_patterns`", server=PROXIED_EXCLUDED),
    Row("40", "apps", "A stream of events is proxied after the browser has left", IDLE, KEPT, need=APP,
        made="its connection closed, the app goes on", server=PROXIED),
)  # fmt: skip


_EXTENDED = (
    Row("16c", "extensions", "Dask's workers compute after their cell", ACTIVE, STOPPED, "kernel", need=APP,
        made="`LocalCluster` in a notebook, its tab closed", server=_with()),
    Row("16d", "extensions", "Dask's workers have nothing to do", IDLE, STOPPED, need=APP,
        made="`LocalCluster` in a notebook after its work, its tab closed", server=_with()),
    Row("36a", "extensions", "papermill runs a notebook in a terminal", ACTIVE, STOPPED, "terminal", need=APP,
        made="`papermill`, a cell that takes long, its tab closed", server=_with()),
    Row("37", "extensions", "A job of jupyter-scheduler", ACTIVE, STOPPED, "server", need=APP,
        made="`POST scheduler/jobs` of a notebook whose cell computes", server=_with("jupyter_scheduler")),
    Row("42", "extensions", "Somebody chose jupyter-keepalive", ACTIVE, STOPPED, "keepalive", need=APP,
        made="`POST ext-keepalive`; it says so again every 60 s", server=_with("jupyter_keepalive")),
    Row("46", "extensions", "An external kernel prints", ACTIVE, STOPPED, "kernel", need=APP,
        made="a kernel that another program started, in `external_connection_dir`",
        server={"args": ["--ServerApp.allow_external_kernels=True",
                         "--ServerApp.external_connection_dir=external"]}),
)  # fmt: skip

_BROWSER = (
    Row("4", "browser", "A visible JupyterLab tab, nobody in front of it", IDLE, KEPT, need=BROWSER,
        made="JupyterLab's launcher in Chromium", option="`visible_tab_grace`, here 45 s"),
    Row("5", "browser", "A hidden JupyterLab tab", IDLE, KEPT, need=BROWSER,
        made="a notebook in Chromium, its page told that it is hidden", server=QUICK_PINGS),
    Row("6", "browser", "An nbclassic tab, idle", IDLE, KEPT, need=BROWSER,
        made="a notebook of nbclassic in Chromium", server=_with("nbclassic", args=[QUICK_PING])),
    Row("8", "browser", "A laptop asleep with an open tab", IDLE, STOPPED, need=BROWSER,
        made="a notebook in Chromium, all of whose processes are suspended", server=QUICK_PINGS),
    Row("9a", "browser", "Somebody writes markdown in JupyterLab", ACTIVE, KEPT, "requests", need=BROWSER,
        made="words typed into an editor in Chromium, which saves every 5 s"),
    Row("11", "browser", "A tab saves by itself, without an edit", IDLE, KEPT, need=BROWSER,
        made="a notebook in Chromium that may save every 5 s", option="`visible_tab_grace`, here 45 s"),
    Row("43", "browser", "A shared document in which nobody types", IDLE, KEPT, need=BROWSER,
        made="a text in Chromium with jupyter_collaboration, its page told that it is hidden",
        server=_with(*COLLABORATION)),
    Row("44", "browser", "Somebody types in a shared document", ACTIVE, KEPT, "collaboration", need=BROWSER,
        made="words typed into a text in Chromium with jupyter_collaboration", server=_with(*COLLABORATION)),
    Row("41", "dashboards", "A Dask or Bokeh dashboard is open", IDLE, KEPT, need=BROWSER,
        made="a plot that the server moves every second, in Chromium",
        server=_app("python", "-m", "bokeh", "serve", "dashboard.py", "--port", "{port}",
                    "--allow-websocket-origin=*", "--prefix={base_url}app", absolute_url=True)),
    Row("41a", "dashboards", "A Streamlit app is open", IDLE, KEPT, need=BROWSER,
        made="a text that the server writes anew every second, in Chromium",
        server=_app("streamlit", "run", "streamed.py", "--server.port={port}", "--server.headless=true",
                    "--server.enableXsrfProtection=false", "--server.enableCORS=false",
                    "--browser.gatherUsageStats=false")),
    Row("41b", "dashboards", "A Shiny app is open", IDLE, KEPT, need=BROWSER,
        made="a text that the server sends anew every second, in Chromium",
        server=_app("shiny", "run", "--port={port}", "shining.py")),
    Row("12", "browser", "Somebody only reads and scrolls", IDLE, KEPT, need=BROWSER,
        made="a text scrolled in Chromium", option="`visible_tab_grace`, here 45 s"),
)  # fmt: skip

_REPORTED = (
    Row("16b", "reported", "A pool of processes that has nothing to do", IDLE, STOPPED,
        made="`multiprocessing.Pool` after its work, its tab closed"),
    Row("19", "reported", "A cell is paused at a breakpoint", IDLE, KEPT,
        made="`pdb.set_trace()` in an open tab", server=QUICK_PINGS),
    Row("34b", "reported", "A prompt under tmux that waits", IDLE, STOPPED,
        made="`tmux new-session -d bash`, its tab closed"),
    Row("49", "reported", "A cell prints faster than anybody can read, and goes on", ACTIVE, STOPPED,
        "kernel", made="20,000 messages, then silence, its tab closed"),
    Row("51", "reported", "An extension's page polls that nobody knows (jupyterlab-launchpad#78)", IDLE, KEPT,
        made="`GET polled/news` of an extension made for this, after a look at `lab`", server=POLLED,
        need=APP),
    Row("52", "reported", "Somebody's tabs ask a kernel how it is (jupyter_server#1360)", IDLE, KEPT,
        made="`kernel_info`, `comm_info` and `debug` requests, again and again"),
    Row("53", "reported", "A long cell has just ended, nobody has seen it (notebook#3896)", IDLE, STOPPED,
        made="a silent cell of 45 s, its tab closed; the timeout counts from its end"),
    Row("54", "reported", "A forgotten tab connects again and again (jupyterhub#3099)", IDLE, KEPT,
        made="a kernel's websocket, opened and closed"),
    Row("55", "reported", "A long download in a terminal (dandi-hub#279)", ACTIVE, STOPPED, "terminal",
        made="`curl -s` of a file that comes slowly, its tab closed"),
    Row("56", "reported", "A cell loops and sleeps over night (jupyterlab#16860)", ACTIVE, STOPPED, "kernel",
        made="`while True: time.sleep(1)`, its tab closed"),
    Row("57", "reported", "A terminal's tab stays open (jupyter_server_terminals#112)", IDLE, KEPT,
        made="a prompt in an open tab", server=QUICK_PINGS),
    Row("58", "reported", "Somebody watches whether the server will be stopped (coder#12012)", IDLE, STOPPED,
        made="questions to hubcull by its user, again and again"),
    Row("59", "reported", "A notebook starts a job in the background (jupyterlab#12869)", ACTIVE, STOPPED,
        "detached", made="`os.system('nohup python train.py &')`, its cell ended, its tab closed"),
    Row("60", "reported", "A job in a terminal is stopped with Ctrl-Z", IDLE, STOPPED,
        made="`python train.py`, stopped, its tab closed"),
    Row("61", "reported", "A kernel never gets started", IDLE, STOPPED,
        made="a kernel whose program sleeps",
        gap="a kernel that has never answered can not be read, and what can not be read protects"),
    Row("62", "reported", "A slow copy without a terminal", ACTIVE, STOPPED, "detached",
        made="`setsid -f` of a program that writes 0.5 MB/s, its tab closed"),
    Row("63", "reported", "Training under screen is stopped (azure-sdk-for-python#28182)", ACTIVE, STOPPED,
        "pts", made="`screen -dm python train.py`, its tab closed"),
)  # fmt: skip


def _later(number: int, family: str, situation: str, right: Right, why: str = LATER, **more: Any) -> Row:
    return Row(str(number), family, situation, right, not_run=why, **more)


_NOT_RUN = (
    _later(47, "apps", "A kernel on a gateway prints", ACTIVE, need=APP),
    _later(50, "apps", "Somebody works over ssh or VS Code Remote", ACTIVE, need=APP),
)  # fmt: skip


def _order(row: Row) -> tuple[int, str]:
    digits = row.number.rstrip(ascii_lowercase)
    return int(digits), row.number[len(digits) :]


_MADE = (*_KERNELS, *_TERMINALS, *_REQUESTS, *_APPS, *_EXTENDED, *_BROWSER, *_REPORTED)
ROWS: tuple[Row, ...] = tuple(sorted((*_MADE, *_NOT_RUN), key=_order))
