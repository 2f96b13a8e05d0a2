"""Ask somebody outside again and again, with a time limit, and remember the last answer.

Whoever is asked may be slow, wrong or gone: nobody waits for an answer, and what was said
last goes on protecting while no better answer comes. It knows nothing of who is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from hubcull_server_ext import wire
from hubcull_server_ext.api import Claim, Ended, Presence, Work
from hubcull_server_ext.snapshot import SourceError

_T = TypeVar("_T")
_MOST_CLAIMS = 10
_LONGEST_LABEL = 40
_THREAD_STAYS = 60.0
"""Seconds without a call after which a thread ends."""


class AnswerError(Exception):
    """An answer that can not be taken; the text, written by us, names the remedy and no content."""


class Question:
    """One place that is asked.

    Args:
        source: how reports name it.
        ask: asks once.
        limit: seconds that an answer may take.
        clock: monotonic seconds.
        kind: of the signals, in the wire's words.

    """

    def __init__(
        self,
        source: str,
        ask: Callable[[], Awaitable[Iterable[Claim]]],
        limit: float,
        clock: Callable[[], float],
        kind: str = wire.Kind.DECLARED,
    ) -> None:
        self.source, self._ask, self._limit, self._clock, self._kind = source, ask, limit, clock, kind
        self._claims: tuple[Claim, ...] = ()
        self._at = 0.0
        self._task: asyncio.Task[None] | None = None
        self.failure: str | None = None

    def begin(self) -> None:
        """Ask, unless an answer is still awaited."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())

    def cancel(self) -> None:
        """Wait for no answer any more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        asked = self._clock()
        try:
            claims = tuple(await asyncio.wait_for(self._ask(), self._limit))
            for claim in claims:
                check(claim)
        except asyncio.TimeoutError:
            self.failure = f"no answer within {self._limit:g} s"
        except AnswerError as error:
            self.failure = str(error)
        except Exception as error:
            # The text of a foreign exception may hold a path or a user's words; its class does not.
            self.failure = type(error).__name__
        else:
            self._claims, self._at, self.failure = claims[:_MOST_CLAIMS], asked, None

    def signals(self, now: float) -> list[wire.Signal]:
        """Return the last answer, as much older as it is; work of which it spoke is taken to go on."""
        elapsed = max(0.0, now - self._at)
        return [_signal(claim, elapsed, self._kind, self.source) for claim in self._claims]


class AskingSource:
    """A source that asks others.

    Args:
        name: the source's name on the wire.
        questions: whom to ask.
        interval: seconds between two questions to the same.
        clock: monotonic seconds.

    """

    def __init__(
        self, name: str, questions: Sequence[Question], interval: float, clock: Callable[[], float]
    ) -> None:
        self.name = name
        self.questions = list(questions)
        self.broken: list[str] = []
        """Whom it could not even begin to ask, and why."""
        self._interval, self._clock = interval, clock
        self._next = -math.inf

    def sample(self) -> None:
        """Ask all, if it is time to; no answer is waited for."""
        now = self._clock()
        if now >= self._next:
            self._next = now + self._interval
            for question in self.questions:
                question.begin()

    def stop(self) -> None:
        """Wait for no answers any more."""
        for question in self.questions:
            question.cancel()

    def collect(self, now: float) -> list[wire.Signal]:
        """Return what was answered last.

        Raises:
            SourceError: naming each that gives no answer, or a wrong one; with all that was said.

        """
        signals = [signal for question in self.questions for signal in question.signals(now)]
        silent = [f"{q.source}: {q.failure}" for q in self.questions if q.failure is not None]
        if silent or self.broken:
            raise SourceError("; ".join([*self.broken, *silent]), signals)
        return signals


def check(claim: object) -> None:
    """Refuse what is no claim.

    Raises:
        AnswerError: for another type, for seconds that are none, for a label that might hold a path.

    """
    if isinstance(claim, Presence):
        _check_seconds(ago=claim.ago)
    elif isinstance(claim, Work):
        _check_seconds(going_on_for=claim.going_on_for)
    elif isinstance(claim, Ended):
        _check_seconds(ago=claim.ago, lasted=claim.lasted)
    else:
        raise AnswerError(f"{type(claim).__name__} is no claim; return Presence, Work or Ended")
    label: object = claim.label
    if label is None:
        return
    if not isinstance(label, str) or len(label) > _LONGEST_LABEL or "/" in label or "\\" in label:
        raise AnswerError(f"a label is not text of at most {_LONGEST_LABEL} characters without slashes")


def _check_seconds(**values: object) -> None:
    for name, value in values.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not 0 <= value <= wire.LARGEST:  # type: ignore[operator]  # a number, then
            raise AnswerError(f"{name} is not a number of seconds from 0 on")


def _signal(claim: Claim, elapsed: float, kind: str, source: str) -> wire.Signal:
    if isinstance(claim, Presence):
        age = claim.ago + elapsed
        return wire.Signal(kind, source, wire.Clock.PRESENCE, age=age, label=claim.label)
    if isinstance(claim, Work):
        on = claim.going_on_for + elapsed
        return wire.Signal(kind, source, wire.Clock.WORK, going_on_for=on, label=claim.label)
    return wire.Signal(
        kind, source, wire.Clock.WORK, ended_ago=claim.ago + elapsed, lasted=claim.lasted, label=claim.label
    )


class InThread(Generic[_T]):
    """A function that is called in a thread of its own, which holds up nobody if it never ends.

    The pool's threads would: a server waits for them at its end. The thread stays for the next call, for to
    start one costs more than most calls; while one call hangs there is no other.
    """

    def __init__(self, function: Callable[[], _T]) -> None:
        self._function = function
        self._calls: queue.SimpleQueue[Callable[[_T | None, BaseException | None], None]] = (
            queue.SimpleQueue()
        )
        self._lock = threading.Lock()
        self._runs = self._hangs = False

    async def __call__(self) -> _T:
        """Return what the function returns, and raise what it raises.

        Raises:
            AnswerError: when an earlier call has not ended.

        """
        if self._hangs:
            raise AnswerError("it still has not answered an earlier question")
        self._hangs = True
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()

        def settle(value: _T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)  # type: ignore[arg-type]  # without an error there is a value

        def end(value: _T | None, error: BaseException | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, value, error)

        with self._lock:
            self._calls.put(end)
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, daemon=True, name="hubcull-asks").start()
        return await future

    def _run(self) -> None:
        """Serve calls until there has been none for a while."""
        while True:
            try:
                end = self._calls.get(timeout=_THREAD_STAYS)
            except queue.Empty:
                with self._lock:
                    if self._calls.empty():
                        self._runs = False
                        return
                continue
            value, error = None, None
            try:
                value = self._function()
            except BaseException as caught:
                # No thread of ours may end by it, and what ends a task would end the server's loop, too.
                is_harmless = isinstance(caught, Exception) and not isinstance(caught, StopIteration)
                error = caught if is_harmless else AnswerError(type(caught).__name__)
            self._hangs = False
            end(value, error)
            del end, value, error  # what was answered is not kept until the next question
