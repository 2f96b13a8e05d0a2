"""The routes of configurable-http-proxy, through its own API: to lose one, or to cut one off."""

from __future__ import annotations

from typing import Any

from harness.calls import call
from harness.ports import free_ports
from harness.waiting import wait_until


class ProxyRoutes:
    """The proxy's routes; paths as in `/services/hubcull`, without a closing slash.

    The Hub puts a removed route back whenever it looks at the proxy, which is every
    ``last_activity_interval``. `cut` lasts, for the Hub does not look at what is not its own.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token

    def _call(self, method: str, path: str = "", body: object = None) -> Any:
        answer = call(method, f"{self.url}/api/routes{path}", token=self.token, body=body)
        if not answer.ok:
            raise ConnectionError(f"{method} {path} at the proxy: {answer.status}")
        return answer.json()

    def all(self) -> dict[str, dict[str, Any]]:
        """Return every route by its path, with its target and data; the Hub's own is `/`."""
        routes: dict[str, dict[str, Any]] = self._call("GET")
        return routes

    def remove(self, path: str) -> dict[str, Any]:
        """Remove a route and return it, for `restore`."""
        route = self.all()[path]
        self._call("DELETE", path)
        return route

    def restore(self, path: str, route: dict[str, Any]) -> None:
        """Put back a route that `remove` returned."""
        self._call("POST", path, route)

    def wait_for(self, path: str, within: float = 30) -> None:
        """Wait until the route is there; TimeoutError after ``within`` seconds."""
        wait_until(lambda: path in self.all(), within, f"the proxy routes {path}")

    def cut(self, path: str) -> None:
        """Send what goes to ``path`` and below to a port where nobody listens, until `mend`.

        ``path`` must lie below a route, not on it: `/services/hubcull/api`.
        """
        self._call("POST", path, {"target": f"http://127.0.0.1:{free_ports(1)[0]}"})

    def mend(self, path: str) -> None:
        """Undo `cut`."""
        self._call("DELETE", path)
