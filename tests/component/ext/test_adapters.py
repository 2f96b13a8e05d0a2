"""Laws of apps that say of themselves whether they are used: real pages, files and commands, and bad ones."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tornado.httpserver
import tornado.netutil
import tornado.web

from hubcull_server_ext import clock, wire
from hubcull_server_ext.signals.adapters import AdaptersSource, data_home
from hubcull_server_ext.snapshot import SourceError
from tests.component.ext.waiting import until

WELL = {"app": "well", "command": [sys.executable, "-c", "print('true')"]}


def source(*checks: dict[str, Any], known: Path | None = None) -> AdaptersSource:
    """Return the source with these checks."""
    return AdaptersSource(checks, known, 0.05, clock.monotonic, clock.wall)


async def answered(adapters: AdaptersSource) -> list[wire.Signal]:
    """Ask, and return the answers."""
    adapters.sample()
    await until(lambda: all(q._task is None or q._task.done() for q in adapters.questions))
    return adapters.collect(clock.monotonic())


class Page(tornado.web.RequestHandler):
    """Answers as its address says."""

    async def get(self, what: str) -> None:
        """Answer."""
        if what == "slow":
            await asyncio.sleep(5)
        if what == "moved":
            self.redirect("/sessions")
            return
        now = time.time()
        clicks = f'{{"all": [{{"click": {now - 90}}}, {{"click": {now - 30}}}]}}'
        self.finish({"sessions": clicks, "big": "[" + "1," * 10**5 + "1]"}.get(what, what))


@pytest.fixture
def address(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[str]:
    """Serve the pages; return where."""

    async def opened() -> tuple[tornado.httpserver.HTTPServer, int]:
        (socket,) = tornado.netutil.bind_sockets(0, "127.0.0.1")
        server = tornado.httpserver.HTTPServer(tornado.web.Application([("/(.*)", Page)]))
        server.add_sockets([socket])
        return server, socket.getsockname()[1]

    server, port = jp_asyncio_loop.run_until_complete(opened())
    yield f"http://127.0.0.1:{port}"
    server.stop()


async def test_a_page_tells_by_an_expression(address: str) -> None:
    """With the real jmespath: the newest of several times."""
    check = {"app": "shiny", "url": f"{address}/sessions", "expression": "all[].click | max(@)"}
    (signal,) = await answered(source(check))
    assert (signal.source, signal.kind, signal.clock) == ("app:shiny", "declared", wire.Clock.PRESENCE)
    assert signal.age == pytest.approx(30, abs=5)


async def test_a_file_tells_by_its_time_or_its_content(tmp_path: Path) -> None:
    """And nothing while it is not there."""
    file, words = tmp_path / "used", tmp_path / "words"
    adapters = source(
        {"app": "touched", "file": str(file)},
        {"app": "written", "file": str(words), "content": True, "means": "work"},
    )
    assert await answered(adapters) == []
    file.touch()
    os.utime(file, (time.time() - 40, time.time() - 40))
    words.write_text("2026-01-02T03:04:05Z", "utf-8")
    await asyncio.sleep(0.1)
    touched, written = await answered(adapters)
    assert touched.age == pytest.approx(40, abs=5)
    assert (written.clock, written.going_on_for) == (wire.Clock.WORK, None)
    assert written.ended_ago == pytest.approx(time.time() - 1767323045, abs=5)


async def test_a_command_that_says_true_is_work_since_it_first_did() -> None:
    """For as long as it says so."""
    adapters = source({**WELL, "means": "work"})
    await answered(adapters)
    await asyncio.sleep(0.5)
    (work,) = await answered(adapters)
    assert (work.going_on_for or 0) >= 0.5


def code(text: str) -> list[str]:
    """Return a command."""
    return [sys.executable, "-c", text]


@pytest.mark.parametrize(
    ("check", "named"),
    [
        ({"url": "/[1"}, "means nothing here"),
        ({"url": "/slow", "timeout": 0.5}, "no answer within 0.5 s"),
        ({"url": "/moved"}, "answers 302"),
        ({"url": "/big"}, "HTTPStreamClosedError"),
        ({"url": "/true", "expression": "a[["}, "no JMESPath"),
        ({"url": "ftp://nowhere"}, "no http:// or https://"),
        ({"command": code("print('secret word')")}, "means nothing here"),
        ({"command": code("import sys; sys.exit(3)")}, "ended with 3"),
        ({"command": code("print('1' * 10000)")}, "more than 4096 bytes"),
        ({"command": code("import time; time.sleep(60)"), "timeout": 1}, "no answer within 1 s"),
        ({"command": ["/nothing/of/this/name"]}, "FileNotFoundError"),
        ({"command": "true"}, "no list of words"),
        ({"command": code("print(1767323045000)")}, "seconds since 1970"),
        ({"file": "/etc", "content": True}, "IsADirectoryError"),
        ({}, "one of url, file, command"),
        ({"file": "a", "url": "b"}, "one of url, file, command"),
        ({"file": "a", "means": "fun"}, "neither presence nor work"),
    ],
)
async def test_a_bad_answer_is_a_failure_of_its_app_alone(
    address: str, check: dict[str, Any], named: str
) -> None:
    """It is named without its words, and the other is heard."""
    url = str(check.get("url", ""))
    check = {"app": "bad", **check, **({"url": address + url} if url.startswith("/") else {})}
    with pytest.raises(SourceError, match=named) as caught:
        await answered(source(check, WELL))
    assert [signal.source for signal in caught.value.signals] == ["app:well"]
    assert not any(word in str(caught.value) for word in ("secret", "/nothing", "/etc", address))


async def test_a_late_command_is_killed_with_what_it_began(tmp_path: Path) -> None:
    """Nothing of it runs on."""
    mark = tmp_path / "alive"
    script = 'while :; do touch "$0"; sleep 0.05; done & wait'
    adapters = source({"app": "late", "command": ["sh", "-c", script, str(mark)], "timeout": 2})
    adapters.sample()
    await until(mark.exists)
    with pytest.raises(SourceError, match="within 2 s"):
        await answered(adapters)
    await asyncio.sleep(0.5)
    before = mark.stat().st_mtime
    await asyncio.sleep(0.5)
    assert mark.stat().st_mtime == before


async def test_an_expression_without_jmespath_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Light images do without it until somebody needs it."""
    monkeypatch.setitem(sys.modules, "jmespath", None)
    with pytest.raises(SourceError, match="pip install jmespath"):
        await answered(source({"app": "a", "url": "http://127.0.0.1:1/", "expression": "a"}))


@pytest.mark.parametrize(
    ("moved", "found"),
    [({}, "/home/ada/.local/share"), ({"XDG_DATA_HOME": "/data"}, "/data")]
    + [({"XDG_DATA_HOME": wrong}, "/home/ada/.local/share") for wrong in ("", "data")],
)
def test_known_apps_data_is_where_the_image_has_it(moved: dict[str, str], found: str) -> None:
    """A path that is not absolute is none, as the specification says."""
    assert data_home(moved, Path("/home/ada")) == Path(found)


async def test_known_apps_tell_by_their_own_files(tmp_path: Path) -> None:
    """R that computes is work, a connected browser a tab's word; what is older than the server is nothing."""
    old = tmp_path / "rstudio/sessions/active/session-old/properites"
    old.mkdir(parents=True)
    (old / "executing").write_text("1", "utf-8")
    os.utime(old / "executing", (time.time() - 900, time.time() - 900))
    adapters = source(known=tmp_path)
    assert await answered(adapters) == []
    session = old.parents[1] / "session-1a2b/properites"
    session.mkdir(parents=True)
    (session / "executing").write_text("1", "utf-8")
    beat = tmp_path / "code-server/heartbeat"
    beat.parent.mkdir(parents=True)
    beat.touch()
    await asyncio.sleep(0.1)
    tab, work = await answered(adapters)
    assert (tab.source, tab.kind) == ("app:code-server", wire.Kind.VISIBLE_TAB)
    assert (work.source, work.clock, work.label) == ("app:rstudio", wire.Clock.WORK, "R")
    assert work.going_on_for is not None
    (session / "executing").write_text("0", "utf-8")
    await asyncio.sleep(0.1)
    _, done = await answered(adapters)
    assert (done.going_on_for, done.clock) == (None, wire.Clock.WORK)
    assert (done.ended_ago or 0) < 5
