"""The extension itself: wiring, start and stop. Inert outside a Hub or without a service.

It knows which pieces there are and hands each its clock, settings and callbacks. It owns
no rule: what is seen is in `signals`, when it is sent in `reporter`.
"""

from __future__ import annotations

import asyncio
import os
import platform
import random
import secrets
from pathlib import Path
from typing import Any

import jupyter_server
from jupyter_server.extension.application import ExtensionApp
from tornado.httpclient import HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from hubcull_server_ext import __version__, clock, wire
from hubcull_server_ext.brevity import brief
from hubcull_server_ext.config import HubcullSettings
from hubcull_server_ext.reporter import HttpAnswer, Reporter, Tools, wait_for_event
from hubcull_server_ext.signals.app_traffic import HEARTBEATS
from hubcull_server_ext.signals.interplay import InterplaySource
from hubcull_server_ext.signals.jobs import NOT_WORK
from hubcull_server_ext.signals.work_clock import WorkClock
from hubcull_server_ext.snapshot import Boot, Collector, build_report
from hubcull_server_ext.sources import make_sources

_HTTP_TIMEOUT = 10.0
LONGEST_ACT = 30.0
"""Seconds that a source may take for one look before the others, and the report, go on without it."""
_MAX_ANSWER_BYTES = 256 * 1024


class HubcullExtension(HubcullSettings, ExtensionApp):
    """Reports what really happens in this server to hubcull's service, which decides."""

    name = "hubcull"
    default_not_work = NOT_WORK
    default_app_heartbeats = HEARTBEATS

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._begun = False
        self._tasks: list[asyncio.Task[None]] = []
        self._client: SimpleAsyncHTTPClient | None = None
        self._sources: dict[str, Any] = {}
        self._work_clock: WorkClock | None = None
        self._late: dict[tuple[str, str], asyncio.Future[Any]] = {}
        self._looking = asyncio.Lock()

    def initialize_handlers(self) -> None:
        """Load: nothing but a note to begin once the loop runs and all extensions are there."""
        # jupyter_server calls the hook below since 2.15 only; this works with every 2.x.
        assert self.serverapp is not None  # noqa: S101 - an initialized extension is linked
        self.serverapp.io_loop.add_callback(self.begin)

    async def _start_jupyter_server_extension(self, serverapp: object = None) -> None:
        """Begin once the server runs; jupyter_server's hook."""
        self.begin()

    def begin(self) -> None:
        """Start to watch and to report, once; a failure is logged and leaves the server alone."""
        if self._begun:
            return
        self._begun = True
        try:
            self._begin()
        except Exception:
            self.log.exception("hubcull could not start; this server does not report")

    def _begin(self) -> None:
        user, token = os.environ.get("JUPYTERHUB_USER"), os.environ.get("JUPYTERHUB_API_TOKEN")
        if not user or not token:
            self.log.info("hubcull does nothing: this server was not started by a JupyterHub")
            return
        url = self.found_service_url()
        if not url:
            self.log.info(
                "hubcull does nothing: no service; set HUBCULL_URL in the spawner's environment, "
                "or HubcullExtension.service_url"
            )
            return
        self.log.info("hubcull reports to %s", url)
        self._client = SimpleAsyncHTTPClient(force_instance=True, max_body_size=_MAX_ANSWER_BYTES)
        reporter = Reporter(self._tools(url, token, user), self.log, self.first_report_within)
        assert self.serverapp is not None  # noqa: S101 - an initialized extension is linked
        self._sources, off, self._work_clock = make_sources(self, self.serverapp, reporter.poke)
        self._collector = Collector(tuple(self._sources.values()), off)
        self._tell_cullers()
        self._tasks = [asyncio.ensure_future(reporter.run()), asyncio.ensure_future(self._keep_sampling())]

    def _tools(self, url: str, token: str, user: str) -> Tools:
        boot = Boot(
            boot_id=secrets.token_hex(16),
            started=clock.monotonic(),
            server=f"{user}/{os.environ.get('JUPYTERHUB_SERVER_NAME', '')}",
            about=about(),
        )

        async def build(sequence: int) -> wire.Report:
            # A report is only as good as the newest look; the service may stop a server upon it.
            await self._each("hurry")
            await self._sample()
            return brief(build_report(boot, sequence, self._collector, clock.monotonic()))

        async def send(body: bytes) -> HttpAnswer:
            return await self._post(f"{url}{wire.REPORTS_PATH}", token, body)

        return Tools(build, send, clock.monotonic, wait_for_event, random.random)

    def _tell_cullers(self) -> None:
        """Say in the log which cullers the server has itself: hubcull has no power over them."""
        source = self._sources.get("interplay")
        try:
            words = source.words() if isinstance(source, InterplaySource) else ""
        except Exception:  # the source fails in the report, too, and says so there
            self.log.debug("hubcull: the server's own cullers can not be told", exc_info=True)
            return
        if words:
            self.log.warning("hubcull: this server also culls by itself, whatever hubcull keeps: %s", words)

    async def _keep_sampling(self) -> None:
        await self._each("start")
        while True:
            await self._sample()
            await asyncio.sleep(self.sample_interval)

    async def _sample(self) -> None:
        """Let the sources that must look, look; one look at a time."""
        async with self._looking:
            await self._each("reconcile")
            await self._each("sample")
            self._show_work()

    def _show_work(self) -> None:
        """Show our clock of work to others, if asked to; reports go out whatever comes of it."""
        try:
            if self._work_clock is not None:
                self._work_clock.publish(clock.monotonic())
        except Exception:
            self.log.debug("hubcull: work can not be shown to others", exc_info=True)

    async def _each(self, act: str) -> None:
        """Let every source that has this act do it; one that fails is reported as failed."""
        for name, source in self._sources.items():
            if not hasattr(source, act):
                continue
            try:
                await self._act(name, source, act)
                self._collector.note(name, act, None)
            except Exception as error:
                self._collector.note(name, act, type(error).__name__)
                self.log.debug("hubcull: %s of %s failed", act, name, exc_info=True)

    async def _act(self, name: str, source: Any, act: str) -> None:
        """Let one source do one act; one that does not end is left alone until it has, and then done anew.

        Raises:
            asyncio.TimeoutError: when it takes too long, and while it still goes on afterwards.

        """
        late = self._late.get((name, act))
        if late is not None:
            if not late.done():
                raise asyncio.TimeoutError
            del self._late[name, act]
            late.result()  # what it saw may be long past: it says no more than whether it failed
        result = getattr(source, act)()
        if not isinstance(result, asyncio.Future):
            if not asyncio.iscoroutine(result):
                return
            result = asyncio.ensure_future(result)
        try:
            await asyncio.wait({result}, timeout=LONGEST_ACT)
        except asyncio.CancelledError:
            result.cancel()
            raise
        if not result.done():
            self._late[name, act] = result
            raise asyncio.TimeoutError
        result.result()

    async def _post(self, url: str, token: str, body: bytes) -> HttpAnswer:
        """Post a report. A redirect is an answer like any other: the token goes to no other address."""
        assert self._client is not None  # noqa: S101 - made before anything is sent
        request = HTTPRequest(
            url,
            method="POST",
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            body=body,
            follow_redirects=False,
            connect_timeout=_HTTP_TIMEOUT,
            request_timeout=_HTTP_TIMEOUT,
        )
        response = await self._client.fetch(request, raise_error=False)
        return HttpAnswer(response.code, response.body)

    def current_activity(self) -> None:
        """Say nothing: what we watch must not hold back the server's own shutdown when idle."""

    async def stop_extension(self) -> None:
        """End the tasks and close the sockets; runs while the kernels are still alive."""
        tasks, self._tasks = [*self._tasks, *self._late.values()], []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._each("stop")
        if self._client is not None:
            self._client.close()


def about() -> wire.About:
    """Return what this server is, from its environment as JupyterHub's spawners set it."""
    env = os.environ
    return wire.About(
        hubcull=__version__,
        jupyter_server=jupyter_server.__version__,
        python=platform.python_version(),
        image=env.get("JUPYTER_IMAGE") or env.get("JUPYTER_IMAGE_SPEC") or None,
        mem_limit=_whole(env.get("MEM_LIMIT")),
        mem_guarantee=_whole(env.get("MEM_GUARANTEE")),
        cpu_limit=_number(env.get("CPU_LIMIT")),
        cpu_guarantee=_number(env.get("CPU_GUARANTEE")),
        gpus=_gpus(Path("/proc/driver/nvidia/gpus")),
    )


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _whole(text: str | None) -> int | None:
    value = _number(text)
    return None if value is None else int(value)


def _gpus(folder: Path) -> int | None:
    try:
        return sum(1 for _ in folder.iterdir())
    except OSError:
        return None
