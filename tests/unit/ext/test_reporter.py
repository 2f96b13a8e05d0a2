"""Laws of reporting: when the next report goes out, and what an answer is worth."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable

import pytest

from hubcull_server_ext import wire
from hubcull_server_ext.reporter import HttpAnswer, Reporter, Tools


class Ended(BaseException):
    """Ends a reporter's loop from within its fake world."""


def reply(report_in: float = 60.0, deadline_in: float | None = None) -> HttpAnswer:
    """Return the service's reply."""
    message = wire.Reply("keep", "active", "text", "default", report_in, deadline_in)
    return HttpAnswer(200, json.dumps(wire.to_json(message)).encode())


def refusal(code: str = "unknown_token", retry_in: float = 120.0, status: int = 403) -> HttpAnswer:
    """Return the service's refusal."""
    message = wire.Refusal(code, "do this", retry_in)
    return HttpAnswer(status, json.dumps(wire.to_json(message)).encode())


class World:
    """A fake clock and a fake service; the loop ends when the answers are used up."""

    def __init__(self, answers: list[HttpAnswer | Exception], random: float = 0.5) -> None:
        self.now = 0.0
        self.answers = answers
        self.sent_at: list[float] = []
        self.sequences: list[int] = []
        self.pokes: dict[float, int] = {}
        self.on_wait: Callable[[], None] = lambda: None
        tools = Tools(self._build, self._send, lambda: self.now, self._wait, lambda: random)
        self.reporter = Reporter(tools, logging.getLogger("test"))

    async def _build(self, sequence: int) -> wire.Report:
        self.sequences.append(sequence)
        return wire.Report("b", sequence, self.now, "ada/", (), ())

    async def _send(self, body: bytes) -> HttpAnswer:
        self.sent_at.append(self.now)
        assert wire.report_from_json(json.loads(body)).boot_id == "b"
        if not self.answers:
            raise Ended
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        due = [at for at in self.pokes if self.now <= at < self.now + seconds]
        if event.is_set():
            return
        if due:
            self.now = min(due)
            del self.pokes[self.now]
            self.reporter.poke()
        else:
            self.now += seconds

    def run(self) -> list[float]:
        """Run to the end of the answers; return when reports were sent."""
        with pytest.raises(Ended):
            asyncio.run(self.reporter.run())
        return [round(at, 3) for at in self.sent_at]

    def gaps(self) -> list[float]:
        """Run; return the seconds between reports."""
        at = self.run()
        return [round(b - a, 3) for a, b in itertools.pairwise(at)]


@pytest.mark.parametrize("random", [0.0, 0.5, 0.999])
def test_first_report_goes_out_within_five_seconds(random: float) -> None:
    """A service knows of the extension early, and many servers do not report at once."""
    assert World([], random).run() == [round(5.0 * random, 3)]


@pytest.mark.parametrize(("asked", "longest"), [(60.0, 60.0), (0.0, 1.0), (1e9, 300.0)])
def test_interval_is_the_services_clamped_and_only_shortened(asked: float, longest: float) -> None:
    """Jitter never makes a report late; neither 0 nor infinity breaks the loop."""
    assert World([reply(asked)], random=1.0).gaps() == [longest]
    assert World([reply(asked)], random=0.0).gaps() == [pytest.approx(longest * 0.9)]


def test_report_comes_at_the_deadline_itself() -> None:
    """The first confirmation of a stop is the report just past the deadline."""
    assert World([reply(60.0, deadline_in=10.0)]).gaps() == [10.1]
    assert World([reply(2.0, deadline_in=10.0)], random=1.0).gaps() == [2.0]


def test_passed_deadline_does_not_make_it_spin() -> None:
    """With the deadline at 0 the interval asked for holds."""
    assert World([reply(5.0, deadline_in=0.0)], random=1.0).gaps() == [5.0]
    assert World([reply(5.0, deadline_in=0.01)], random=1.0).gaps() == [0.9]


def test_back_off_doubles_up_to_the_interval() -> None:
    """A dead service is asked ever less often, at most at the interval; then all is as before."""
    failures: list[HttpAnswer | Exception] = [ConnectionRefusedError() for _ in range(6)]
    world = World([*failures, reply(100.0)], random=1.0)
    assert world.gaps() == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 100.0]


@pytest.mark.parametrize(
    "answer",
    [
        HttpAnswer(200, b"<html>login</html>"),
        HttpAnswer(302, b""),
        HttpAnswer(403, b"<html>xsrf</html>"),
        HttpAnswer(503, b"<html>down</html>"),
        HttpAnswer(200, b'{"state": "cull", "report_in": 1}'),
        HttpAnswer(200, b"[]"),
        HttpAnswer(500, reply(1.0).body),
        HttpAnswer(200, b"\xff\xfe"),
        HttpAnswer(200, b"[" * 200_000),
    ],
)
def test_only_the_services_own_json_counts(answer: HttpAnswer) -> None:
    """A login page with status 200 is no reply: the loop backs off and goes on."""
    world = World([answer, reply(60.0)], random=1.0)
    assert world.gaps() == [5.0, 60.0]


def test_refusal_is_honoured_and_told_once_per_code(caplog: pytest.LogCaptureFixture) -> None:
    """What is refused waits as long as asked; the log says each reason once."""
    with caplog.at_level(logging.DEBUG):
        gaps = World([refusal("a"), refusal("a"), refusal("b", 30.0)], random=0.0).gaps()
    assert gaps == [120.0, 120.0, 30.0]
    levels = [record.levelno for record in caplog.records if "refused" in record.getMessage()]
    assert levels == [logging.WARNING, logging.DEBUG, logging.WARNING]


def test_change_is_reported_at_once_when_the_deadline_is_near() -> None:
    """Somebody who comes back just before the deadline is not stopped for it."""
    world = World([reply(60.0, deadline_in=50.0), reply(60.0)], random=0.0)
    world.pokes = {20.0: 1}
    assert world.run()[:2] == [0.0, 20.0]


def test_change_waits_when_the_deadline_is_far() -> None:
    """Far from any deadline a keystroke costs no report."""
    world = World([reply(60.0, deadline_in=500.0), reply(60.0)], random=0.0)
    world.pokes = {20.0: 1}
    assert world.run()[:2] == [0.0, 54.0]


def test_changes_are_reported_once_a_second_at_most() -> None:
    """A person who types does not flood the service."""
    world = World([reply(60.0, deadline_in=50.0) for _ in range(3)], random=0.0)
    world.pokes = {10.0: 1, 10.1: 1, 10.2: 1}
    assert world.run()[:3] == [0.0, 10.0, 11.0]


def test_sequence_grows_and_a_failing_build_ends_nothing() -> None:
    """A report that can not be built is tried again later."""
    world = World([reply(10.0), reply(10.0)])
    original = world._build
    broken = [True]

    async def build(sequence: int) -> wire.Report:
        if broken.pop() if broken else False:
            raise RuntimeError("no report")
        return await original(sequence)

    world.reporter = Reporter(
        Tools(build, world._send, lambda: world.now, world._wait, lambda: 0.5), logging.getLogger("test")
    )
    world.run()
    assert world.sequences == [0, 1, 2]


def test_an_error_of_our_own_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong is told once and tried again, later each time."""
    monkeypatch.setattr("hubcull_server_ext.reporter._MIN_POKE_GAP", 0.0)
    world = World([reply(60.0) for _ in range(3)], random=1.0)
    broken = [MemoryError("a"), MemoryError("b")]
    accept = world.reporter._accept

    def fails(message: wire.Reply) -> float:
        if broken:
            raise broken.pop()
        return accept(message)

    monkeypatch.setattr(world.reporter, "_accept", fails)
    assert world.gaps() == [5.0, 10.0, 60.0]
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        "hubcull could not report: an error of its own (MemoryError); trying again"
    ]
