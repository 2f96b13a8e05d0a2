"""The extension's settings: each with unit, default and reason, from a file or the environment.

``c.HubcullExtension.<name>`` in a Jupyter configuration file wins over the environment
variable ``HUBCULL_<NAME>`` that a spawner may set. It knows nothing of what uses them.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable
from typing import Any, TypeVar

from traitlets import Bool, Dict, Float, List, Unicode, default
from traitlets.config import Configurable

_T = TypeVar("_T")
_SHORTEST = 0.5
"""Seconds: a look that never ends would slow the server that we only want to watch."""
_WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


class HubcullSettings(Configurable):
    """What an administrator may set; see each trait's help."""

    log: logging.Logger
    """The application's, into which this is mixed."""

    service_url = Unicode(
        help="""Where hubcull's service is, as seen from this server, for example
        http://proxy-public/services/hubcull/. Default: HUBCULL_URL, else what JUPYTERHUB_PUBLIC_HUB_URL
        leads to, else empty, and then the extension does nothing. Never guessed: reports carry the
        server's own token."""
    ).tag(config=True)
    watch_kernels = Bool(
        help="""Whether to watch kernels: running cells and requests. Default: True. Off, a silent cell does
        not keep its server."""
    ).tag(config=True)
    kernel_start_limit = Float(
        min=0,
        help="""Seconds after which a kernel that has never said anything is taken for stuck in its start, and
        protects no more than any process that does nothing. Default: 600. 0 for never.""",
    ).tag(config=True)
    watch_terminals = Bool(
        help="""Whether to watch terminals: keystrokes and jobs. Default: True. Linux only; switch it off on
        another platform, where an open terminal would otherwise be reported as a source that failed."""
    ).tag(config=True)
    watch_requests = Bool(
        help="""Whether to watch requests and websockets by their handler's class. Default: True. Off, a
        person who only edits files is not seen."""
    ).tag(config=True)
    watch_websockets = Bool(
        help="""Whether to say how many browsers hold a websocket, and since when only pings went over any.
        Default: True. It is worth nothing. Needs watch_requests."""
    ).tag(config=True)
    watch_background = Bool(
        help="""Whether to watch for work outside cells and terminals: what kernels do after their cells,
        detached jobs, tmux and the like. Default: True, for it only ever protects. Linux only; elsewhere it
        does nothing."""
    ).tag(config=True)
    watch_gpus = Bool(
        help="""Whether to count what processes in the background use of NVIDIA's GPUs. Default: True. None is
        asked that no process of the server has open. Needs watch_background."""
    ).tag(config=True)
    watch_network = Bool(
        help="""Whether to count what processes in the background exchange with other machines over TCP.
        Default: True, for it only ever protects. Needs watch_background."""
    ).tag(config=True)
    watch_apps = Bool(
        help="""Whether to tell, for each app behind jupyter-server-proxy, what people do there from what its
        page does by itself. Default: True. Off, the proxy's own word is taken, by which every heartbeat,
        ping and pushed event is activity."""
    ).tag(config=True)
    app_heartbeats = List(
        Unicode(),
        help="""Regular expressions; a request to an app behind jupyter-server-proxy is no activity if one is
        found in its path behind the app's own address. Default: what some apps' pages are known to ask for by
        themselves. What keeps a regular beat needs no entry. In the environment: with commas between.""",
    ).tag(config=True)
    watch_collaboration = Bool(
        help="""Whether to tell edits of shared documents from what their pages say. Default: True.
        Off, each message of a shared document is taken for a person, also from a hidden tab."""
    ).tag(config=True)
    watch_keepalive = Bool(
        help="""Whether to take a wish by jupyter-keepalive as work that goes on, up to max_busy.
        Default: True. Off, its own word counts, which has no cap."""
    ).tag(config=True)
    watch_plugins = Bool(
        help="""Whether to ask packages that have signals of their own, found by the entry point group
        hubcull.signals. Default: True."""
    ).tag(config=True)
    watch_app_files = Bool(
        help="""Whether to read the files in which RStudio says that R computes, and code-server that a
        browser is connected. Default: True."""
    ).tag(config=True)
    app_checks = List(
        Dict(),
        help="""Apps that say of themselves whether they are used, each a dictionary with app, its name; url,
        file or command; and if need be expression, content, means and timeout. Default: none. In the
        environment: a list in JSON.""",
    ).tag(config=True)
    watch_interplay = Bool(
        help="""Whether to say, in reports and in the log, which cullers this server has itself.
        Default: True. Nothing is changed about them."""
    ).tag(config=True)
    publish_work = Bool(
        help="""Whether to show our clock of work as the server's own activity, so that the Hub's
        last_activity, and cullers that go by it, see a silent cell. Default: False, for it makes a
        server look active to all of them without any cap."""
    ).tag(config=True)
    watch_foreign = Bool(
        help="""Whether to pass on what other extensions register as activity. Default: True, for what we do
        not know protects."""
    ).tag(config=True)
    not_work = List(
        Unicode(),
        help="""Names of programs that are never work. Default: sleep, pagers, editors, monitors
        and the like, which may stay open for days. In the environment: names with commas between.""",
    ).tag(config=True)
    sample_interval = Float(
        min=_SHORTEST,
        help="""Seconds between two looks at kernels and terminals, and at what runs in the background while
        something does. Default: 5. A look costs some milliseconds while a terminal is open, next to nothing
        otherwise; a job shorter than this may go unseen.""",
    ).tag(config=True)
    first_report_within = Float(
        min=0,
        help="""Seconds after the start within which the first report is sent, at a random moment. Default: 5,
        so that a service knows of the extension early and many servers do not report at once.""",
    ).tag(config=True)

    default_not_work: tuple[str, ...] = ()
    default_app_heartbeats: tuple[str, ...] = ()
    """The lists that apply unless configured; the owner of each list sets it."""

    @default("watch_kernels")
    def _default_watch_kernels(self) -> bool:
        return self._from_environment("watch_kernels", _boolean, True)

    @default("kernel_start_limit")
    def _default_kernel_start_limit(self) -> float:
        return self._from_environment("kernel_start_limit", _limit, 600.0)

    @default("watch_terminals")
    def _default_watch_terminals(self) -> bool:
        return self._from_environment("watch_terminals", _boolean, True)

    @default("watch_requests")
    def _default_watch_requests(self) -> bool:
        return self._from_environment("watch_requests", _boolean, True)

    @default("watch_websockets")
    def _default_watch_websockets(self) -> bool:
        return self._from_environment("watch_websockets", _boolean, True)

    @default("watch_background")
    def _default_watch_background(self) -> bool:
        return self._from_environment("watch_background", _boolean, True)

    @default("watch_gpus")
    def _default_watch_gpus(self) -> bool:
        return self._from_environment("watch_gpus", _boolean, True)

    @default("watch_network")
    def _default_watch_network(self) -> bool:
        return self._from_environment("watch_network", _boolean, True)

    @default("watch_apps")
    def _default_watch_apps(self) -> bool:
        return self._from_environment("watch_apps", _boolean, True)

    @default("app_heartbeats")
    def _default_app_heartbeats(self) -> list[str]:
        return self._from_environment("app_heartbeats", _names, list(self.default_app_heartbeats))

    @default("watch_collaboration")
    def _default_watch_collaboration(self) -> bool:
        return self._from_environment("watch_collaboration", _boolean, True)

    @default("watch_keepalive")
    def _default_watch_keepalive(self) -> bool:
        return self._from_environment("watch_keepalive", _boolean, True)

    @default("watch_plugins")
    def _default_watch_plugins(self) -> bool:
        return self._from_environment("watch_plugins", _boolean, True)

    @default("watch_app_files")
    def _default_watch_app_files(self) -> bool:
        return self._from_environment("watch_app_files", _boolean, True)

    @default("app_checks")
    def _default_app_checks(self) -> list[dict[str, Any]]:
        return self._from_environment("app_checks", _objects, [])

    @default("watch_interplay")
    def _default_watch_interplay(self) -> bool:
        return self._from_environment("watch_interplay", _boolean, True)

    @default("publish_work")
    def _default_publish_work(self) -> bool:
        return self._from_environment("publish_work", _boolean, False)

    @default("watch_foreign")
    def _default_watch_foreign(self) -> bool:
        return self._from_environment("watch_foreign", _boolean, True)

    @default("not_work")
    def _default_not_work(self) -> list[str]:
        return self._from_environment("not_work", _names, list(self.default_not_work))

    @default("sample_interval")
    def _default_sample_interval(self) -> float:
        return self._from_environment("sample_interval", _seconds, 5.0)

    @default("first_report_within")
    def _default_first_report_within(self) -> float:
        return self._from_environment("first_report_within", _seconds, 5.0)

    def found_service_url(self) -> str:
        """Return the service's address with a slash at its end, or an empty text where nobody named one."""
        url = (
            self.service_url or os.environ.get("HUBCULL_SERVICE_URL", "") or os.environ.get("HUBCULL_URL", "")
        )
        if not url:
            hub = os.environ.get("JUPYTERHUB_PUBLIC_HUB_URL", "")
            url = f"{hub.rstrip('/').removesuffix('/hub')}/services/hubcull/" if hub else ""
        if url and not url.startswith(("http://", "https://")):
            self.log.warning(
                "hubcull: the service's address %r is no http:// or https:// address; "
                "set HubcullExtension.service_url or HUBCULL_URL to one",
                url,
            )
            return ""
        return url if not url or url.endswith("/") else f"{url}/"

    def _from_environment(self, name: str, read: Callable[[str], _T], otherwise: _T) -> _T:
        """Return a setting from its variable; a value that can not be read is named, and the default used."""
        variable = f"HUBCULL_{name.upper()}"
        text = os.environ.get(variable)
        if text is None or not text.strip():
            return otherwise
        try:
            return read(text.strip())
        except ValueError as error:
            self.log.warning(
                "hubcull: %s is %r; expected %s; using the default, %r", variable, text, error, otherwise
            )
            return otherwise


def _boolean(text: str) -> bool:
    try:
        return _WORDS[text.lower()]
    except KeyError:
        raise ValueError("true or false") from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not _SHORTEST <= seconds < math.inf:
        raise ValueError(f"a number of seconds, {_SHORTEST} or more")
    return seconds


def _limit(text: str) -> float:
    if text in {"0", "0.0"}:
        return 0.0
    try:
        return _seconds(text)
    except ValueError as error:
        raise ValueError(f"{error}, or 0 for none") from None


def _objects(text: str) -> list[dict[str, Any]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError("a list of objects in JSON")
    return value


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]
