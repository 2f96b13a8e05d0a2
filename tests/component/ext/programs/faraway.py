"""A provisioner of kernels on another machine, of which it knows the name of a job and no process."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Int


async def ask(port: int, **request: Any) -> dict[str, Any]:
    """Ask the other machine one thing; no time limit, as in those that people use."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(json.dumps(request).encode() + b"\n")
        return dict(json.loads(await reader.readline()))
    finally:
        writer.close()


class Faraway(KernelProvisionerBase):
    """Starts kernels there; the connection file is on a disk that both machines have."""

    port = Int(config=True)
    job: str | None = None

    @property
    def has_process(self) -> bool:
        """Whether a job is known."""
        return self.job is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Choose ports and write them down."""
        manager: Any = self.parent
        manager.write_connection_file()
        self.connection_info = manager.get_connection_info()
        command = manager.format_kernel_cmd(extra_arguments=kwargs.pop("extra_arguments", []))
        return dict(await super().pre_launch(cmd=command, **kwargs))

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start it there."""
        self.job = str((await ask(self.port, start=cmd))["job"])
        return self.connection_info

    async def poll(self) -> int | None:
        """Ask whether it has ended."""
        if self.job is None:
            return 0
        code = (await ask(self.port, job=self.job))["code"]
        return None if code is None else int(code)

    async def wait(self) -> int | None:
        """Ask until it has ended."""
        while (code := await self.poll()) is None:  # noqa: ASYNC110 - there is nothing else to wait for
            await asyncio.sleep(0.1)
        self.job = None
        return code

    async def send_signal(self, signum: int) -> None:
        """Have a signal sent there."""
        await ask(self.port, job=self.job, signal=signum)

    async def kill(self, restart: bool = False) -> None:
        """Have it killed."""
        await self.send_signal(signal.SIGKILL)

    async def terminate(self, restart: bool = False) -> None:
        """Have it ended."""
        await self.send_signal(signal.SIGTERM)

    async def cleanup(self, restart: bool = False) -> None:
        """Leave nothing: the other machine does that."""
