"""The aiohttp application, at the prefix that the Hub's proxy routes to it."""

from __future__ import annotations

from aiohttp import web

from hubcull_hub.web import api, views
from hubcull_hub.web.context import HOLDER, LARGEST_BODY, Holder
from hubcull_server_ext.wire import REPORTS_PATH


def make_app(holder: Holder, prefix: str) -> web.Application:
    """Return the application of the service, every route below ``prefix``.

    It answers from the first moment on: the Hub waits for that, and gives up on a service that is slow.
    """
    app = web.Application(client_max_size=LARGEST_BODY)
    app[HOLDER] = holder
    base = "/" + prefix.strip("/")
    base = base if base.endswith("/") else base + "/"
    app.add_routes(
        [
            web.get(base, api.health),
            web.post(base + REPORTS_PATH, api.post_report),
            web.get(base + "api/v1/servers", api.get_servers),
            web.get(base + "api/v1/status", api.get_status),
        ]
    )
    return app


def make_broken_app(error: str) -> web.Application:
    """Return the application of a service that can not work: it answers, says why, and stops nothing.

    A managed service that exits at its start takes the Hub down with it, and so does one that answers 5xx
    (JupyterHub >= 5.2.1), so the check of its prefix gets 200 here, too.
    """

    async def say(request: web.Request) -> web.Response:
        body = views.envelope(problems=[error], code="misconfigured", message=error, retry_in=300.0)
        return web.json_response(body, status=200 if request.method in {"GET", "HEAD"} else 503)

    app = web.Application(client_max_size=LARGEST_BODY)
    app.router.add_route("*", "/{path:.*}", say)
    return app
