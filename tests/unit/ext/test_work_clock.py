"""Laws of the clock of work that others may see, and of what is said of the server's own cullers."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

from hubcull_server_ext import wire
from hubcull_server_ext.signals.foreign import ForeignSource
from hubcull_server_ext.signals.interplay import InterplaySource
from hubcull_server_ext.signals.work_clock import SETTING, WorkClock
from hubcull_server_ext.snapshot import SourceError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


class Source:
    """A source that says what it is told to, or raises it."""

    name = "kernels"

    def __init__(self, *said: wire.Signal | Exception) -> None:
        self.said = said

    def collect(self, _now: float) -> list[wire.Signal]:
        """Return it."""
        for one in self.said:
            if isinstance(one, Exception):
                raise one
        return [one for one in self.said if isinstance(one, wire.Signal)]


def work(**times: Any) -> wire.Signal:
    """Return a piece of work."""
    return wire.Signal("kernel_busy", "kernel:1", wire.Clock.WORK, **times)


def published(*sources: Source) -> object:
    """Return what is published of these."""
    settings: dict[str, Any] = {}
    WorkClock(settings, sources, lambda: NOW).publish(100.0)
    return settings.get(SETTING)


def test_work_under_way_is_now_and_ended_work_its_end() -> None:
    """Of several pieces the newest; presence is not ours to show."""
    ended = work(ended_ago=30.0, lasted=5.0)
    person = wire.Signal("api_request", "requests", wire.Clock.PRESENCE, age=1.0)
    assert published(Source(ended, person)) == NOW - timedelta(seconds=30)
    assert published(Source(ended), Source(work(going_on_for=900.0))) == NOW
    assert published(Source(person)) is None


def test_a_source_that_fails_says_what_it_can() -> None:
    """And never raises into the server."""
    assert published(Source(SourceError("half blind", [work(going_on_for=1.0)]))) == NOW
    assert published(Source(OSError("gone")), Source(work(ended_ago=7.0))) == NOW - timedelta(seconds=7)


def test_it_never_goes_back_and_never_comes_back_to_us() -> None:
    """Somebody else's clock would not take it, and our own would go on for ever."""
    settings: dict[str, Any] = {}
    source = Source(work(going_on_for=5.0))
    clock = WorkClock(settings, [source], lambda: NOW)
    clock.publish(100.0)
    source.said = (work(ended_ago=50.0),)
    clock.publish(101.0)
    assert settings[SETTING] == NOW
    assert ForeignSource(settings, lambda: NOW).collect(101.0) == []


def server(
    kernels: dict[str, Any], terminals: dict[str, Any] | None = None, shutdown: int = 0
) -> InterplaySource:
    """Return what is said of a server with these settings."""
    settings = {} if terminals is None else {"terminal_manager": SimpleNamespace(**terminals)}
    return InterplaySource(
        SimpleNamespace(
            kernel_manager=SimpleNamespace(**kernels),
            web_app=SimpleNamespace(settings=settings),
            shutdown_no_activity_timeout=shutdown,
        )
    )


def test_a_server_without_cullers_says_nothing() -> None:
    """Neither in reports nor in the log; what is missing is off."""
    source = server({"cull_idle_timeout": 0, "cull_connected": True}, {"cull_inactive_timeout": 0})
    assert (source.collect(0.0), source.words()) == ([], "")
    assert server({}).collect(0.0) == []


def test_each_culler_is_said_with_its_seconds_and_moves_no_clock() -> None:
    """Whichever are on, and whom else they end."""
    source = server({"cull_idle_timeout": 600, "cull_busy": True}, {"cull_inactive_timeout": 300}, 900)
    found = source.collect(0.0)
    assert [(s.source, s.label, s.count) for s in found] == [
        ("MappingKernelManager", "cull_idle_timeout, cull_busy", 600),
        ("TerminalManager", "cull_inactive_timeout", 300),
        ("ServerApp", "shutdown_no_activity_timeout", 900),
    ]
    assert {s.clock for s in found} == {wire.Clock.NONE}
    assert "MappingKernelManager.cull_idle_timeout, cull_busy = 600 s; " in source.words()
