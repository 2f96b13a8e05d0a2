"""Laws of the snapshot: one bad source never hides another, and the wire's limits hold."""

from __future__ import annotations

import json

from hubcull_server_ext import wire
from hubcull_server_ext.snapshot import Boot, Collector, SourceError, UnavailableError, build_report

BUSY = wire.Signal(wire.Kind.KERNEL_BUSY, "kernel:aaaa", wire.Clock.WORK, going_on_for=12.34567)


class Scripted:
    """A source that answers, or raises, what it is told."""

    def __init__(self, name: str, *answers: list[wire.Signal] | Exception) -> None:
        self.name = name
        self._answers = list(answers)

    def collect(self, now: float) -> list[wire.Signal]:
        """Play the next answer; the last one stays."""
        del now
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_failing_source_leaves_the_others() -> None:
    """A source that raises is failed, named by the exception's class alone; the others report."""
    collector = Collector(
        [Scripted("kernels", OSError("/home/x")), Scripted("requests", [BUSY])], off=["foreign"]
    )
    collector.collect(100.0)
    sources, signals = collector.collect(107.0)
    assert sources == (
        wire.Source("kernels", wire.Health.FAILED, "OSError", 7.0),
        wire.Source("requests", wire.Health.OK),
        wire.Source("foreign", wire.Health.OFF),
    )
    assert signals == (BUSY,)


def test_partial_failure_keeps_what_was_seen() -> None:
    """Doubt about one kernel does not hide another's work."""
    sources, signals = Collector([Scripted("kernels", SourceError("no ports", [BUSY]))]).collect(1.0)
    assert sources == (wire.Source("kernels", wire.Health.FAILED, "no ports", 0.0),)
    assert signals == (BUSY,)


class Weak(Scripted):
    """A source that says of itself that it is weak, and what there is to say while it is well."""

    strength = wire.Strength.WEAK
    remark = "half blind"


def test_a_source_says_how_strong_it_is_and_what_it_lacks() -> None:
    """In sickness and in health; the remark gives way to what is wrong."""
    collector = Collector([Weak("background", [BUSY], ValueError())])
    weak = wire.Strength.WEAK
    assert [collector.collect(now)[0][0] for now in (1.0, 2.0)] == [
        wire.Source("background", wire.Health.OK, "half blind", strength=weak),
        wire.Source("background", wire.Health.FAILED, "ValueError", 0.0, strength=weak),
    ]


def test_failure_begins_anew_after_recovery() -> None:
    """``failed_for`` counts from the newest failure, not from one that passed."""
    collector = Collector([Scripted("kernels", ValueError(), [], ValueError())])
    assert [collector.collect(now)[0][0].failed_for for now in (0.0, 10.0, 20.0, 25.0)] == [
        0.0,
        None,
        0.0,
        5.0,
    ]


def test_unavailable_is_not_failed() -> None:
    """A server without terminals is a known case and no reason to hold."""
    sources, _ = Collector([Scripted("terminals", UnavailableError("none here"))]).collect(1.0)
    assert sources == (wire.Source("terminals", wire.Health.UNAVAILABLE, "none here"),)


def test_noted_trouble_fails_a_source_until_it_passes() -> None:
    """A look that failed makes its source failed although it still answers, and the signals stay."""
    collector = Collector([Scripted("kernels", [BUSY])])
    collector.note("kernels", "reconcile", "KeyError")
    sources, signals = collector.collect(1.0)
    assert sources == (wire.Source("kernels", wire.Health.FAILED, "reconcile: KeyError", 0.0),)
    assert signals == (BUSY,)
    collector.note("kernels", "reconcile", None)
    assert collector.collect(2.0)[0] == (wire.Source("kernels", wire.Health.OK),)


def boot() -> Boot:
    """Return a run of a server that began at 100 s."""
    return Boot("boot", 100.0, "ada/gpu", wire.About(hubcull="0.1.0"))


def test_report_carries_who_when_and_what() -> None:
    """The report is the sources' answers with the boot's identity, durations rounded to ms."""
    report = build_report(boot(), 3, Collector([Scripted("kernels", [BUSY])]), 160.5)
    assert (report.boot_id, report.sequence, report.uptime, report.server) == ("boot", 3, 60.5, "ada/gpu")
    assert report.signals[0].going_on_for == 12.346
    assert wire.report_from_json(json.loads(json.dumps(wire.to_json(report)))) == report


def test_crowded_report_keeps_what_protects_most() -> None:
    """Beyond the wire's limit work under way stays first, then the newest events; numbers go."""
    old = [
        wire.Signal(wire.Kind.FOREIGN, f"s{i}", wire.Clock.PRESENCE, age=1000.0 + i)
        for i in range(wire.MAX_SIGNALS)
    ]
    number = wire.Signal(wire.Kind.KERNEL_CONNECTIONS, "k", wire.Clock.NONE, count=1)
    new = wire.Signal(wire.Kind.API_REQUEST, "requests", wire.Clock.PRESENCE, age=1.0)
    report = build_report(boot(), 0, Collector([Scripted("x", [number, *old, new, BUSY])]), 101.0)
    assert len(report.signals) == wire.MAX_SIGNALS
    assert [s.kind for s in report.signals[:2]] == [wire.Kind.KERNEL_BUSY, wire.Kind.API_REQUEST]
    assert number not in report.signals


def test_oversized_texts_and_future_times_become_readable() -> None:
    """Whatever a source says, the service can read the report: texts are cut, negative ages become 0."""
    signal = wire.Signal(wire.Kind.FOREIGN, "s" * 900, wire.Clock.PRESENCE, age=-5.0, label="l" * 900)
    report = build_report(boot(), 0, Collector([Scripted("x", [signal])]), 101.0)
    read = wire.report_from_json(wire.to_json(report))
    assert (len(read.signals[0].label or ""), read.signals[0].age) == (200, 0.0)


def test_odd_characters_do_not_cost_a_server_its_reports() -> None:
    """The wire refuses what would move a terminal's cursor; another extension's odd name is made plain."""
    odd = wire.Signal(wire.Kind.FOREIGN, "setting:a\nb", wire.Clock.PRESENCE, age=1.0, label="\x1b[2J\ud800")
    collector = Collector([Scripted("foreign", [odd])])
    report = build_report(Boot("b", 0.0, "alice/", wire.About()), 1, collector, 10.0)
    read = wire.report_from_json(json.loads(json.dumps(wire.to_json(report))))
    assert (read.signals[0].source, read.signals[0].label) == ("setting:a?b", "?[2J?")
