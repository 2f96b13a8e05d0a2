"""Laws of the debugger, with real kernels and debugpy: a cell halted at a breakpoint does not work."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient

from hubcull_server_ext import clock, wire
from tests.component.ext.kernel_watch import Held, Watch
from tests.component.ext.waiting import until


class Session:
    """A front end's debugger at one kernel, over its control channel."""

    def __init__(self, client: AsyncKernelClient) -> None:
        self._client, self._number = client, 0

    async def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        """Send a request and return the reply's content."""
        self._number += 1
        content = {"type": "request", "seq": self._number, "command": command, "arguments": arguments}
        message = self._client.session.msg("debug_request", content)
        self._client.control_channel.send(message)
        while True:
            reply: Any = await asyncio.wait_for(self._client.control_channel.get_msg(), 30)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return dict(reply["content"])

    async def run(self, code: str, line: int) -> None:
        """Run a cell with a breakpoint, as JupyterLab does, of which only the debugger's part matters."""
        await self.ask("initialize", clientID="page", adapterID="", pathFormat="path", linesStartAt1=True)
        await self.ask("attach")
        path = (await self.ask("dumpCell", code=code))["body"]["sourcePath"]
        lines = [{"line": line}]
        done = await self.ask(
            "setBreakpoints", breakpoints=lines, source={"path": path}, sourceModified=False
        )
        assert done["success"]
        await self.ask("configurationDone")
        self._client.execute(code)

    async def look(self) -> None:
        """Ask for what a page shows of a halt."""
        stack = await self.ask("stackTrace", threadId=1)
        scopes = await self.ask("scopes", frameId=stack["body"]["stackFrames"][0]["id"])
        found = scopes["body"]["scopes"][0]["variablesReference"]
        assert (await self.ask("variables", variablesReference=found))["success"]


def halted(watch: Watch) -> wire.Signal | None:
    """Return the cell that waits in the debugger, if none is at work."""
    found = watch.signals(wire.Kind.KERNEL_INPUT)
    return found[0] if found and found[0].label == "debugger" and watch.busy() is None else None


async def test_a_cell_at_a_breakpoint_is_no_work_until_it_goes_on(watch: Watch, tmp_path: Path) -> None:
    """It prints before its halt, is looked at, makes a step, and goes on to real work and its end."""
    held = Held(tmp_path)
    _, client = await watch.kernel()
    await until(lambda: watch.doubt() is None)
    page = Session(client)
    code = f"print('before')\nx = 1\ny = 2\n{held.code}\n"
    await page.run(code, 2)
    await until(lambda: halted(watch))
    first = watch.over()
    assert first is not None
    assert first.label == "execute_request"
    await asyncio.sleep(1.0)  # what it printed before is published by now
    await page.look()
    assert halted(watch)
    stepped = clock.monotonic()
    assert (await page.ask("next", threadId=1))["success"]

    def halted_anew() -> bool:
        over = watch.over() if halted(watch) else None
        return over is not None and clock.monotonic() - (over.ended_ago or 0) >= stepped

    await until(halted_anew)
    assert (await page.ask("continue", threadId=1))["success"]
    await until(watch.busy)
    assert not watch.signals(wire.Kind.KERNEL_INPUT)
    await asyncio.sleep(0.5)
    assert watch.busy()
    held.end()
    await until(watch.over)


async def test_a_cell_whose_debugger_is_closed_works(watch: Watch, tmp_path: Path) -> None:
    """It runs on, although nobody let it go on."""
    held = Held(tmp_path)
    _, client = await watch.kernel()
    await until(lambda: watch.doubt() is None)
    page = Session(client)
    await page.run(f"x = 1\n{held.code}\n", 1)
    await until(lambda: halted(watch))
    await page.ask("disconnect", restart=False, terminateDebuggee=False)
    await until(watch.busy)
    held.end()
    await until(watch.over)
