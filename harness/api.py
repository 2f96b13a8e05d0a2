"""The Hub's REST API, as tests and the demo use it: with the token of an all-powerful service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from harness.calls import Answer, call
from harness.waiting import wait_until


class HubError(Exception):
    """The Hub refused, or did not do, what was asked of it."""


def _server_path(user: str, name: str) -> str:
    tail = f"servers/{quote(name, safe='')}" if name else "server"
    return f"/users/{quote(user, safe='')}/{tail}"


def moment(text: str | None) -> datetime | None:
    """Return the moment that an ISO time of the Hub's or of hubcull's means."""
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))


def age(text: str | None) -> float:
    """Return how many seconds ago an ISO time of the Hub's was; infinite for None."""
    then = moment(text)
    return float("inf") if then is None else (datetime.now(timezone.utc) - then).total_seconds()


class HubAPI:
    """The Hub's REST API at ``url`` (`http://…/hub/api`, not through the proxy), used with ``token``."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token

    def call(self, method: str, path: str, body: object = None, token: str | None = None) -> Answer:
        """Send one request, with another ``token`` if one is given; any status is an answer."""
        return call(method, self.url + path, token=token or self.token, body=body, timeout=60)

    def must(self, method: str, path: str, body: object = None, also: Iterable[int] = ()) -> Answer:
        """Send one request.

        Raises:
            HubError: for a status of 300 and above that is not in ``also``.

        """
        answer = self.call(method, path, body)
        if not answer.ok and answer.status not in also:
            raise HubError(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        return answer

    def version(self) -> str:
        """Return the version of the running Hub, as it says."""
        return str(self.must("GET", "/").json()["version"])

    # users and tokens

    def create_user(self, user: str) -> None:
        """Create the user; one that exists already is fine."""
        self.must("POST", f"/users/{quote(user, safe='')}", also=[409])

    def user_model(self, user: str) -> dict[str, Any] | None:
        """Return the Hub's model of a user, None where it knows none of that name."""
        answer = self.must("GET", f"/users/{quote(user, safe='')}", also=[404])
        model: dict[str, Any] = answer.json()
        return model if answer.ok else None

    def be_active(self, user: str) -> None:
        """Have the Hub note activity of the user now."""
        now = datetime.now(timezone.utc).isoformat()
        self.must("POST", f"/users/{quote(user, safe='')}/activity", {"last_activity": now})

    def mint_token(self, user: str, scopes: Sequence[str] | None = None, note: str = "harness") -> str:
        """Return a new API token of the user, with all the user may do or with ``scopes``."""
        body: dict[str, object] = {"note": note}
        if scopes is not None:
            body["scopes"] = list(scopes)
        answer = self.must("POST", f"/users/{quote(user, safe='')}/tokens", body)
        return str(answer.json()["token"])

    def delete_tokens(self, user: str, note_prefix: str) -> int:
        """Delete the user's tokens whose note begins so (`Server at`: those of servers); return how many."""
        path = f"/users/{quote(user, safe='')}/tokens"
        tokens = self.must("GET", path).json()["api_tokens"]
        doomed = [each["id"] for each in tokens if each["note"].startswith(note_prefix)]
        for token_id in doomed:
            self.must("DELETE", f"{path}/{token_id}")
        return len(doomed)

    def whoami(self, token: str) -> Answer:
        """Ask the Hub whose token this is."""
        return self.call("GET", "/user", token=token)

    # servers

    def request_server(self, user: str, name: str = "", **options: object) -> None:
        """Ask for a server's start and do not wait; `start_server` says what ``options`` are."""
        self.create_user(user)
        self.must("POST", _server_path(user, name), options)

    def start_server(
        self, user: str, name: str = "", within: float = 60, **options: object
    ) -> dict[str, Any]:
        """Start a server, wait until it is ready, and return the Hub's model of it.

        Options: ``extension=False`` runs it without hubcull's, ``lab`` says whether with JupyterLab where
        that is not as the Hub's options say, ``args`` adds command line arguments, ``env`` adds environment
        variables, ``program`` is the singleuser of another environment. They become the server's
        ``user_options``.

        Raises:
            HubError: when the start failed.
            TimeoutError: when it is not ready within ``within`` seconds.

        """
        self.request_server(user, name, **options)
        return self.wait_ready(user, name, within)

    def wait_ready(self, user: str, name: str = "", within: float = 60) -> dict[str, Any]:
        """Wait for a requested server and return the Hub's model of it; errors as `start_server`."""

        def look() -> dict[str, Any] | None:
            model = self.server_model(user, name)
            if model is None:
                raise HubError(f"the start of {user}/{name} failed")
            return model if model["ready"] else None

        return wait_until(look, within, f"{user}/{name} is ready", every=0.2)

    def server_model(self, user: str, name: str = "") -> dict[str, Any] | None:
        """Return the Hub's model of a server that runs, starts or stops, else None."""
        answer = self.must("GET", f"/users/{quote(user, safe='')}", also=[404])
        model: dict[str, Any] | None = answer.json().get("servers", {}).get(name)
        return None if model is None or model.get("stopped") else model

    def is_ready(self, user: str, name: str = "") -> bool:
        """Whether the Hub says that this server is ready."""
        model = self.server_model(user, name)
        return model is not None and bool(model["ready"])

    def servers(self) -> dict[str, dict[str, Any]]:
        """Return the Hub's models of all servers that are not stopped, by `user/name`, of at most 200 users.

        One question costs the Hub a tenth of what asking for a dozen users one by one does.
        """
        users = self.must("GET", "/users?limit=200").json()
        return {
            f"{user['name']}/{name}": model
            for user in users
            for name, model in user.get("servers", {}).items()
            if not model.get("stopped")
        }

    def servers_ready(self) -> set[str]:
        """Return the ready servers as `user/name`; at most 200 users are looked at."""
        return {key for key, model in self.servers().items() if model["ready"]}

    def stop_server(self, user: str, name: str = "", within: float = 60) -> None:
        """Stop a server and wait until the Hub no longer lists it."""
        self.must("DELETE", _server_path(user, name))
        self.wait_gone(user, name, within)

    def wait_gone(self, user: str, name: str = "", within: float = 60) -> None:
        """Wait until the Hub no longer lists the server; TimeoutError after ``within`` seconds."""
        wait_until(lambda: self.server_model(user, name) is None, within, f"{user}/{name} is gone")

    def server_pid(self, user: str, name: str = "") -> int:
        """Return the process id of the server; HubError where the Hub knows none."""
        model = self.server_model(user, name)
        state: Mapping[str, Any] = (model or {}).get("state") or {}
        if not state.get("pid"):
            raise HubError(f"no process is known of {user}/{name}: {model}")
        return int(state["pid"])

    def last_activity_age(self, user: str, name: str = "") -> float:
        """Return how many seconds old the Hub's ``last_activity`` of the server is.

        Raises:
            HubError: when the server does not run.

        """
        model = self.server_model(user, name)
        if model is None:
            raise HubError(f"{user}/{name} does not run")
        return age(model["last_activity"])
