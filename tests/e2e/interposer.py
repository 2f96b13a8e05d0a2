"""A wire between the service and the real Hub at which a test can act just before a request arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from aiohttp import ClientSession, web

from harness.background import run

Act = Callable[[str, str], None]
"""Called in a thread with method and path before a request is passed on."""


class Interposer:
    """Passes every request on to the Hub's API, as it is; ``url`` is where the service is sent."""

    def __init__(self, api_url: str) -> None:
        self._to = api_url.removesuffix("/hub/api")
        self.before: Act | None = None
        self.url = ""

    def __enter__(self) -> Interposer:
        """Listen on a free port of the loopback."""
        run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        run(self._stop())

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._session = ClientSession()
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/hub/api"

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _pass(self, request: web.Request) -> web.Response:
        if self.before is not None:
            await asyncio.to_thread(self.before, request.method, request.path)
        headers = {k: v for k, v in request.headers.items() if k.lower() in {"authorization", "accept"}}
        async with self._session.request(
            request.method, self._to + request.raw_path, headers=headers, data=await request.read()
        ) as answer:
            body = await answer.read()
            return web.Response(status=answer.status, body=body, content_type=answer.content_type)
