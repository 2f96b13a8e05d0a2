"""Laws of a function in a thread of its own: one thread, one call at a time, and nothing of it gets out."""

from __future__ import annotations

import asyncio
import threading

import pytest

from hubcull_server_ext.signals import asking
from hubcull_server_ext.signals.asking import AnswerError, InThread


def test_one_thread_serves_all_calls() -> None:
    """To start one for each costs more than what most of them do."""

    async def thrice() -> set[int]:
        call = InThread(threading.get_ident)
        return {await call() for _ in range(3)}

    threads = asyncio.run(thrice())
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_while_a_call_hangs_there_is_no_other() -> None:
    """Nor another thread: a home that does not answer for hours costs one. It is asked again afterwards."""
    go, begun = threading.Event(), threading.Semaphore(0)

    def hang() -> int:
        begun.release()
        go.wait()
        return 7

    async def ask() -> int:
        call = InThread(hang)
        first = asyncio.ensure_future(call())
        await asyncio.to_thread(begun.acquire)
        first.cancel()  # as a time limit does
        before = set(threading.enumerate())
        for _ in range(3):
            with pytest.raises(AnswerError, match="still has not answered"):
                await call()
        assert set(threading.enumerate()) <= before
        go.set()
        while True:
            try:
                return await call()
            except AnswerError:  # not yet at its end
                await asyncio.sleep(0.001)

    assert asyncio.run(ask()) == 7
    assert begun.acquire(blocking=False)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ValueError, ValueError),
        (StopIteration, AnswerError),
        (SystemExit, AnswerError),
        (KeyboardInterrupt, AnswerError),
        (asyncio.CancelledError, AnswerError),
    ],
)
def test_an_error_is_an_answer(error: type[BaseException], raised: type[Exception]) -> None:
    """What would end a task, or the loop, is told of; the next call is served as any."""
    errors = [error()]

    def fail() -> str:
        if errors:
            raise errors.pop()
        return "well"

    async def twice() -> str:
        call = InThread(fail)
        with pytest.raises(raised):
            await asyncio.wait_for(call(), 10)
        return await call()

    assert asyncio.run(twice()) == "well"


def test_a_thread_that_nobody_needs_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next call has another."""
    monkeypatch.setattr(asking, "_THREAD_STAYS", 0.01)

    async def twice() -> None:
        call = InThread(threading.current_thread)
        for _ in range(2):
            thread = await call()
            await asyncio.to_thread(thread.join, 10)
            assert not thread.is_alive()

    asyncio.run(twice())
