"""Watching all servers of a Hub at once: the Hub's word, and hubcull's, every second or two."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any

from harness.api import HubError, age, moment
from harness.realhub import RealHub
from harness.waiting import wait_until

_EVERY = 1.5


@dataclass
class Seen:
    """What was seen of one user's default server; moments are monotonic seconds.

    ``started`` is the Hub's word for which of the user's servers it is, ``ages`` are (moment, age of the
    Hub's last_activity); ``verdict`` is hubcull's newest.
    """

    started: datetime | None = None
    ages: list[tuple[float, float]] = field(default_factory=list)
    gone: float | None = None
    verdict: dict[str, Any] = field(default_factory=dict)

    def oldest_activity(self, since: float) -> float:
        """How old the Hub's last_activity ever was since a moment."""
        return max((old for at, old in self.ages if at >= since), default=0.0)


class Watch:
    """Watches from a thread until it is closed."""

    def __init__(self, hub: RealHub) -> None:
        self.hub = hub
        self.seen: dict[str, Seen] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> Watch:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._over.set()
        self._thread.join()

    def begin(self, user: str) -> Seen:
        """Watch a server that is ready from now on; what is said of an earlier one is not its."""
        model = self.hub.api.server_model(user) or {}
        return self.seen.setdefault(user, Seen(moment(model.get("started"))))

    def decision(self, user: str, within: float = 15) -> dict[str, Any]:
        """Return hubcull's decision by which the server that is watched was stopped, empty where none was."""
        started = self.seen[user].started

        def look() -> dict[str, Any] | None:
            answer = self.hub.ask_service(f"api/v1/servers?user={user}&server=")
            made = [d for d in (answer.json()["decisions"] if answer.ok else ()) if d["result"] == "stopped"]
            return next((dict(each) for each in made if moment(each["started"]) == started), None)

        try:
            return wait_until(look, within, "the stop is written down", every=0.5)
        except TimeoutError:
            return {}

    def signals(self, user: str) -> list[str]:
        """Return what the newest report of the user's default server says, a line for each signal."""
        answer = self.hub.ask_service(f"api/v1/servers?user={user}&server=")
        servers = answer.json()["servers"] if answer.ok else []
        found = servers[0] if servers else {}
        return [" ".join(f"{k}={v}" for k, v in each.items()) for each in found.get("signals", ())] + [
            f"fault {each['name']}: {each['detail']}" for each in found.get("faults", ())
        ]

    def _go_on(self) -> None:
        while not self._over.wait(_EVERY):
            if self.seen:
                with suppress(OSError, HubError):  # on a busy machine an answer may be late: the next comes
                    self._look_at_hubcull()
                    self._look_at_the_hub()

    def _look_at_the_hub(self) -> None:
        users = self.hub.api.must("GET", "/users?limit=200").json()
        servers = {user["name"]: user["servers"].get("") for user in users}
        now = time.monotonic()
        for user, seen in list(self.seen.items()):
            model = servers.get(user)
            if model is None or model.get("stopped"):
                seen.gone = seen.gone or now
            elif model["ready"]:
                seen.ages.append((now, age(model["last_activity"])))

    def _look_at_hubcull(self) -> None:
        answer = self.hub.ask_service("api/v1/servers")
        for row in answer.json()["servers"] if answer.ok else []:
            seen = None if row["server"] else self.seen.get(row["user"])
            if seen is not None and moment(row["started"]) == seen.started:
                seen.verdict = row
