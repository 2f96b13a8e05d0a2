"""The quietest of servers: it answers the Hub that it is there, and tells it of no activity."""

from __future__ import annotations

import http.server
import os
from urllib.parse import urlsplit


class Here(http.server.BaseHTTPRequestHandler):
    """Says yes to everything."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()


if __name__ == "__main__":
    url = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    http.server.ThreadingHTTPServer((url.hostname or "", url.port or 0), Here).serve_forever()
