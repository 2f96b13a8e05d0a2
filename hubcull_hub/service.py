"""The running service: puts the rooms together, keeps them going, and takes them down in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

from hubcull_hub import __version__, clock, listening
from hubcull_hub.acting import Acting
from hubcull_hub.config import Settings
from hubcull_hub.confirm import make_confirm
from hubcull_hub.database import Database
from hubcull_hub.deleter import Deleter
from hubcull_hub.directory import FIRST_PAUSE, Directory
from hubcull_hub.executor import Executor
from hubcull_hub.fitness import Features
from hubcull_hub.hook import Hook
from hubcull_hub.hub_api import HubApi
from hubcull_hub.identity import TokenBook
from hubcull_hub.ingest import Ingest
from hubcull_hub.judge import Judge
from hubcull_hub.loop import Loop
from hubcull_hub.policy import report_interval
from hubcull_hub.roster import Roster, UserJudge, make_confirm_user
from hubcull_hub.sight import Sight
from hubcull_hub.store import FLUSH_EVERY, Store
from hubcull_hub.tls import CertFiles, HubTls
from hubcull_hub.users import UserPolicy, announcement
from hubcull_hub.web.app import make_app, make_broken_app
from hubcull_hub.web.context import Context, Holder

log = logging.getLogger(__name__)

DRAIN = 8.0
"""Seconds for stops under way to end at a shutdown; Hubs before 6.0 kill a service 15 s after asking."""

Workers = tuple[Acting[Any], ...]
"""Who carries out what was decided: stops, and deletions of users."""

PARENT_EVERY = 1.0
"""Seconds between two looks at the parent process."""

PRUNE_EVERY = 86_400.0
"""Seconds between two times at which old decisions are dropped."""


async def run(settings: Settings) -> None:
    """Run the service until SIGINT, SIGTERM or, when managed, the death of the Hub.

    It listens before anything else: the Hub waits for a managed service, and not for long.

    Raises:
        DatabaseError: when the database can not be opened; nothing has been stopped then.
        OSError: when the port can not be listened on.

    """
    holder, parent = Holder(), os.getppid()
    if settings.managed and settings.own_certs:
        log.warning(listening.HTTPS_URL)
    async with listening.at(make_app(holder, settings.prefix), settings.bind, settings.own_certs):
        database = await asyncio.to_thread(Database.open, settings.database_url)
        try:
            async with _service(settings, database) as (context, workers):
                holder.context = context
                await _work(settings, context, workers, parent)
                for worker in workers:
                    worker.begin_nothing_more()
        finally:
            await asyncio.to_thread(database.close)


async def run_broken(
    error: str, bind: tuple[str, int], certs: CertFiles | None = None, every: float = 60.0
) -> None:
    """Answer the Hub's check and every reporter with what is wrong, and log it again now and then."""
    parent = os.getppid()
    async with listening.at(make_broken_app(error), bind, certs):
        stop = _stop_event()
        async with _tasks(_watch_parent(stop, parent), _repeat(error, every)):
            await stop.wait()


@contextlib.asynccontextmanager
async def _service(settings: Settings, database: Database) -> AsyncIterator[tuple[Context, Workers]]:
    """Build the rooms from the inside out, and close them the other way round."""
    store = Store(database)
    sight = Sight(clock.now(), heard=await store.load())
    async with HubApi(
        settings.api_url,
        settings.token,
        time_limit=settings.request_timeout,
        page_size=settings.api_page_size,
        whole_models=settings.hook is not None,
        tls=HubTls(settings.hub_certs) if settings.hub_certs else None,
        on_answer=lambda date: sight.hub_answered(clock.now(), date),
        on_lost=sight.hub_lost,
        on_silence=lambda: sight.hub_silent(clock.now()),
    ) as hub:
        book, judge = TokenBook(hub), Judge(settings.policy, _hook(settings))
        context, workers = _rooms(settings, hub, store, sight, book, judge)
        try:
            yield context, workers
        finally:
            await _wind_down(workers)
            await book.close()
            judge.close()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(store.flush(sight.heard), DRAIN)


async def _wind_down(workers: Workers) -> None:
    """Let what is under way come to its end, within `DRAIN`; nothing more begins."""
    for worker in workers:
        worker.begin_nothing_more()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.gather(*(worker.drain() for worker in workers)), DRAIN)
    for worker in workers:
        await worker.close()


def _hook(settings: Settings) -> Hook | None:
    """Return the operator's hook, if there is one, and say once what its word means beside max_age."""
    if settings.hook is None:
        return None
    hook = Hook(settings.hook, limit=settings.policy.timeout, time_limit=settings.hook_timeout)
    if settings.policy.max_age:
        remedy = "return None" if hook.named else "take verdict as an argument and return None"
        log.info(
            "a server of which cull_arbiter_hook says False is kept beyond max_age, too; to leave it to"
            " max_age, %s",
            remedy,
        )
    return hook


def _rooms(
    settings: Settings, hub: HubApi, store: Store, sight: Sight, book: TokenBook, judge: Judge
) -> tuple[Context, Workers]:
    """Put together what decides and stops, and what takes reports."""
    policy, limits = settings.policy, settings.limits
    confirm = make_confirm(hub, store, sight, judge, clock.now)
    executor = Executor(
        hub,
        store,
        confirm,
        clock.now,
        concurrency=settings.concurrency,
        limits=limits,
        back_off=settings.cull_every,
    )
    roster, deleter = _users(settings, hub, store, sight, executor)
    every = settings.cull_every
    features = _features(settings, judge)
    loop = Loop(hub, store, sight, executor, judge, features=features, limits=limits, cull_every=every)
    loop.roster = roster
    pause = min(FIRST_PAUSE, report_interval(policy))
    directory = Directory(hub, store, sight, clock.now, pause)
    ingest = Ingest(book, directory, store, sight, policy, clock.now, judge.awaits_check)
    context = Context(
        hub=hub,
        store=store,
        sight=sight,
        ingest=ingest,
        loop=loop,
        now=clock.now,
        cull_every=every,
        dry_run=limits.dry_run,
    )
    return context, (executor,) if deleter is None else (executor, deleter)


def _features(settings: Settings, judge: Judge) -> Features:
    """Return what the operator turned on, as far as it needs scopes."""
    return Features(
        settings.limits.dry_run,
        users=settings.delete_idle_users,
        users_by_age=bool(settings.policy.max_age),
        groups="groups" in judge.hook_names,
    )


def _users(
    settings: Settings, hub: HubApi, store: Store, sight: Sight, executor: Executor
) -> tuple[Roster, Deleter] | tuple[None, None]:
    """Put together what deletes users, if that is wanted, and say in plain words that it is."""
    if not settings.delete_idle_users:
        return None, None
    policy, limits = UserPolicy(settings.policy, admins=settings.cull_admin_users), settings.limits
    log.warning("%s", announcement(policy, dry_run=limits.dry_run))
    judge, every = UserJudge(store, sight, policy), settings.cull_every
    deleter = Deleter(
        hub,
        store,
        make_confirm_user(hub, sight, judge, clock.now),
        clock.now,
        slots=executor.share(),
        dry_run=limits.dry_run,
        back_off=every,
    )
    return Roster(hub, sight, judge, deleter, budget=limits.stops, cull_every=every), deleter


async def _work(settings: Settings, context: Context, workers: Workers, parent: int) -> None:
    """Run the cycles and the small chores until something asks for the end."""
    log.info("hubcull %s: %s", __version__, settings)
    stop = _stop_event()
    chores = [context.loop.run(clock.now), _flush(context.store, context.sight), _prune(context.store)]
    if settings.managed:
        chores.append(_watch_parent(stop, parent))
    async with _tasks(*chores):
        await stop.wait()
    log.info("stopping; %s is under way", "something" if any(w.busy for w in workers) else "nothing")


@contextlib.asynccontextmanager
async def _tasks(*chores: object) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(chore) for chore in chores]  # type: ignore[call-overload]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _stop_event() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set; the Hub sends the first, then the second."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _watch_parent(stop: asyncio.Event, parent: int) -> None:
    """End with the Hub: after a SIGKILL of it an orphan would hold the port of its successor.

    ``parent`` is the process that started us, asked for before anything else: it may be gone by now.
    """
    while os.getppid() == parent:  # noqa: ASYNC110 - no event tells of a parent's death
        await asyncio.sleep(PARENT_EVERY)
    log.warning("the Hub that started this service is gone; ending")
    stop.set()


async def _flush(store: Store, sight: Sight) -> None:
    while True:
        await asyncio.sleep(FLUSH_EVERY)
        try:
            await store.flush(sight.heard)
        except Exception:  # evidence stays in memory and is written with the next flush
            log.exception("writing evidence failed")


async def _prune(store: Store) -> None:
    while True:
        await store.prune(clock.now())
        await asyncio.sleep(PRUNE_EVERY)


async def _repeat(error: str, every: float) -> None:
    while True:
        log.error("nothing is stopped: %s", error)
        await asyncio.sleep(every)
