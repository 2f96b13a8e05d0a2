"""One HTTP call, exactly as asked: no redirect is followed, no proxy of the environment is used."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the headers with lower-case names, and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the status is below 300."""
        return self.status < 300

    def json(self) -> Any:
        """Return the body as JSON, None where it is empty."""
        return json.loads(self.body) if self.body else None


def call(
    method: str,
    url: str,
    *,
    token: str | None = None,
    scheme: str = "token",
    body: object = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 30,
) -> Answer:
    """Send one request and return the answer, whatever its status.

    ``body`` is sent as it is where it is bytes, else as JSON; ``scheme`` is the word before the token.

    Raises:
        OSError: when nobody listens, or nobody answers within ``timeout`` seconds.

    """
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = dict(headers or {})
    if token is not None:
        sent["Authorization"] = f"{scheme} {token}"
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    if data is not None:
        sent.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=timeout)
    try:
        connection.request(method, target, data, sent)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    except http.client.HTTPException as error:
        raise ConnectionError(f"{method} {url}: {error!r}") from error
    finally:
        connection.close()
