"""How the rows are made of documents that several people share, one of them without a browser."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import aiohttp

from harness.background import run
from harness.calls import call
from harness.situations import Kernel
from harness.waiting import wait_until
from tests.e2e.matrix.kernels import speaks
from tests.e2e.matrix.scene import A_PERSON, Scene
from tests.e2e.matrix.stage import Maker

pycrdt: Any = import_module("pycrdt")

_OTHER = "admin"
"""A user who may use everybody's server."""
_PRINTS = """\
import threading, time
def work():
    while True:
        print('.', flush=True)
        time.sleep(1)
threading.Thread(target=work, daemon=True).start()
"""
_CELL: dict[str, Any] = {
    **{"cell_type": "code", "execution_count": None, "id": "a"},
    **{"metadata": {}, "outputs": [], "source": "1"},
}


class Page:
    """A page in which a document is open: the Y protocols over its room's websocket, closed with the scene.

    Args:
        token: whose page it is.
        name: of the document, which is there.

    """

    def __init__(self, scene: Scene, token: str, name: str) -> None:
        form, kind = ("json", "notebook") if name.endswith(".ipynb") else ("text", "file")
        path = f"{scene.browser.url}api/collaboration/session/{name}"
        answer = call("PUT", path, token=token, body={"format": form, "type": kind})
        if not answer.ok:
            raise ConnectionError(f"{path}: {answer.status} {answer.body[:200]!r}")
        found = answer.json()
        room = f"{form}:{kind}:{found['fileId']}?sessionId={found['sessionId']}"
        run(self._open(f"{scene.browser.url}api/collaboration/room/{room}", token))
        scene.at_end(self.close)

    async def _open(self, url: str, token: str) -> None:
        self._doc = pycrdt.Doc()
        self._session = aiohttp.ClientSession(headers={"Authorization": f"token {token}"})
        self._socket = await self._session.ws_connect(url.replace("http", "ws", 1), max_msg_size=0)
        await self._socket.send_bytes(pycrdt.create_sync_message(self._doc))
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.BINARY and message.data[0] == pycrdt.YMessageType.SYNC:
                reply = pycrdt.handle_sync_message(message.data[1:], self._doc)
                if reply is not None:
                    await self._socket.send_bytes(reply)

    def look(self, see: Callable[[Any], Any]) -> Any:
        """Return what is seen in the document."""

        async def looked() -> Any:
            return see(self._doc)

        return run(looked())

    def change(self, act: Callable[[Any], object]) -> None:
        """Change the document."""

        async def changed() -> None:
            before = self._doc.get_state()
            act(self._doc)
            update = pycrdt.create_update_message(self._doc.get_update(before))
            await self._socket.send_bytes(update)

        run(changed())

    @property
    def open(self) -> bool:
        """Whether both sides hold the room's websocket open."""
        return not self._socket.closed

    def close(self) -> None:
        """Close the page."""

        async def close() -> None:
            await self._socket.close()
            await self._reader
            await self._session.close()

        run(close())


def _text(document: Any) -> Any:
    return document.get("source", type=pycrdt.Text)


def _cells(document: Any) -> Any:
    return document.get("cells", type=pycrdt.Array)


def _shared_notebook(scene: Scene, token: str) -> Page:
    notebook = {"cells": [_CELL], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    saved = scene.browser.call("PUT", "api/contents/a.ipynb", {"type": "notebook", "content": notebook})
    assert saved.ok, saved.body
    return _open_notebook(scene, token)


def _open_notebook(scene: Scene, token: str) -> Page:
    page = Page(scene, token, "a.ipynb")
    wait_until(lambda: page.look(lambda document: len(_cells(document))) == 1, 20, "the notebook is there")
    return page


def _talkative(scene: Scene) -> Kernel:
    """Have a kernel's thread print every second; see row 15b for the pause."""
    kernel = scene.browser.open_kernel()
    time.sleep(7)
    assert kernel.run(_PRINTS)["status"] == "ok"
    speaks(scene, kernel)
    return kernel


def _shows(scene: Scene, page: Page, kernel: Kernel) -> None:
    """Have a page write into its notebook what its kernel prints, as JupyterLab does."""
    shown = [0]

    def show() -> None:
        came = [m for m in kernel.socket.received if m["header"]["msg_type"] == "stream"]
        for _ in came[shown[0] :]:
            page.change(lambda document: _cells(document)[0]["outputs"].append(_output()))
        shown[0] = len(came)

    scene.again(show, every=0.5)
    scene.premise("it shows what comes, in an open page", lambda: shown[0] > 10 and page.open)


def _output() -> Any:
    return pycrdt.Map({"output_type": "stream", "name": "stdout", "text": ".\n"})


def text_of_others(scene: Scene) -> None:
    """Row 44a: while a kernel's thread prints, which no page writes into a text."""
    notes = scene.file("notes.md", "a line\n")
    _talkative(scene)
    page = Page(scene, scene.hub.api.mint_token(_OTHER), "notes.md")
    wait_until(
        lambda: page.look(lambda document: str(_text(document))) == "a line\n", 20, "the text is there"
    )

    def type_a_word(document: Any) -> None:
        text = _text(document)
        text += "word "

    scene.again(lambda: page.change(type_a_word), A_PERSON)
    scene.premise("it was saved by the server", lambda: notes.read_text().count("word") > 2)


def notebook_of_others(scene: Scene) -> None:
    """Row 44b: the owner's page writes into it what a thread prints."""
    kernel = _talkative(scene)
    page = _shared_notebook(scene, scene.browser.token)
    other = _open_notebook(scene, scene.hub.api.mint_token(_OTHER))
    _shows(scene, page, kernel)
    scene.again(lambda: other.change(lambda d: _cells(d)[0]["source"].insert(0, "word ")), A_PERSON)
    saved = scene.folder / "a.ipynb"
    scene.premise("it was saved by the server", lambda: saved.read_text().count("word") > 2)


def notebook_of_nobody(scene: Scene) -> None:
    """Row 44c: the same, and nobody types."""
    kernel = _talkative(scene)
    _shows(scene, _shared_notebook(scene, scene.browser.token), kernel)


MAKERS: dict[str, Maker] = {"44a": text_of_others, "44b": notebook_of_others, "44c": notebook_of_nobody}
