"""Another machine that runs kernels, as near as one machine can have it: no relation of those who ask it.

``cluster.py FILE`` leaves its parents, writes its port into the file, and takes one request in JSON a
connection. It tells names of jobs, never numbers of processes. When the connection of its owner ends, all of
it ends.
"""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

JOBS: dict[str, subprocess.Popen[bytes]] = {}
ANSWERS = threading.Event()


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Start a job, tell whether it has ended, send it a signal, or answer nobody for a while."""
    if "start" in request:
        job = f"job-{len(JOBS)}"
        JOBS[job] = subprocess.Popen(request["start"], stdin=subprocess.DEVNULL, start_new_session=True)
        return {"job": job}
    if "answers" in request:
        (ANSWERS.set if request["answers"] else ANSWERS.clear)()
        return {}
    ANSWERS.wait()
    process = JOBS[request["job"]]
    if "signal" in request:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, request["signal"])
    return {"code": process.poll()}


class Asked(socketserver.StreamRequestHandler):
    """Takes a request, or the owner's connection."""

    def handle(self) -> None:
        """Answer."""
        request = json.loads(self.rfile.readline())
        if "own" in request:
            self.rfile.read()
            for process in JOBS.values():
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, 9)
            os._exit(0)
        self.wfile.write(json.dumps(answer(request)).encode() + b"\n")


def main(place: Path) -> None:
    """Leave the family, and serve."""
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    ANSWERS.set()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Asked) as server:
        server.daemon_threads = True
        written = place.with_suffix(".part")
        written.write_text(str(server.server_address[1]))
        written.rename(place)
        server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
