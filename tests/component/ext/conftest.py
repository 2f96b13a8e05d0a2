"""What tests in a real server share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from jupyter_server.serverapp import ServerApp

from tests.component.ext.kernel_watch import Watch


@pytest.fixture
def watch(jp_serverapp: ServerApp, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[Watch]:
    """Watch a real server's kernels; end everything after the test."""
    watch = Watch(jp_serverapp)
    jp_asyncio_loop.run_until_complete(watch.begin())
    yield watch
    jp_asyncio_loop.run_until_complete(watch.end())
