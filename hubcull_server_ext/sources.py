"""Which sources of signals there are, and what each is handed; which are on.

It knows all of them by their constructors and none by what it sees.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from hubcull_server_ext import clock
from hubcull_server_ext.config import HubcullSettings
from hubcull_server_ext.signals import apps, keepalive
from hubcull_server_ext.signals.adapters import AdaptersSource, data_home
from hubcull_server_ext.signals.apps import AppsSource, is_proxied
from hubcull_server_ext.signals.background import Around, BackgroundSource
from hubcull_server_ext.signals.collaboration import CollaborationSource, is_room
from hubcull_server_ext.signals.foreign import ForeignSource
from hubcull_server_ext.signals.gateway_kernels import GatewayKernels, are_remote
from hubcull_server_ext.signals.gpu import GpuCounter
from hubcull_server_ext.signals.hook import RequestHook
from hubcull_server_ext.signals.interplay import InterplaySource
from hubcull_server_ext.signals.keepalive import KeepaliveSource
from hubcull_server_ext.signals.kernel_processes import kernel_processes
from hubcull_server_ext.signals.kernels import KernelsSource
from hubcull_server_ext.signals.plugins import PluginsSource
from hubcull_server_ext.signals.processes import ProcessTable
from hubcull_server_ext.signals.requests import RequestsSource
from hubcull_server_ext.signals.sockets import SocketBytes
from hubcull_server_ext.signals.terminals import TerminalsSource
from hubcull_server_ext.signals.ttys import Clocks
from hubcull_server_ext.signals.work_clock import WorkClock
from hubcull_server_ext.snapshot import SignalSource

_SPEAKS = timedelta(seconds=2)
_Made = dict[str, tuple[bool, SignalSource]]


class Sources(NamedTuple):
    """The sources that are on, by name; the names of the others; the clock of work, if it is shown."""

    on: dict[str, SignalSource]
    off: list[str]
    work_clock: WorkClock | None


def make_sources(options: HubcullSettings, server: Any, changed: Callable[[], None]) -> Sources:
    """Make the sources of a running server; ``changed`` is called when something happened in one."""
    settings, interval = server.web_app.settings, options.sample_interval
    clocks, table = Clocks(clock.monotonic, clock.wall, clock.boottime), ProcessTable()
    manager = settings["kernel_manager"]
    kernels = _kernels(manager, settings.get("event_logger"), changed, options.kernel_start_limit)
    terminals = TerminalsSource(settings, clocks, options.not_work, changed, table)
    around = Around(lambda: kernel_processes(manager, kernels.free_since), terminals.shells)
    gpus = GpuCounter(table, lambda: background.alone)
    counters = (gpus, SocketBytes(table, os.getpid(), os.geteuid()))
    background = BackgroundSource(
        table, clocks, around, os.environ, options.not_work, interval, changed, counters
    )
    made: _Made = {
        "kernels": (options.watch_kernels, kernels),
        "terminals": (options.watch_terminals, terminals),
        **_of_requests(options, server, (kernels, terminals), changed),
        "background": (options.watch_background, background),
        "keepalive": (options.watch_keepalive, KeepaliveSource(settings, clock.monotonic)),
        "plugins": (options.watch_plugins, PluginsSource(server, interval, clock.monotonic)),
        "adapters": (True, _adapters(options, interval)),
        "interplay": (True, InterplaySource(server)),
        "foreign": (options.watch_foreign, ForeignSource(settings, clock.utcnow, _covered(options))),
    }
    on = {name: source for name, (wanted, source) in made.items() if wanted}
    at_work = [on[name] for name in ("kernels", "terminals", "background") if name in on]
    work_clock = WorkClock(settings, at_work, clock.utcnow) if options.publish_work else None
    return Sources(on, [name for name in made if name not in on], work_clock)


def _kernels(
    manager: Any, events: Any, changed: Callable[[], None], start_limit: float
) -> KernelsSource | GatewayKernels:
    """Make the source of kernels, wherever they run."""
    if are_remote(manager):
        return GatewayKernels(manager, clock.monotonic, changed)
    return KernelsSource(manager, events, clock.monotonic, changed, start_limit)


def _of_requests(
    options: HubcullSettings,
    server: Any,
    told: tuple[KernelsSource | GatewayKernels, TerminalsSource],
    changed: Callable[[], None],
) -> _Made:
    """Make the sources that share the hook; the first leaves to the others what is theirs."""
    hook, (kernels, terminals) = RequestHook(server.web_app.settings), told
    keystroke = terminals.keystroke if options.watch_terminals else None

    def elsewhere(handler: type[object]) -> bool:
        in_an_app = options.watch_apps and is_proxied(handler)
        return in_an_app or (options.watch_collaboration and is_room(handler))

    def kernels_speak() -> bool:
        last = getattr(server.kernel_manager, "last_kernel_activity", None)
        return isinstance(last, datetime) and clock.utcnow() - last < _SPEAKS

    requests = RequestsSource(hook, clock.monotonic, keystroke, changed, elsewhere, kernels)
    in_apps = AppsSource(hook, clock.monotonic, options.app_heartbeats, changed)
    documents = CollaborationSource(hook, clock.monotonic, kernels_speak, changed)
    return {
        "requests": (options.watch_requests, requests),
        "apps": (options.watch_apps, in_apps),
        "collaboration": (options.watch_collaboration, documents),
    }


def _adapters(options: HubcullSettings, interval: float) -> AdaptersSource:
    known = data_home(os.environ, Path.home()) if options.watch_app_files else None
    return AdaptersSource(options.app_checks, known, interval, clock.monotonic, clock.wall)


def _covered(options: HubcullSettings) -> list[str]:
    """Return the claims in whose place a source of their own says more."""
    covering = {apps.CLAIM: options.watch_apps, keepalive.CLAIM: options.watch_keepalive}
    return [claim for claim, on in covering.items() if on]
