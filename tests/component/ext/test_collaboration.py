"""Laws of shared documents, with the real jupyter_server_ydoc: typing counts, being there does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import tornado.httpclient
import tornado.websocket
from jupyter_server import version_info
from jupyter_server.serverapp import ServerApp

from hubcull_server_ext import clock, wire
from hubcull_server_ext.signals.collaboration import CollaborationSource, is_room
from hubcull_server_ext.signals.hook import RequestHook
from hubcull_server_ext.signals.requests import RequestsSource
from hubcull_server_ext.snapshot import SourceError
from tests.component.ext.waiting import until

Fetch = Callable[..., Awaitable[Any]]
if version_info[:2] < (2, 11):
    pytest.skip("jupyter_server_ydoc 1.0 needs jupyter_server 2.11", allow_module_level=True)
pycrdt: Any = import_module("pycrdt")


@pytest.fixture
def jp_server_config(tmp_path: Path) -> dict[str, Any]:
    """Enable shared documents, with what they keep in the test's own folder."""
    extensions = {"jupyter_server_ydoc": True, "jupyter_server_fileid": True}
    return {
        "ServerApp": {"jpserver_extensions": extensions},
        "SQLiteYStore": {"db_path": str(tmp_path / "ystore.db")},
        "BaseFileIdManager": {"db_path": str(tmp_path / "ids.db")},
    }


class Watch:
    """The source on a real server, with its neighbour as they are put together."""

    def __init__(self, app: ServerApp) -> None:
        hook = RequestHook(app.web_app.settings)
        self.kernels_speak = False
        self.requests = RequestsSource(hook, clock.monotonic, elsewhere=is_room)
        self.source = CollaborationSource(hook, clock.monotonic, lambda: self.kernels_speak)
        self.source.reconcile()

    def edits(self) -> list[wire.Signal]:
        """Return what the source says."""
        return self.source.collect(clock.monotonic())


@pytest.fixture
def watch(jp_serverapp: ServerApp) -> Iterator[Watch]:
    """Watch a real server."""
    found = Watch(jp_serverapp)
    yield found
    found.source.stop()
    found.requests.stop()


class Editor:
    """A browser in which a document is open: the Y protocols over the room's websocket, for real."""

    def __init__(self, socket: Any) -> None:
        self.socket, self.doc = socket, pycrdt.Doc()
        self.awareness = pycrdt.Awareness(self.doc)
        self.text = self.doc.get("source", type=pycrdt.Text)
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        await self.socket.write_message(pycrdt.create_sync_message(self.doc), binary=True)
        while (message := await self.socket.read_message()) is not None:
            if message[0] == pycrdt.YMessageType.SYNC:
                reply = pycrdt.handle_sync_message(message[1:], self.doc)
                if reply is not None:
                    await self.socket.write_message(reply, binary=True)

    async def say_hello(self) -> None:
        """Say that somebody is there, as a page does every few seconds."""
        self.awareness.set_local_state_field("user", {"name": "ada"})
        state = self.awareness.encode_awareness_update([self.awareness.client_id])
        await self.socket.write_message(pycrdt.create_awareness_message(state), binary=True)

    async def type(self, words: str) -> None:
        """Append to the document."""
        before = self.doc.get_state()
        self.text += words
        await self._send(before)

    @property
    def cells(self) -> Any:
        """The cells of a notebook."""
        return self.doc.get("cells", type=pycrdt.Array)

    async def change(self, act: Callable[[], object]) -> None:
        """Change the document."""
        before = self.doc.get_state()
        act()
        await self._send(before)

    async def _send(self, before: bytes) -> None:
        update = pycrdt.create_update_message(self.doc.get_update(before))
        await self.socket.write_message(update, binary=True)

    def close(self) -> None:
        """Close the tab."""
        self._reading.cancel()
        self.socket.close()


CELL: dict[str, Any] = {
    "cell_type": "code",
    "execution_count": None,
    "id": "a",
    "metadata": {},
    "outputs": [],
    "source": "1",
}
NOTEBOOK = {"cells": [CELL], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
Open = Callable[[str], Awaitable[Editor]]


@pytest.fixture
def opened(
    jp_serverapp: ServerApp,
    jp_fetch: Fetch,
    jp_auth_header: dict[str, str],
    http_server_client: object,
    jp_http_port: int,
) -> Open:
    """Return how a page opens a text or a notebook: it asks for a session, then for the document's room."""
    assert http_server_client  # the server listens

    async def opened(name: str) -> Editor:
        kind, form = ("notebook", "json") if name.endswith(".ipynb") else ("file", "text")
        if not (Path(jp_serverapp.root_dir) / name).exists():
            content = NOTEBOOK if kind == "notebook" else "hello "
            body = json.dumps({"type": kind, "format": form, "content": content})
            await jp_fetch("api", "contents", name, method="PUT", body=body)
        asked = json.dumps({"format": form, "type": kind})
        response = await jp_fetch("api", "collaboration", "session", name, method="PUT", body=asked)
        session = json.loads(response.body)
        # A browser leaves the colons of a room's name as they are, and the room is found by them.
        room = f"api/collaboration/room/{form}:{kind}:{session['fileId']}?sessionId={session['sessionId']}"
        url = f"ws://127.0.0.1:{jp_http_port}{jp_serverapp.base_url}{room}"
        request = tornado.httpclient.HTTPRequest(url, headers=jp_auth_header)
        return Editor(await tornado.websocket.websocket_connect(request))

    return opened


async def test_typing_is_told_from_being_there(watch: Watch, opened: Open) -> None:
    """The document opens, a page says again and again that it is there: nothing. A word typed: an edit."""
    editor = await opened("secret.txt")
    await until(lambda: str(editor.text) == "hello ")
    for _ in range(3):
        await editor.say_hello()
        await asyncio.sleep(0.1)
    assert watch.edits() == []
    await editor.type("world")
    await until(watch.edits)
    (edit,) = watch.edits()
    assert (edit.kind, edit.clock, edit.label) == ("document_edit", wire.Clock.PRESENCE, "file")
    assert edit.actor
    assert (edit.age or 0) < 5.0
    assert "secret" not in repr(edit)
    other = await opened("secret.txt")
    await until(lambda: str(other.text) == "hello world")
    labels = {signal.label for signal in watch.requests.collect(clock.monotonic())}
    assert not any("WebSocket" in str(label) for label in labels)
    editor.close()
    other.close()


async def test_a_text_that_somebody_types_while_a_kernel_speaks_is_an_edit(
    watch: Watch, opened: Open
) -> None:
    """No page writes into a text what it hears of a kernel."""
    editor = await opened("a.txt")
    await until(lambda: str(editor.text) == "hello ")
    watch.kernels_speak = True
    await editor.type("typed")
    await until(watch.edits)
    assert [edit.kind for edit in watch.edits()] == ["document_edit"]
    editor.close()


@pytest.mark.parametrize(
    "act",
    [
        lambda cells: cells[0]["outputs"].append(pycrdt.Map({"output_type": "stream", "text": "."})),
        lambda cells: cells[0].update({"execution_count": 3}),
    ],
)
async def test_what_a_page_writes_of_a_kernel_is_nobodys_edit(
    watch: Watch, opened: Open, act: Callable[[Any], object]
) -> None:
    """A page writes outputs into a shared notebook; what is typed there meanwhile is an edit."""
    page, other = await opened("a.ipynb"), await opened("a.ipynb")
    await until(lambda: len(page.cells) == 1 and len(other.cells) == 1)
    watch.kernels_speak = True
    await page.change(lambda: act(page.cells))
    await until(lambda: other.cells.to_py() == page.cells.to_py())
    assert watch.edits() == []
    source = other.cells[0]["source"]
    await other.change(lambda: source.insert(0, "x"))
    await until(watch.edits)
    (edit,) = watch.edits()
    assert (edit.kind, edit.label, edit.clock) == ("document_edit", "notebook", wire.Clock.PRESENCE)
    page.close()
    other.close()


async def test_a_notebook_that_can_not_be_looked_into_is_a_visible_page(
    watch: Watch, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a kernel speaks, who knows whose a change is: it is worth what a visible tab is."""
    editor = await opened("a.ipynb")
    await until(lambda: len(editor.cells) == 1)
    monkeypatch.setattr("hubcull_server_ext.signals.collaboration.cells_of", lambda _handler: None)
    watch.kernels_speak = True
    await editor.change(lambda: editor.cells[0].update({"execution_count": 3}))
    await until(watch.edits)
    (weak,) = watch.edits()
    assert (weak.kind, weak.strength) == ("visible_tab", wire.Strength.WEAK)
    editor.close()


async def test_own_failure_stays_in_the_report(
    watch: Watch, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message we fail to look at reaches its room, and the source says that it failed."""
    monkeypatch.setattr("hubcull_server_ext.signals.collaboration.is_edit", lambda _message: 1 / 0)
    editor = await opened("a.txt")
    await until(lambda: str(editor.text) == "hello ")
    with pytest.raises(SourceError, match="ZeroDivisionError"):
        watch.edits()
    editor.close()
