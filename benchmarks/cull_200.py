"""How long it takes to stop 200 idle servers whose stop takes a second, ten at a time.

The real jupyterhub-idle-culler and hubcull, as processes, each at its own replay of the same Hub, at the same
time. The ideal is what ``concurrency`` promises: 200 stops of 1 s, ten at once, are 20 s.
"""

from __future__ import annotations

from benchmarks.figures import Figure
from tests.parity.cullers import Scene, side_by_side
from tests.parity.replay import ReplayHub, Reply
from tests.parity.states import user

SERVERS = 200
STOP_TAKES = 1.0
CONCURRENCY = 10
IDEAL_S = SERVERS * STOP_TAKES / CONCURRENCY
AIM = 1.15
PATIENCE = 2 * SERVERS * STOP_TAKES


def scene() -> Scene:
    """Return the Hub, and the options of both."""
    return Scene(
        users=lambda: [user(f"user-{number:03}") for number in range(SERVERS)],
        options=("--timeout=3600", f"--concurrency={CONCURRENCY}"),
        hub={"script": {"DELETE *": Reply(after=STOP_TAKES)}},
        last=False,
        until_theirs=lambda process: process.hub.idle,
        until_ours=lambda process: process.hub.idle,
        patience=PATIENCE,
    )


def sweep(hub: ReplayHub) -> float:
    """Return the seconds from the request for the list to the answer to the last stop."""
    listed = next(seen.at for seen in hub.times if seen.request.path.startswith("/users?"))
    return max(seen.answered for seen in hub.times if seen.request.method == "DELETE") - listed


def run() -> list[Figure]:
    """Let both stop the 200 servers."""
    pair = side_by_side(scene)
    theirs, ours = sweep(pair.theirs.hub), sweep(pair.ours.hub)
    if pair.theirs.deletes != pair.ours.deletes or len(pair.ours.deletes) != SERVERS:
        raise RuntimeError("the two did not stop the same servers")
    details = {
        "hubcull_s": ours,
        "idle_culler_s": theirs,
        "ideal_s": IDEAL_S,
        "servers": SERVERS,
        "stop_takes_s": STOP_TAKES,
        "concurrency": CONCURRENCY,
        "hubcull_at_once": pair.ours.hub.peak["DELETE"],
        "idle_culler_at_once": pair.theirs.hub.peak["DELETE"],
    }
    return [
        Figure("cull_200", ours / IDEAL_S, "times", "the ideal", f"<= {AIM}", ours <= AIM * IDEAL_S, details),
        Figure("cull_200_beside", ours / theirs, "times", "jupyterhub-idle-culler 2.0.0", details=details),
    ]
