"""The second look, right before a stop: the Hub is read again and the decision is made again."""

from __future__ import annotations

from collections.abc import Callable

from hubcull_hub.executor import Confirm, Hub
from hubcull_hub.judge import Judge
from hubcull_hub.model import Action, Instant, Outcome, Result, Verdict
from hubcull_hub.sight import Sight
from hubcull_hub.store import Store


def make_confirm(hub: Hub, store: Store, sight: Sight, judge: Judge, now: Callable[[], Instant]) -> Confirm:
    """Return the executor's second look.

    The Hub has no conditional stop (REST API up to 6.1), so the server is read right before: it must be the
    same incarnation, ready, with nothing pending, and everything known by then must still say *cull*.
    """

    async def confirm(verdict: Verdict) -> Outcome | None:
        key = verdict.key
        asked = now()
        server = await hub.read_server(key)
        moment = now()
        sight.look(moment)
        if server is None:
            store.drop_incarnation(key, verdict.started)
            return Outcome(verdict, Result.GONE, "it was stopped already")
        store.put_server(server, asked, sight.heard)
        if server.started != verdict.started:
            return Outcome(verdict, Result.REPLACED, f"started again at {server.started}")
        again = await judge.rule(server, lambda s: store.evidence(s, sight.watch(), moment), moment)
        if again.action is not Action.CULL:
            return Outcome(verdict, Result.SPARED, f"{again.reason.value}: {again.text}")
        return None

    return confirm
