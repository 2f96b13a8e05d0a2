"""What users do, as their browsers do it: through the proxy, with the user's own token.

Everything here counts as somebody's act, to the server and to the proxy alike. A situation without a tab
is one whose sockets were closed again.
"""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import quote

from harness.calls import Answer, call
from harness.processes import environment, find_below
from harness.realhub import RealHub
from harness.sockets import Socket


class Kernel:
    """An open websocket to one kernel, as a notebook's tab has it."""

    def __init__(self, url: str, token: str, kernel_id: str, within: float = 60) -> None:
        self.id = kernel_id
        self._session = uuid.uuid4().hex
        self.socket = Socket(
            f"{url}api/kernels/{kernel_id}/channels?session_id={self._session}", token, within
        )

    def __enter__(self) -> Kernel:
        """Hold it open."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the tab."""
        self.close()

    def send(self, msg_type: str, content: Mapping[str, object] | None = None, channel: str = "shell") -> str:
        """Send a message of any type on a channel and return its id."""
        msg_id = uuid.uuid4().hex
        header = {
            "msg_id": msg_id,
            "msg_type": msg_type,
            "session": self._session,
            "username": "harness",
            "version": "5.3",
        }
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": dict(content or {})}
        self.socket.send({**message, "channel": channel, "buffers": []})
        return msg_id

    def ask(
        self,
        msg_type: str,
        content: Mapping[str, object] | None = None,
        channel: str = "shell",
        within: float = 30,
    ) -> dict[str, Any]:
        """Send `usage_request`, `kernel_info_request` and the like, and return the reply."""
        msg_id = self.send(msg_type, content, channel)
        reply = msg_type.replace("_request", "_reply")
        return dict(self.socket.wait_for(reply, within, parent_header__msg_id=msg_id, header__msg_type=reply))

    def run(self, code: str, within: float = 30) -> dict[str, Any]:
        """Execute a cell to its end and return the content of the `execute_reply`."""
        msg_id = self._execute(code)
        reply = self.socket.wait_for(
            "the end of the cell", within, parent_header__msg_id=msg_id, header__msg_type="execute_reply"
        )
        return dict(reply["content"])

    def begin(self, code: str, within: float = 30, asks: bool = False) -> str:
        """Execute a cell, wait until the kernel is at it and not for its end; return the message's id.

        ``asks``: it may ask for input.
        """
        msg_id = self._execute(code, allow_stdin=asks)
        self.socket.wait_for(
            "the cell begins", within, parent_header__msg_id=msg_id, header__msg_type="execute_input"
        )
        return msg_id

    def ask_for_input(self, code: str, within: float = 30) -> dict[str, Any]:
        """Execute a cell that asks for input, and return what it asks; nobody answers."""
        msg_id = self._execute(code, allow_stdin=True)
        asked = self.socket.wait_for(
            "the cell asks for input", within, parent_header__msg_id=msg_id, header__msg_type="input_request"
        )
        return dict(asked["content"])

    def _execute(self, code: str, allow_stdin: bool = False) -> str:
        flags = {"silent": False, "store_history": False, "user_expressions": {}}
        return self.send(
            "execute_request", {"code": code, "allow_stdin": allow_stdin, "stop_on_error": True, **flags}
        )

    def close(self) -> None:
        """Close the tab; the kernel goes on."""
        self.socket.close()


class Terminal:
    """An open websocket to one terminal."""

    def __init__(self, url: str, token: str, name: str) -> None:
        self.name = name
        self.socket = Socket(f"{url}terminals/websocket/{name}", token)

    def type(self, line: str) -> None:
        """Type a line and press enter."""
        self.socket.send(["stdin", f"{line}\r"])

    @property
    def shown(self) -> str:
        """All that was written to the screen since the tab was opened."""
        pieces = [each[1] for each in self.socket.received if isinstance(each, list) and each[0] == "stdout"]
        return "".join(pieces)

    def close(self) -> None:
        """Close the tab; what runs in the terminal goes on."""
        self.socket.close()


class Browser:
    """One user's browser at one of the user's servers.

    Every request carries a fresh API token of that user, as a script would; ``token`` is it. Left as a
    context manager, or by `close`, it closes the tabs it opened.
    """

    def __init__(self, hub: RealHub, user: str, server: str = "") -> None:
        self.hub, self.user, self.server = hub, user, server
        self.token = hub.api.mint_token(user)
        self._tabs: list[Kernel | Terminal] = []
        self.url = f"{hub.url}user/{quote(user, safe='')}/" + (f"{server}/" if server else "")

    def __enter__(self) -> Browser:
        """Browse."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the browser."""
        self.close()

    def close(self) -> None:
        """Close every tab that is still open; what runs in them goes on."""
        for tab in self._tabs:
            tab.close()
        self._tabs.clear()

    def call(self, method: str, path: str, body: object = None) -> Answer:
        """Send a request to the server; ``path`` without a leading slash, any status is an answer."""
        return call(method, self.url + path, token=self.token, body=body)

    def _json(self, method: str, path: str, body: object = None) -> Any:
        answer = self.call(method, path, body)
        if not answer.ok:
            raise ConnectionError(f"{method} {path}: {answer.status} {answer.body[:200]!r}")
        return answer.json()

    def status(self) -> dict[str, Any]:
        """Return the server's own `/api/status`: stock `last_activity`, kernels, connections."""
        return dict(self._json("GET", "api/status"))

    @property
    def server_pid(self) -> int:
        """The process id of the server."""
        return self.hub.api.server_pid(self.user, self.server)

    # kernels

    def start_kernel(self, name: str = "python3") -> str:
        """Start a kernel over REST, with no websocket, and return its id."""
        return str(self._json("POST", "api/kernels", {"name": name})["id"])

    def open_kernel(self, kernel_id: str | None = None, within: float = 60) -> Kernel:
        """Open a tab's websocket to a kernel, a new one if none is named, and wait until it answers."""
        kernel = Kernel(self.url, self.token, kernel_id or self.start_kernel(), within)
        self._tabs.append(kernel)
        kernel.ask("kernel_info_request", within=within)
        return kernel

    def leave_cell(self, code: str) -> str:
        """Begin a cell in a new kernel, close the tab while it runs, and return the kernel's id."""
        with self.open_kernel() as kernel:
            kernel.begin(code)
            return kernel.id

    def kernel_pid(self, kernel_id: str) -> int:
        """Return the process id of the kernel."""
        return find_below(self.server_pid, f"kernel-{kernel_id}.json")

    def crash_kernel(self, kernel_id: str) -> int:
        """Kill the kernel's process with SIGKILL, as a lack of memory would, and return its pid."""
        pid = self.kernel_pid(kernel_id)
        os.kill(pid, signal.SIGKILL)
        return pid

    # terminals

    def open_terminal(self, name: str | None = None) -> Terminal:
        """Open a tab's websocket to a terminal, a new one if none is named."""
        found = name or str(self._json("POST", "api/terminals", {})["name"])
        terminal = Terminal(self.url, self.token, found)
        self._tabs.append(terminal)
        return terminal

    def leave_command(self, line: str, fragment: str) -> int:
        """Type a command into a new terminal, close the tab while it runs, and return the command's pid.

        ``fragment`` is a part of the started process's command line.
        """
        terminal = self.open_terminal()
        try:
            terminal.type(line)
            return find_below(self.server_pid, fragment)
        finally:
            terminal.close()


def server_token(pid: int) -> str:
    """Return the API token that the Hub gave the server with this process id."""
    return environment(pid)["JUPYTERHUB_API_TOKEN"]


def post_report(hub: RealHub, token: str | None, body: object) -> Answer:
    """Post a report to hubcull through the proxy, with any token, or none, and any body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return call("POST", f"{hub.service_url}api/v1/reports", token=token, scheme="Bearer", body=data)
