"""What stands around the measured processes: ``python -m benchmarks.stubs bare|sink|hub PORT``.

``bare`` is what reports are compared with: it reads and parses the same JSON and does nothing else. ``sink``
answers the extension's reports as a service does that keeps its server, and counts
and sizes them. ``hub`` knows made-up servers.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone

from aiohttp import web

from benchmarks.populations import token_of, user_name
from hubcull_server_ext import wire
from tests.component.hub.fake_hub import FakeHub, server_token

HUB_TOKEN = "token-of-the-service"  # noqa: S105 - of a made-up Hub on the loopback
HUB_SERVERS = 10_000
REPORT_IN = 150.0

_REPLY = wire.Reply("keep", "active", "somebody is there", "default", REPORT_IN, deadline_in=4 * REPORT_IN)


def bare() -> web.Application:
    """Return an application that only parses what is posted to it."""
    answer = wire.to_json(_REPLY)

    async def take(request: web.Request) -> web.Response:
        json.loads(await request.read())
        return web.json_response(answer)

    app = web.Application()
    app.add_routes([web.post("/reports", take), web.get("/", _alive)])
    return app


def sink() -> web.Application:
    """Return an application that takes reports, and says by server how many came, and the most bytes.

    At ``/count`` and ``/sizes``.
    """
    came: Counter[str] = Counter()
    sizes: dict[str, int] = {}

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        report = wire.report_from_json(json.loads(body))
        came[report.server] += 1
        sizes[report.server] = max(len(body), sizes.get(report.server, 0))
        return web.json_response(wire.to_json(_REPLY))

    async def count(_request: web.Request) -> web.Response:
        return web.json_response(came)

    async def largest(_request: web.Request) -> web.Response:
        return web.json_response(sizes)

    app = web.Application()
    app.add_routes([web.post(f"/{wire.REPORTS_PATH}", take), web.get("/count", count)])
    app.add_routes([web.get("/sizes", largest), web.get("/", _alive)])
    return app


def hub() -> web.Application:
    """Return a Hub with `HUB_SERVERS` users, the default server of each running."""
    made = FakeHub()
    made.tokens[HUB_TOKEN] = made.tokens.pop(made.token)
    started = datetime.now(timezone.utc) - timedelta(hours=10)
    for number in range(HUB_SERVERS):
        made.add_server(user_name(number), started=started, last_activity=started)
        made.tokens[token_of(number)] = server_token(user_name(number))
    app = web.Application()
    app.router.add_route("*", "/hub/api{path:.*}", made._handle)
    return app


async def _alive(_request: web.Request) -> web.Response:
    return web.Response()


async def main(kind: str, port: int) -> None:
    """Serve until the process is told to end."""
    runner = web.AppRunner({"bare": bare, "sink": sink, "hub": hub}[kind](), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
