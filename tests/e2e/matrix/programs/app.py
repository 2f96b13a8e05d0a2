"""An app behind a proxy: a page, a heartbeat, and a stream of events that never ends.

Its arguments are the port and the file into which it writes a dot for each event that somebody took.
"""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class App(BaseHTTPRequestHandler):
    """Answers everything; `/events` for as long as somebody listens."""

    def do_GET(self) -> None:
        """Answer."""
        events = self.path.endswith("/events")
        self.send_response(200)
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
