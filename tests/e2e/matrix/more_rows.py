"""The rows that need more than JupyterLab, those that people have reported, and those that are not run."""

from __future__ import annotations

from tests.e2e.matrix.row import Fate, Need, Right, Row
from tests.e2e.matrix.servers import (
    BOKEH,
    COLLABORATION,
    DESKTOP,
    DOCUMENTS,
    EDITOR,
    KEEPALIVE,
    LAB,
    NO_PYTHON,
    ONLY_CELLS,
    POLLED,
    PROXIED,
    QUICK_PING,
    QUICK_PINGS,
    SHINY,
    SSH,
    STARTS_QUICKLY,
    STREAMLIT,
    TMUX,
    setting,
    using,
)

ACTIVE, IDLE = Right.ACTIVE, Right.IDLE
KEPT, STOPPED = Fate.KEPT, Fate.STOPPED
APP, BROWSER = Need.APP, Need.BROWSER

_EXTENDED = (
    Row("16c", "extensions", "Dask's workers compute after their cell", ACTIVE, STOPPED, "kernel", need=APP,
        made="`LocalCluster` in a notebook, its tab closed", server=using()),
    Row("16d", "extensions", "Dask's workers have nothing to do", IDLE, STOPPED, need=APP,
        made="`LocalCluster` in a notebook after its work, its tab closed", server=using()),
    Row("36a", "extensions", "papermill runs a notebook in a terminal", ACTIVE, STOPPED, "terminal", need=APP,
        made="`papermill`, a cell that takes long, its tab closed", server=using()),
    Row("37", "extensions", "A job of jupyter-scheduler", ACTIVE, STOPPED, "server", need=APP,
        made="`POST scheduler/jobs` of a notebook whose cell computes", server=using("jupyter_scheduler")),
    Row("42", "extensions", "Somebody chose jupyter-keepalive", ACTIVE, KEPT, "keepalive", need=APP,
        made="`POST ext-keepalive`, its beat of 60 s scaled to 5 s", server=KEEPALIVE),
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
        made="a notebook of nbclassic in Chromium", server=using("nbclassic", args=[QUICK_PING])),
    Row("8", "browser", "A laptop asleep with an open tab", IDLE, STOPPED, need=BROWSER,
        made="a notebook in Chromium, all of whose processes are suspended", server=QUICK_PINGS),
    Row("9a", "browser", "Somebody writes markdown in JupyterLab", ACTIVE, KEPT, "requests", need=BROWSER,
        made="words typed into an editor in Chromium, which saves every 5 s"),
    Row("11", "browser", "A tab saves by itself, without an edit", IDLE, KEPT, need=BROWSER,
        made="a notebook in Chromium that may save every 5 s", option="`visible_tab_grace`, here 45 s"),
    Row("43", "browser", "A shared document in which nobody types", IDLE, KEPT, need=BROWSER,
        made="a text in Chromium with jupyter_collaboration, its page told that it is hidden",
        server=using(*COLLABORATION)),
    Row("44", "browser", "Somebody types in a shared document", ACTIVE, KEPT, "requests", need=BROWSER,
        made="words typed into such a text, for longer than its visible tab alone is worth",
        server=using(*COLLABORATION)),
    Row("41", "dashboards", "A Dask or Bokeh dashboard is open", IDLE, KEPT, need=BROWSER,
        made="a plot that the server moves every second, in Chromium", option="`watch_apps`: row 41c",
        server=BOKEH),
    Row("41a", "dashboards", "A Streamlit app is open", IDLE, KEPT, need=BROWSER,
        made="a text that the server writes anew every second, in Chromium", server=STREAMLIT),
    Row("41b", "dashboards", "A Shiny app is open", IDLE, KEPT, need=BROWSER,
        made="a text that the server sends anew every second, in Chromium", server=SHINY),
    Row("41d", "dashboards", "Dask's own dashboard is open", IDLE, KEPT, need=BROWSER,
        made="`LocalCluster` in a notebook, without work, its page in Chromium", server=using()),
    Row("12", "browser", "Somebody only reads and scrolls", IDLE, KEPT, need=BROWSER,
        made="a text scrolled in Chromium", option="`visible_tab_grace`, here 45 s: row 12a"),
)  # fmt: skip

_REPORTED = (
    Row("16b", "reported", "A pool of processes that has nothing to do", IDLE, STOPPED,
        made="`multiprocessing.Pool` after its work, its tab closed"),
    Row("19", "reported", "A cell is paused at a breakpoint", IDLE, KEPT,
        made="what JupyterLab's debugger sends, up to the halt and a look at its variables, in an open tab",
        server=QUICK_PINGS, option="`cull_arbiter_hook`: row 19a"),
    Row("19b", "reported", "A cell waits at the prompt of pdb", IDLE, KEPT,
        made="`pdb.set_trace()` in an open tab", server=QUICK_PINGS),
    Row("19c", "reported", "A cell was left at a breakpoint", IDLE, STOPPED,
        made="row 19, its tab closed then"),
    Row("34b", "reported", "A prompt under tmux that waits", IDLE, STOPPED,
        made="`tmux new-session -d bash`, its tab closed", programs=TMUX),
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
        made="`curl -s` of a file that comes slowly, its tab closed", programs={"curl": "curl"}),
    Row("56", "reported", "A cell loops and sleeps over night (jupyterlab#16860)", ACTIVE, STOPPED, "kernel",
        made="`while True: time.sleep(1)`, its tab closed"),
    Row("57", "reported", "A terminal's tab stays open (jupyter_server_terminals#112)", IDLE, KEPT,
        made="a prompt in an open tab", server=QUICK_PINGS),
    Row("58", "reported", "Somebody watches whether the server will be stopped (coder#12012)", IDLE, STOPPED,
        made="questions to hubcull by its user, again and again", server=LAB),
    Row("59", "reported", "A notebook starts a job in the background (jupyterlab#12869)", ACTIVE, STOPPED,
        "detached", made="`os.system('nohup python train.py &')`, its cell ended, its tab closed"),
    Row("60", "reported", "A job in a terminal is stopped with Ctrl-Z", IDLE, STOPPED,
        made="`python train.py`, stopped, its tab closed"),
    Row("61", "reported", "A kernel never gets started", IDLE, STOPPED,
        made="a kernel whose program sleeps, with `HUBCULL_KERNEL_START_LIMIT=15`, scaled as the timeout is",
        server=STARTS_QUICKLY),
    Row("61a", "reported", "A kernel is starting, as one that waits for a cluster", ACTIVE, STOPPED, "doubt",
        made="the same, with the default of 600 s"),
    Row("62", "reported", "A slow copy without a terminal", ACTIVE, STOPPED, "detached",
        made="`setsid -f` of a program that writes 0.5 MB/s, its tab closed"),
    Row("63", "reported", "Training under screen is stopped (azure-sdk-for-python#28182)", ACTIVE, STOPPED,
        "pts", made="`screen -dm python train.py`, its tab closed", programs={"screen": "screen"}),
)  # fmt: skip

_ELSEWHERE = (
    Row("47", "elsewhere", "A kernel on a gateway prints", ACTIVE, STOPPED, "kernel", need=APP,
        made="a cell of jupyter-kernel-gateway, its tab closed"),
    Row("47a", "elsewhere", "A kernel on a gateway does nothing", IDLE, STOPPED, need=APP,
        made="a cell of jupyter-kernel-gateway run to its end, its tab closed"),
    Row("50", "elsewhere", "Somebody works over ssh", ACTIVE, STOPPED, "pts", need=APP,
        made="words typed at a prompt of an sshd that the server started",
        option="`watch_background`: row 50c", programs=SSH),
    Row("50a", "elsewhere", "A job goes on over ssh, nobody types", ACTIVE, STOPPED, "server", need=APP,
        made="`ssh host python train.py`, silent", programs=SSH),
    Row("50b", "elsewhere", "An idle prompt over ssh, its connection kept alive", IDLE, KEPT, need=APP,
        made="the same through jupyter-server-proxy, with `ServerAliveInterval`", programs=SSH),
    Row("65", "elsewhere", "psql waits for its query", ACTIVE, STOPPED, "terminal", need=APP,
        made="`SELECT pg_sleep(900)` of a real PostgreSQL, its tab closed"),
    Row("65a", "elsewhere", "psql's prompt is open, nobody types", IDLE, STOPPED, need=APP,
        made="a query with its result, its tab closed"),
    Row("65b", "elsewhere", "psql shows a long result, nobody turns the page", IDLE, STOPPED, need=APP,
        made="a query of 100,000 rows in psql's pager, its tab closed"),
    Row("68", "elsewhere", "A kernel on another machine waits in its cell", ACTIVE, STOPPED, "kernel",
        need=APP, made="a cell that sleeps, its kernel started by gateway_provisioners over ssh, tab closed",
        programs=SSH),
    Row("68a", "elsewhere", "A kernel on another machine does nothing", IDLE, STOPPED, need=APP,
        made="the same with a cell run to its end", programs=SSH),
)  # fmt: skip

_VNC = {
    "vncserver": "tigervnc-standalone-server",
    "openbox": "openbox",
    "xterm": "xterm",
    "xclock": "x11-apps",
    "xev": "x11-utils",
}
_DESKTOPS = (
    Row("38c", "desktops", "Somebody works on a desktop in the browser", ACTIVE, KEPT, "app", need=BROWSER,
        made="pointer and keys in noVNC in Chromium, with jupyter-remote-desktop-proxy and TigerVNC",
        server=DESKTOP, programs=_VNC),
    Row("38d", "desktops", "A desktop in the browser is open, nobody in front of it", IDLE, KEPT,
        need=BROWSER, made="the same untouched: a clock goes, a program writes, and copies, every 0.5 s",
        server=DESKTOP, programs=_VNC),
)  # fmt: skip

_DOCUMENTS = (
    Row("64", "documents", "A silent cell that the server itself runs (jupyter_server_documents)", ACTIVE,
        STOPPED, "kernel", need=BROWSER, made="Shift+Enter in Chromium, its tab closed", server=DOCUMENTS),
    Row("64a", "documents", "A notebook that the server holds, in which nobody types", IDLE, KEPT,
        need=BROWSER, made="the same with a cell that has ended, its page told that it is hidden",
        server=DOCUMENTS),
    Row("64b", "edits", "Somebody types in a notebook that the server holds", ACTIVE, KEPT, "collaboration",
        need=BROWSER, made="words typed into its cell, with `visible_tab_grace` of 0 (no polls count)",
        server=DOCUMENTS),
)  # fmt: skip

_EDITORS = (
    Row("38b", "editors", "Somebody types in code-server", ACTIVE, KEPT, "app", need=BROWSER,
        made="words typed into a file in Chromium, with code-server 4.100.3 behind jupyter-server-proxy",
        server=EDITOR, built="code-server"),
    Row("38e", "editors", "A page of code-server is open, nobody in front of it", IDLE, KEPT, need=BROWSER,
        made="the same untouched, its search for open ports among a hundred processes more", server=EDITOR,
        built="code-server"),
)  # fmt: skip

_CHOICES = (
    Row("2a", "choices", "A silent cell, where work counts for a short time only", IDLE, STOPPED,
        made="row 2, with `max_busy` of 10 s"),
    Row("4b", "choices", "A visible tab, where readers have ten minutes", ACTIVE, KEPT, "requests",
        made="row 4a, with `visible_tab_grace` of 600 s", server=LAB),
    Row("12a", "choices", "Somebody only reads, where readers have ten minutes", ACTIVE, KEPT, "requests",
        need=BROWSER, made="row 12, with `visible_tab_grace` of 600 s"),
    Row("14a", "choices", "An animated widget, where the operator keeps such pages", ACTIVE, KEPT, "hook",
        made="row 14, with a `cull_arbiter_hook` that looks at `last_activity`",
        server={**QUICK_PINGS, "profile": "shows"}),
    Row("15a", "choices", "A thread prints after its cell, where only cells count", IDLE, KEPT,
        made="row 15, with `HUBCULL_WATCH_BACKGROUND=false`", server=ONLY_CELLS),
    Row("16e", "choices", "A thread computes after its cell, where only cells count", IDLE, STOPPED,
        made="row 16, with `HUBCULL_WATCH_BACKGROUND=false`", server=ONLY_CELLS),
    Row("18a", "choices", "`input()` waits, where the operator wants it to be answered", ACTIVE, KEPT, "hook",
        made="row 18, with a `cull_arbiter_hook` that looks for `kernel_input`", server=QUICK_PINGS),
    Row("19a", "choices", "A breakpoint, where the operator wants it to be kept", ACTIVE, KEPT, "hook",
        made="row 19, with a `cull_arbiter_hook` that looks for `kernel_input`", server=QUICK_PINGS),
    Row("27a", "choices", "Somebody reloads the page, where requests do not count", IDLE, KEPT,
        made="row 27, with `HUBCULL_WATCH_REQUESTS=false`",
        server={**LAB, **setting("watch_requests", "false")}),
    Row("33a", "choices", "`nohup job &`, where its program does not count", IDLE, STOPPED,
        made="row 33, with Python in `HUBCULL_NOT_WORK`", server=NO_PYTHON),
    Row("34c", "choices", "A job under setsid, where only cells and terminals count", IDLE, STOPPED,
        made="row 34, with `HUBCULL_WATCH_BACKGROUND=false`", server=ONLY_CELLS),
    Row("39b", "choices", "Heartbeats of a proxied app, where all it does counts", ACTIVE, KEPT, "requests",
        need=APP, made="row 39, with `HUBCULL_WATCH_APPS=false`",
        server={**PROXIED, **setting("watch_apps", "false")}),
    Row("41c", "choices", "A Bokeh dashboard, where all it does counts", ACTIVE, KEPT, "setting",
        need=BROWSER, made="row 41, with `HUBCULL_WATCH_APPS=false`",
        server={**BOKEH, **setting("watch_apps", "false")}),
    Row("50c", "choices", "Somebody works over ssh, where only cells and terminals count", IDLE, STOPPED,
        need=APP, made="row 50, with `HUBCULL_WATCH_BACKGROUND=false`", programs=SSH),
)  # fmt: skip


def _not_run(number: str, situation: str, right: Right, why: str) -> Row:
    return Row(number, "", situation, right, not_run=why)


_NOT_RUN = (
    _not_run("38a", "Somebody clicks in RStudio", ACTIVE, "no package registry has RStudio Server"),
    _not_run("50d", "Somebody works with VS Code Remote", ACTIVE,
             "its server comes from its maker's own address only"),
)  # fmt: skip

MORE: tuple[Row, ...] = (
    *(*_EXTENDED, *_BROWSER, *_REPORTED, *_ELSEWHERE),
    *(*_DESKTOPS, *_DOCUMENTS, *_EDITORS, *_CHOICES, *_NOT_RUN),
)
