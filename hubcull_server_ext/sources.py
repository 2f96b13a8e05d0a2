"""Which sources of signals there are, and what each is handed; which are on.

It knows all of them by their constructors and none by what it sees. Each is made by itself:
one that can not be made is reported as failed, and the others do without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from hubcull_server_ext import clock
from hubcull_server_ext.config import HubcullSettings
from hubcull_server_ext.signals import apps, keepalive
from hubcull_server_ext.signals.adapters import AdaptersSource, data_home
from hubcull_server_ext.signals.apps import AppsSource, is_proxied
from hubcull_server_ext.signals.background import Around, BackgroundSource
from hubcull_server_ext.signals.collaboration import CollaborationSource, is_room
from hubcull_server_ext.signals.counters import CounterSource
from hubcull_server_ext.signals.foreign import ForeignSource
from hubcull_server_ext.signals.gateway_kernels import GatewayKernels, are_remote
from hubcull_server_ext.signals.gpu import GpuCounter
from hubcull_server_ext.signals.hook import RequestHook
from hubcull_server_ext.signals.interplay import InterplaySource
from hubcull_server_ext.signals.keepalive import KeepaliveSource
from hubcull_server_ext.signals.kernel_processes import KernelProcess, kernel_processes
from hubcull_server_ext.signals.kernels import KernelsSource
from hubcull_server_ext.signals.plugins import PluginsSource
from hubcull_server_ext.signals.processes import ProcessTable
from hubcull_server_ext.signals.requests import RequestsSource
from hubcull_server_ext.signals.sockets import SocketBytes
from hubcull_server_ext.signals.terminals import TerminalsSource
from hubcull_server_ext.signals.transfers import Transfers
from hubcull_server_ext.signals.ttys import Clocks
from hubcull_server_ext.signals.work_clock import WorkClock
from hubcull_server_ext.snapshot import SignalSource, Unmade

_SPEAKS = timedelta(seconds=2)
_SHOW_WORK = ("kernels", "terminals", "background", "plugins", "adapters")
"""The sources whose work others may see; jupyter-keepalive shows its own."""


class Sources(NamedTuple):
    """The sources that are on, by name; the names of the others; the clock of work, if it is shown."""

    on: dict[str, SignalSource]
    off: list[str]
    work_clock: WorkClock | None


def make_sources(options: HubcullSettings, server: Any, changed: Callable[[], None]) -> Sources:
    """Make the sources of a running server; ``changed`` is called when something happened in one.

    One that can not be made has an `Unmade` in its place, and never takes the others along.
    """
    parts = _Parts(options, server, changed)
    on: dict[str, SignalSource] = {}
    off = []
    for name, (kind, is_wanted, make) in _SOURCES.items():
        wanted = True
        source: SignalSource
        try:
            wanted = is_wanted(options)
            source = make(parts)
            if wanted:
                parts.watching[name] = source
        except Exception as error:
            options.log.debug("hubcull: %s can not be watched", name, exc_info=True)
            source = Unmade(name, type(error).__name__, getattr(kind, "strength", None))
        if wanted:
            on[name] = source
        else:
            off.append(name)
    return Sources(on, off, _work_clock(parts, on) if options.publish_work else None)


class _Parts:
    """What the sources share, each made when the first asks for it, and what they are told of each other."""

    def __init__(self, options: HubcullSettings, server: Any, changed: Callable[[], None]) -> None:
        self.options, self.server, self.changed = options, server, changed
        self.watching: dict[str, SignalSource] = {}
        """The sources that are on and could be made, of those before."""
        self.kernels: KernelsSource | GatewayKernels | None = None
        self.terminals: TerminalsSource | None = None
        self.background: BackgroundSource | None = None

    @cached_property
    def settings(self) -> Any:
        return self.server.web_app.settings

    @cached_property
    def hook(self) -> RequestHook:
        return RequestHook(self.settings, Transfers(self.server.web_app))

    @cached_property
    def clocks(self) -> Clocks:
        return Clocks(clock.monotonic, clock.wall, clock.boottime)

    @cached_property
    def table(self) -> ProcessTable:
        return ProcessTable()

    def elsewhere(self, handler: type[object]) -> bool:
        """Whether a handler's requests are for another source than that of requests."""
        in_an_app = "apps" in self.watching and is_proxied(handler)
        return in_an_app or ("collaboration" in self.watching and is_room(handler))

    def kernels_speak(self) -> bool:
        """Whether any kernel has said something just now."""
        last = getattr(self.server.kernel_manager, "last_kernel_activity", None)
        return isinstance(last, datetime) and clock.utcnow() - last < _SPEAKS

    def processes_of_kernels(self) -> list[KernelProcess]:
        """Return the kernels' processes; with nobody to watch cells, all they do is background."""
        known = self.kernels if "kernels" in self.watching else None
        free_since = _always_free if known is None else known.free_since
        return kernel_processes(self.settings["kernel_manager"], free_since)

    def shells(self) -> list[int]:
        """Return the shells of the server's terminals: those are for the source of terminals."""
        return [] if self.terminals is None else self.terminals.shells()

    def alone(self) -> bool:
        """Whether the server has its container to itself, as far as is known."""
        return self.background is not None and self.background.alone


def _always_free(_kernel: str) -> float:
    return float("-inf")


def _kernels(parts: _Parts) -> SignalSource:
    """Make the source of kernels, wherever they run."""
    manager, limit = parts.settings["kernel_manager"], parts.options.kernel_start_limit
    if are_remote(manager):
        parts.kernels = GatewayKernels(manager, clock.monotonic, parts.changed)
    else:
        events = parts.settings.get("event_logger")
        parts.kernels = KernelsSource(manager, events, clock.monotonic, parts.changed, limit)
    return parts.kernels


def _terminals(parts: _Parts) -> SignalSource:
    parts.terminals = TerminalsSource(
        parts.settings, parts.clocks, parts.options.not_work, parts.changed, parts.table
    )
    return parts.terminals


def _requests(parts: _Parts) -> SignalSource:
    typed = parts.terminals.keystroke if parts.terminals and "terminals" in parts.watching else None
    kernels = parts.kernels if "kernels" in parts.watching else None
    return RequestsSource(
        parts.hook,
        clock.monotonic,
        typed,
        parts.changed,
        parts.elsewhere,
        kernels,
        parts.options.watch_websockets,
    )


def _apps(parts: _Parts) -> SignalSource:
    return AppsSource(parts.hook, clock.monotonic, parts.options.app_heartbeats, parts.changed)


def _collaboration(parts: _Parts) -> SignalSource:
    return CollaborationSource(parts.hook, clock.monotonic, parts.kernels_speak, parts.changed)


def _background(parts: _Parts) -> SignalSource:
    options, table = parts.options, parts.table
    parts.background = BackgroundSource(
        table,
        parts.clocks,
        Around(parts.processes_of_kernels, parts.shells),
        os.environ,
        options.not_work,
        options.sample_interval,
        parts.changed,
        [source for source in parts.watching.values() if isinstance(source, CounterSource)],
    )
    return parts.background


def _gpus(parts: _Parts) -> SignalSource:
    return CounterSource("gpus", GpuCounter(parts.table, parts.alone))


def _network(parts: _Parts) -> SignalSource:
    return CounterSource("network", SocketBytes(parts.table, os.getpid(), os.geteuid()))


def _keepalive(parts: _Parts) -> SignalSource:
    return KeepaliveSource(parts.settings, clock.monotonic)


def _plugins(parts: _Parts) -> SignalSource:
    return PluginsSource(parts.server, parts.options.sample_interval, clock.monotonic)


def _adapters(parts: _Parts) -> SignalSource:
    options = parts.options
    known = data_home(os.environ, Path.home()) if options.watch_app_files else None
    return AdaptersSource(options.app_checks, known, options.sample_interval, clock.monotonic, clock.wall)


def _interplay(parts: _Parts) -> SignalSource:
    return InterplaySource(parts.server)


def _foreign(parts: _Parts) -> SignalSource:
    """Make the source of others' claims, but for those in whose place a source of their own says more."""
    covering = {apps.CLAIM: "apps", keepalive.CLAIM: "keepalive"}
    covered = [claim for claim, name in covering.items() if name in parts.watching]
    return ForeignSource(parts.settings, clock.utcnow, covered)


def _work_clock(parts: _Parts, on: Mapping[str, SignalSource]) -> WorkClock | None:
    """Make what shows our clock of work to others; without it the reports go out all the same."""
    try:
        return WorkClock(parts.settings, [on[name] for name in _SHOW_WORK if name in on], clock.utcnow)
    except Exception:
        parts.options.log.exception("hubcull: work is not shown to others")
        return None


_SOURCES: dict[str, tuple[type, Callable[[HubcullSettings], bool], Callable[[_Parts], SignalSource]]] = {
    "kernels": (KernelsSource, lambda o: o.watch_kernels, _kernels),
    "terminals": (TerminalsSource, lambda o: o.watch_terminals, _terminals),
    "requests": (RequestsSource, lambda o: o.watch_requests, _requests),
    "apps": (AppsSource, lambda o: o.watch_apps, _apps),
    "collaboration": (CollaborationSource, lambda o: o.watch_collaboration, _collaboration),
    "gpus": (CounterSource, lambda o: o.watch_background and o.watch_gpus, _gpus),
    "network": (CounterSource, lambda o: o.watch_background and o.watch_network, _network),
    "background": (BackgroundSource, lambda o: o.watch_background, _background),
    "keepalive": (KeepaliveSource, lambda o: o.watch_keepalive, _keepalive),
    "plugins": (PluginsSource, lambda o: o.watch_plugins, _plugins),
    "adapters": (AdaptersSource, lambda o: o.watch_app_files or bool(o.app_checks), _adapters),
    "interplay": (InterplaySource, lambda o: o.watch_interplay, _interplay),
    "foreign": (ForeignSource, lambda o: o.watch_foreign, _foreign),
}
"""Each source's class, whether it is on, and how it is made; who is told of others comes after them."""
