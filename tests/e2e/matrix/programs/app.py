"""An app behind a proxy: a page, a heartbeat, a large file, and a stream of events that never ends.

Its arguments are the port and the file into which it writes a dot for each event that somebody took.
"""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LARGE = 60_000_000
"""Bytes of the file."""


class App(BaseHTTPRequestHandler):
    """Answers everything; `/events` for as long as somebody listens."""

    def do_GET(self) -> None:
        """Answer."""
        events = self.path.endswith("/events")
        self.send_response(200)
        if self.path.endswith("/file"):
            self.send_header("Content-Length", str(LARGE))
            self.end_headers()
            self.wfile.write(bytes(LARGE))
            return
        self.send_header("Content-Type", "text/event-stream" if events else "text/html")
        self.end_headers()
        self.wfile.write(b"data: hello\n\n")
        while events:
            time.sleep(1)
            self.wfile.write(b"data: tick\n\n")
            self.wfile.flush()
            with Path(sys.argv[2]).open("a", encoding="utf-8") as taken:
                taken.write(".")


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), App).serve_forever()
