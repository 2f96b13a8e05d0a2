"""Calls the operator's `cull_arbiter_hook`: any kind of function, each answer in time or none.

It runs in a thread of its own with an event loop of its own, so that a hook that sleeps or hangs holds up
neither reports nor stops. A thread that hangs is left to itself and replaced.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import copy
import inspect
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from hubcull_hub.ruling import Opinion, Question

log = logging.getLogger(__name__)

ASKED_BY_NAME = ("user", "groups", "evidence", "verdict")
"""What a hook may take beyond idle-culler's `inactive`, `inactive_limit` and `server`."""

REMEDY = "return True, False, None, or a pair such as (True, 'why')"

MOST_HANGING = 8
"""Threads that may hang at once; a hook that has hung that often is not called any more until one ends."""

MOST_TRIES = 3
"""How often a question is put that others kept from being heard: its time begins when the hook does."""

MOST_LOGGED = 100
"""Different failures whose traceback is logged."""


class Hook:
    """The operator's function. ``limit`` is the policy's timeout, ``time_limit`` that of one answer (s)."""

    def __init__(self, function: Callable[..., object], *, limit: float, time_limit: float) -> None:
        self._function, self._limit, self._time_limit = function, limit, time_limit
        self._takes, self.named = _parameters(function)
        """What it is given, and which of `ASKED_BY_NAME` it names."""
        self._worker: _Worker | None = None
        self._hanging: list[_Worker] = []
        self._logged: set[str] = set()

    async def ask(self, asked: Question) -> Opinion:
        """Return the hook's opinion; whatever goes wrong is one that has failed. Never raises.

        A question that waited behind a call that hangs is put again, so that only that call's server is kept.
        """
        for _ in range(MOST_TRIES):
            opinion = await self._try(asked)
            if opinion is not None:
                return opinion
        return Opinion(None, "it was busy with others for too long", failed=True, late=True)

    async def _try(self, asked: Question) -> Opinion | None:
        """Return the hook's opinion, or None where its time was over before the hook was called."""
        self._hanging = [worker for worker in self._hanging if worker.is_alive()]
        if len(self._hanging) >= MOST_HANGING:
            return Opinion(None, f"{MOST_HANGING} calls of it still hang", failed=True, late=True)
        if self._worker is None:
            self._worker = _Worker()
        worker = self._worker
        call = worker.submit(self._function, self._arguments(asked))
        try:
            answer = await asyncio.wait_for(asyncio.wrap_future(call.answer), self._time_limit)
            return _opinion(answer, extended=bool(self.named))
        except (TimeoutError, asyncio.TimeoutError):
            call.task.cancel()
            await self._abandon(worker)
            if not call.begun.is_set():
                return None
            return Opinion(None, f"no answer in {self._time_limit:g} s", failed=True, late=True)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            self._log(why, asked, error)
            return Opinion(None, why, failed=True)

    def close(self) -> None:
        """Let the thread end; one that hangs does not keep the process alive."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def _log(self, why: str, asked: Question, error: Exception) -> None:
        """Log a failure with its traceback when it is new: the same one may come for every server."""
        if why not in self._logged and len(self._logged) < MOST_LOGGED:
            self._logged.add(why)
            log.warning("cull_arbiter_hook failed for %s", asked.so_far.key, exc_info=error)

    async def _abandon(self, worker: _Worker) -> None:
        """Replace a worker whose loop does not turn any more; a coroutine that only waits was cancelled."""
        if worker is not self._worker:
            return
        done, _ = await asyncio.wait([asyncio.wrap_future(worker.turns())], timeout=1.0)
        if not done and worker is self._worker:
            worker.end()
            self._hanging.append(worker)
            self._worker = None

    def _arguments(self, asked: Question) -> dict[str, Any]:
        server = asked.evidence.server
        owner = dict(server.owner or {})
        groups = owner.get("groups")
        known: dict[str, Any] = {
            "inactive": timedelta(seconds=asked.inactive),
            "inactive_limit": self._limit if self._limit % 1 else int(self._limit),
            "server": copy.deepcopy(dict(server.model or {})),
            "user": copy.deepcopy(owner),
            "groups": frozenset(groups) if isinstance(groups, list) else None,
            "evidence": asked.evidence,
            "verdict": asked.so_far,
        }
        return {name: known[name] for name in self._takes}


class _Call:
    """One call of the hook: whether it has begun, and its answer, which does not wait for other calls."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.answer: concurrent.futures.Future[object] = concurrent.futures.Future()
        self.task: concurrent.futures.Future[None]

    async def run(self, function: Callable[..., object], arguments: Mapping[str, Any]) -> None:
        """Call a function, and wait for what it returns if that is something to wait for, as Tornado does."""
        self.begun.set()
        try:
            answer = function(**arguments)
            if isinstance(answer, concurrent.futures.Future):
                answer = await asyncio.wrap_future(answer)
            elif inspect.isawaitable(answer):
                answer = await answer
        except Exception as error:
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                self.answer.set_exception(error)
        else:
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                self.answer.set_result(answer)


class _Worker:
    """A daemon thread with an event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="cull_arbiter_hook", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[..., object], arguments: Mapping[str, Any]) -> _Call:
        call = _Call()
        call.task = asyncio.run_coroutine_threadsafe(call.run(function, arguments), self._loop)
        return call

    def turns(self) -> concurrent.futures.Future[bool]:
        """Return a future that is done as soon as the loop turns."""
        turned: concurrent.futures.Future[bool] = concurrent.futures.Future()
        self._loop.call_soon_threadsafe(turned.set_result, True)
        return turned

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):  # those that waited behind a call that hung
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


def _parameters(function: Callable[..., object]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which arguments a hook is given, and which it names beyond idle-culler's three."""
    basic = ("inactive", "inactive_limit", "server")
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a callable that does not say
        return basic, ()
    more = tuple(p.name for p in parameters if p.name in ASKED_BY_NAME)
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return (*basic, *(ASKED_BY_NAME if anything else more)), more


def _opinion(answer: object, *, extended: bool) -> Opinion:
    """Read an answer: truth means cull, as in idle-culler; or a pair of that and why.

    None is no opinion of a hook that knows the verdict so far, and *keep* of one of idle-culler's kind.

    Raises:
        TypeError: for what can only be a mistake.

    """
    why = ""
    if isinstance(answer, tuple):
        if len(answer) != 2 or not isinstance(answer[1], str):
            raise TypeError(
                f"it returned {answer!r}; return True, False, None or a pair such as (True, 'why')"
            )
        answer, why = answer
    if answer is None:
        return Opinion(None if extended else False, why)
    if isinstance(answer, (str, bytes, dict, list)):
        raise TypeError(f"it returned {answer!r}; {REMEDY}")
    return Opinion(bool(answer), why)
