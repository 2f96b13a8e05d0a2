"""The port of the service: taken, with TLS or without, and given back in order."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections.abc import AsyncIterator
from ssl import SSLContext

from aiohttp import web

from hubcull_hub import clock
from hubcull_hub.tls import CertFiles, server_context

log = logging.getLogger(__name__)

CLOSE = 2.0
"""Seconds for requests under way to be answered at a shutdown."""

PORT_FREED_IN = 10.0
"""Seconds to wait for the port: an orphan of a killed Hub notices within `PARENT_EVERY` and frees it."""

HTTPS_URL = (
    "the service's url is https; a Hub up to 6.1 can not check such a url of a service that it starts, and"
    " from 5.2.1 on ends for that: if this one does, give the entry an http url on loopback"
)


@contextlib.asynccontextmanager
async def at(
    app: web.Application, bind: tuple[str, int] | None, certs: CertFiles | None
) -> AsyncIterator[None]:
    """Listen there, with TLS where there are certificates, as long as the context lasts; None is nowhere."""
    if bind is None:
        yield
        return
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE)
    await runner.setup()
    try:
        await _start_site(runner, bind, server_context(certs) if certs else None)
        log.info("listening on %s:%d%s", *bind, ", with TLS" if certs else "")
        yield
    finally:
        await runner.cleanup()


async def _start_site(runner: web.AppRunner, bind: tuple[str, int], tls: SSLContext | None) -> None:
    """Listen, waiting a little for a port that is about to be freed."""
    deadline = clock.now().mono + PORT_FREED_IN
    while True:
        try:
            await web.TCPSite(runner, *bind, ssl_context=tls).start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE or clock.now().mono > deadline:
                raise
            await asyncio.sleep(0.5)
        else:
            return
