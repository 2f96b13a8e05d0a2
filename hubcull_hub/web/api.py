"""The HTTP API below the service's prefix. Handlers only translate; they decide nothing."""

from __future__ import annotations

import json
import logging
from typing import Any

from aiohttp import web

from hubcull_hub import __version__
from hubcull_hub.database import DatabaseError
from hubcull_hub.hub_answers import HubError, TokenOwner
from hubcull_hub.ingest import Refused
from hubcull_hub.model import Instant, ServerKey
from hubcull_hub.reading import write_reply
from hubcull_hub.web import views
from hubcull_hub.web.context import HOLDER, LARGEST_BODY, Context
from hubcull_server_ext import wire

log = logging.getLogger(__name__)

SEES_ALL = frozenset({"list:users", "read:servers"})
"""Scopes, unfiltered, with which a token sees every server here, as it would at the Hub itself."""

HUB_BUSY = 10.0
"""Seconds after which a reporter tries again when the Hub could not be asked about its token."""


def token_of(request: web.Request) -> str | None:
    """Return the token of the Authorization header, in either of the Hub's spellings, or None."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if kind.lower() in {"token", "bearer"} else None


def refuse(status: int, code: str, message: str, retry_in: float = 60.0) -> web.Response:
    """Return a refusal, recognisably the service's."""
    return web.json_response(wire.to_json(wire.Refusal(code, message, retry_in)), status=status)


async def health(request: web.Request) -> web.Response:
    """Answer the Hub's check of a managed service; it must be below 500 whatever is the matter."""
    context = request.app[HOLDER].context
    problems = ["starting"] if context is None else context.problems()
    return web.json_response(views.envelope(version=__version__, problems=problems))


def _context(request: web.Request) -> Context:
    """Return what handlers work with; 503 as long as the service is starting."""
    context = request.app[HOLDER].context
    if context is None:
        refusal = wire.Refusal("starting", "the service is starting", 2.0)
        body = json.dumps(wire.to_json(refusal)).encode()
        raise web.HTTPServiceUnavailable(body=body, content_type="application/json")
    return context


async def post_report(request: web.Request) -> web.Response:
    """Take a report (`wire.Report`) and answer with a `wire.Reply` or a `wire.Refusal`."""
    token = token_of(request)
    if token is None:
        message = "send the server's own token: Authorization: Bearer $JUPYTERHUB_API_TOKEN"
        return refuse(403, "no-token", message)
    ingest = _context(request).ingest
    try:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            await ingest.refuse_large(token, LARGEST_BODY)
        reply = await ingest.accept(token, body)
    except Refused as refused:
        return web.json_response(wire.to_json(refused.refusal), status=refused.status)
    except HubError as error:
        log.warning("a report waits, the Hub could not be asked: %s", error)
        return refuse(503, "hub-unavailable", "the Hub could not be asked about this token", HUB_BUSY)
    return web.Response(body=write_reply(reply), content_type="application/json")


async def get_servers(request: web.Request) -> web.Response:
    """Return the verdict on every server that the caller may see.

    With ``user`` (and ``server``; the default server without) the details of that one, and the decisions
    written down about it, also when it no longer runs.
    """
    context = _context(request)
    try:
        owner = await _owner(context, token_of(request))
    except HubError as error:
        log.warning("the API could not ask the Hub: %s", error)
        return refuse(503, "hub-unavailable", "the Hub could not be asked about this token", HUB_BUSY)
    if owner is None:
        return refuse(403, "invalid-token", "send a token that the Hub knows: Authorization: token …")
    sees_all = owner.scopes >= SEES_ALL
    if not sees_all and owner.kind != "user":
        message = "a service's token sees servers with the scopes list:users and read:servers"
        return refuse(403, "missing-scope", message)
    user = request.query.get("user")
    if user is not None and not sees_all and user != owner.name:
        return refuse(403, "missing-scope", f"this token sees the servers of {owner.name} only")
    if user is not None:
        key = ServerKey(user, request.query.get("server", ""))
        return web.json_response(await _one(context, key))
    return web.json_response(_all(context, None if sees_all else owner.name))


async def _owner(context: Context, token: str | None) -> TokenOwner | None:
    if token is None:
        return None
    async with context.visitors:
        return await context.hub.token_owner(token)


def _all(context: Context, only: str | None) -> dict[str, Any]:
    now = context.now()
    last = context.loop.last
    deferred = {} if last is None else {v.key: why for v, why in last.plan.deferred}
    watch = context.sight.watch()
    servers = [
        views.server(
            verdict,
            context.store.evidence(context.store.servers[verdict.key], watch, now),
            now,
            deferred.get(verdict.key),
        )
        for verdict in context.loop.verdicts(now, only)
    ]
    return views.envelope(
        at=views.stamp(now.utc),
        cycle=0 if last is None else last.number,
        cull_every=context.cull_every,
        dry_run=context.dry_run,
        problems=context.problems(),
        servers=servers,
        delete_idle_users=context.loop.roster is not None,
        users=_users(context, now, only),
    )


def _users(context: Context, now: Instant, only: str | None) -> list[dict[str, Any]]:
    """Return the users who are due, or would be; none where users are left alone."""
    roster, last = context.loop.roster, context.loop.last
    if roster is None:
        return []
    report = None if last is None else last.users
    deferred = {} if report is None else {v.key: why for v, why in report.plan.deferred}
    return [
        views.user(verdict, now, deferred.get(verdict.key))
        for verdict in roster.verdicts(now)
        if only is None or verdict.key == only
    ]


async def _one(context: Context, key: ServerKey) -> dict[str, Any]:
    everything = _all(context, key.user)
    found = [s for s in everything["servers"] if s["server"] == key.server]
    try:
        decisions = await context.store.decisions(key)
    except DatabaseError as error:
        log.error("earlier decisions can not be read: %s", error)
        decisions = []
    now = context.now()
    state = context.store.servers.get(key)
    if state is not None and found:
        evidence = context.store.evidence(state, context.sight.watch(), now)
        found[0].update(views.detail(evidence, decisions))
    everything["servers"] = found
    everything["decisions"] = [views.decision(d) for d in decisions]
    return everything


async def get_status(request: web.Request) -> web.Response:
    """Return counts of the last cycle and what is the matter; no names, so no token is needed."""
    context = _context(request)
    return web.json_response(views.status(context.loop.last, context.problems(), context.ingest.refused))
