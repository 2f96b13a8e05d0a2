"""All rows of the matrix: the situations, and what is right in each; here the first of them."""

from __future__ import annotations

from string import ascii_lowercase

from tests.e2e.matrix.more_rows import MORE
from tests.e2e.matrix.row import Fate, Need, Right, Row
from tests.e2e.matrix.servers import LAB, PROCPS, PROXIED, PROXIED_EXCLUDED, QUICK_PINGS, TMUX, setting, using

ACTIVE, IDLE = Right.ACTIVE, Right.IDLE
KEPT, STOPPED = Fate.KEPT, Fate.STOPPED
APP = Need.APP

_KERNELS = (
    Row("1", "kernels", "A cell computes and prints nothing", ACTIVE, STOPPED, "kernel",
        made="a cell that computes, its tab closed"),
    Row("1a", "kernels", "The same, where work is shown to others", ACTIVE, KEPT, "kernel",
        made="row 1, with `HUBCULL_PUBLISH_WORK=true`", server=setting("publish_work", "true")),
    Row("2", "kernels", "A cell waits silently, as for a database or Spark", ACTIVE, STOPPED, "kernel",
        option="`max_busy` caps it: row 2a", made="a cell that sleeps, its tab closed"),
    Row("3", "kernels", "A cell prints", ACTIVE, KEPT, "kernel",
        made="a cell that prints every second, its tab closed"),
    Row("3a", "kernels", "A cell prints, the tab open", ACTIVE, KEPT, "kernel",
        made="a cell that prints every second, in an open tab"),
    Row("7", "kernels", "The tab is closed, a kernel is left that does nothing", IDLE, STOPPED,
        made="a cell run to its end, its tab closed"),
    Row("10", "kernels", "Somebody types in a notebook and runs nothing", ACTIVE, KEPT, "kernel",
        made="requests for completions, again and again"),
    Row("13", "kernels", "Somebody moves a widget", ACTIVE, KEPT, "kernel",
        made="messages of a widget to its kernel, again and again"),
    Row("14", "kernels", "A kernel's thread animates a widget", IDLE, KEPT,
        made="a thread that sends messages to an open tab, its cell ended", server=QUICK_PINGS,
        option="`cull_arbiter_hook`: row 14a"),
    Row("15", "kernels", "A thread computes and prints after its cell has ended", ACTIVE, KEPT, "kernel",
        made="a thread that does, its tab closed", option="`watch_background`: row 15a"),
    Row("15b", "kernels", "A thread prints after its cell has ended, and does not compute", IDLE, KEPT,
        made="a thread that prints every second, its tab closed"),
    Row("16", "kernels", "A thread that a cell started computes silently after it", ACTIVE, STOPPED,
        "kernel", made="a thread that computes, its cell ended, its tab closed",
        option="`watch_background`: row 16e"),
    Row("16a", "kernels", "A process that a cell started computes silently after it", ACTIVE, STOPPED,
        "kernel", made="`subprocess.Popen`, its cell ended, its tab closed"),
    Row("17", "kernels", "`%%bash` or `!command` runs long", ACTIVE, STOPPED, "kernel",
        made="`%%bash` with a loop, its tab closed"),
    Row("18", "kernels", "`input()` waits for an answer", IDLE, KEPT, made="`input()` in an open tab",
        server=QUICK_PINGS, option="`cull_arbiter_hook`: row 18a"),
    Row("18b", "kernels", "`input()` waits for an answer, the tab closed", IDLE, STOPPED,
        made="row 18, its tab closed then"),
    Row("18c", "kernels", "`input()` asks when the tab has been closed", IDLE, STOPPED,
        made="a cell that sleeps first, its tab closed meanwhile"),
    Row("18d", "kernels", "`input()` asks a page that is gone, while another is open", IDLE, KEPT,
        made="row 18c, with a second tab at the same kernel", server=QUICK_PINGS, wrong_signal="kernel",
        gap="The question goes to that page only, and nobody hears it: the cell looks like one that waits for"
        " a database. It counts as work, up to `max_busy`."),
    Row("20", "kernels", "A kernel crashed in mid-cell and was restarted", IDLE, STOPPED,
        made="the kernel killed during its cell, restarted by the server"),
    Row("21", "kernels", "Somebody restarts a kernel in mid-cell", ACTIVE, KEPT, "requests",
        made="restarts, the first in mid-cell, the tab closed",
        also="kernel"),  # one that was restarted counts as at work until it is heard: longer than the request
    Row("22", "kernels", "A kernel is dead after five restarts", IDLE, STOPPED,
        made="the kernel killed whenever it was restarted, then a look at `lab`", server=LAB),
    Row("23", "kernels", "A kernel started over REST, with no websocket, does nothing", IDLE, STOPPED,
        made="a kernel so started, then a file saved"),
    Row("24", "kernels", "A client without websocket runs a cell", ACTIVE, STOPPED, "kernel",
        made="a client at the kernel's own ports"),
    Row("26", "kernels", "The kernel panel of jupyter-resource-usage asks during a cell", ACTIVE, KEPT,
        "kernel", made="`usage_request`, again and again, in an open tab"),
)  # fmt: skip

_TERMINALS = (
    Row("28", "terminals", "A shell prompt that waits", IDLE, STOPPED, made="a command, then nothing"),
    Row("29", "terminals", "`top` or `watch` runs, the tab open", IDLE, KEPT, made="`top` in an open tab",
        programs=PROCPS),
    Row("29a", "terminals", "`top` or `watch` runs, the tab closed", IDLE, STOPPED,
        made="`watch date`, its tab closed", programs=PROCPS),
    Row("29b", "terminals", "A log is followed through a filter, nobody in front of it", IDLE, KEPT,
        made="`tail -f log \\| grep line` in an open tab, while the log grows"),
    Row("29c", "terminals", "A program of somebody's own follows a log", ACTIVE, STOPPED, "terminal",
        made="`tail -f log \\| python3 collect.py`, while the log grows, its tab closed"),
    Row("30", "terminals", "`sleep 9999` in the foreground", IDLE, STOPPED, made="just that, its tab closed",
        option="`HUBCULL_NOT_WORK` without `sleep`: row 30a"),
    Row("30a", "terminals", "The same, where `sleep` counts as work", ACTIVE, STOPPED, "terminal",
        made="the same, with `HUBCULL_NOT_WORK=top`", server={"env": {"HUBCULL_NOT_WORK": "top"}}),
    Row("31", "terminals", "`python train.py` in the foreground, silent", ACTIVE, STOPPED, "terminal",
        made="just that, its output in a file, its tab closed"),
    Row("32", "terminals", "A pager, an editor, an interpreter, a nested shell left open", IDLE, STOPPED,
        made="`less`, `vi`, `python` and `bash` in a terminal each, their tabs closed",
        programs={"less": "less", "vi": "vim-tiny"}),
    Row("33", "terminals", "`nohup job &`; `job &` is row 59", ACTIVE, STOPPED, "terminal",
        made="`nohup python3 train.py &`, its tab closed", option="`HUBCULL_NOT_WORK`: row 33a"),
    Row("34", "terminals", "A job under setsid", ACTIVE, STOPPED, "detached",
        made="`setsid -f python3 train.py`, its tab closed", option="`watch_background`: row 34c"),
    Row("34a", "terminals", "A job under tmux; under screen it is row 34d", ACTIVE, STOPPED, "pts",
        made="`tmux new-session -d`, its tab closed", programs=TMUX),
    Row("35", "terminals", "A terminal is resized and reconnected", IDLE, KEPT,
        made="both, again and again"),
    Row("36", "terminals", "nbconvert runs a notebook in a terminal", ACTIVE, STOPPED, "terminal",
        made="`jupyter nbconvert --execute`, a cell that takes long, its tab closed"),
    Row("66", "terminals", "A slow copy in a terminal", ACTIVE, STOPPED, "terminal",
        made="`rsync --bwlimit`, its tab closed", programs={"rsync": "rsync"}),
    Row("67", "terminals", "A build whose recipe waits, silent and without a processor", ACTIVE, STOPPED,
        "terminal", made="`make` with a recipe that waits for a job on another machine, its tab closed"),
)  # fmt: skip

_REQUESTS = (
    Row("9", "requests", "Somebody writes markdown and runs nothing", ACTIVE, KEPT, "requests",
        made="saves of a text that grows"),
    Row("27", "requests", "Somebody reloads the page", ACTIVE, KEPT, "requests", made="`GET lab`",
        option="`watch_requests`: row 27a", server=LAB),
    Row("45", "requests", "Somebody downloads and uploads files", ACTIVE, KEPT, "requests",
        made="`files/` and `api/contents`, 3 MB and 1 MB"),
    Row("45a", "requests", "One download takes longer than the timeout", ACTIVE, STOPPED, "requests",
        made="`files/` of 200 MB, of which 0.25 MB are read a second"),
    Row("45b", "requests", "A download was begun, and is neither read nor given up", IDLE, STOPPED,
        made="the same, of which no more is read; its connection stays open"),
    Row("45c", "requests", "One upload takes longer than the timeout", ACTIVE, KEPT, "requests",
        made="`PUT api/contents` of 200 MB, of which 0.25 MB are sent a second"),
    Row("45d", "requests", "A download from a proxied app takes longer than the timeout", ACTIVE, STOPPED,
        "app", made="60 MB through jupyter-server-proxy, of which 0.25 MB are read a second", server=PROXIED),
    Row("48", "requests", "Monitoring asks `/api/status` and `/metrics`", IDLE, KEPT,
        made="both, and `no_track_activity`, after a look at `lab`", server=LAB),
    Row("4a", "tabs", "A visible JupyterLab tab, nobody in front of it", IDLE, KEPT,
        made="what such a tab sends, without a browser", option="`visible_tab_grace`, here 45 s: row 4b",
        server=LAB),
    Row("5a", "tabs", "A hidden JupyterLab tab", IDLE, KEPT,
        made="a cell, then the websockets of its kernel and of events alone, without a browser",
        server=QUICK_PINGS),
)  # fmt: skip


_APPS = (
    Row("25", "apps", "The status bar of jupyter-resource-usage polls", IDLE, KEPT, need=APP,
        made="`GET api/metrics/v1` after a look at `lab`", option="`visible_tab_grace`, here 45 s",
        server=using("jupyter_resource_usage")),
    Row("38", "apps", "Somebody clicks in a proxied app", ACTIVE, KEPT, "app", need=APP,
        made="requests through jupyter-server-proxy", server=PROXIED),
    Row("39", "apps", "A proxied app is open and only sends heartbeats", IDLE, KEPT, need=APP,
        made="requests to `app/heartbeat` at an even beat, which nothing excludes", server=PROXIED,
        option="`watch_apps`: row 39b"),
    Row("39a", "apps", "The same without a beat, but excluded by the server's settings", IDLE, KEPT,
        need=APP, made="such requests, with `exclude_last_activity_patterns`", server=PROXIED_EXCLUDED),
    Row("40", "apps", "A stream of events is proxied after the browser has left", IDLE, KEPT, need=APP,
        made="its connection closed, the app goes on", server=PROXIED),
)  # fmt: skip


def _order(row: Row) -> tuple[int, str]:
    digits = row.number.rstrip(ascii_lowercase)
    return int(digits), row.number[len(digits) :]


ROWS: tuple[Row, ...] = tuple(sorted((*_KERNELS, *_TERMINALS, *_REQUESTS, *_APPS, *MORE), key=_order))
