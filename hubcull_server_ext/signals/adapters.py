"""Apps that say of themselves whether they are used: by a page, a file or a command.

The operator configures which; RStudio's and code-server's files are known. It knows how
each is asked, within its limits of time and size, and nothing of what an answer means.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tornado.simple_httpclient import SimpleAsyncHTTPClient

from hubcull_server_ext import wire
from hubcull_server_ext.api import Claim, Ended, Presence, Work
from hubcull_server_ext.signals.answers import Meaning, value_of
from hubcull_server_ext.signals.asking import AnswerError, AskingSource, InThread, Question

LIMIT = 5.0
"""Seconds that an answer may take, unless configured."""
_LARGEST_PAGE, _LARGEST_OUTPUT = 64 * 1024, 4096
_MOST = 20
_WAYS = ("url", "file", "command")
_Read = Callable[[], Awaitable[object]]


class AdaptersSource(AskingSource):
    """Asks the apps.

    Args:
        checks: as configured; see docs/configuration.md.
        known: the folder in which known apps keep their data (`data_home`); None asks none of them.
        interval: seconds between two questions.
        clock: monotonic seconds.
        wall: seconds since 1970.

    """

    def __init__(
        self,
        checks: Sequence[Mapping[str, Any]],
        known: Path | None,
        interval: float,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        super().__init__("adapters", (), interval, clock)
        for place, check in enumerate(checks[:_MOST], 1):
            try:
                self.questions.append(_question(check, clock, wall))
            except (AnswerError, TypeError, ValueError) as error:
                why = str(error) if isinstance(error, AnswerError) else type(error).__name__
                self.broken.append(f"app_checks[{place}] can not be used: {why}")
        if known is not None:
            self.questions.extend(_of_known(known, clock, wall))


def _question(check: Mapping[str, Any], clock: Callable[[], float], wall: Callable[[], float]) -> Question:
    ways = [way for way in _WAYS if way in check]
    if len(ways) != 1 or "app" not in check:
        raise AnswerError(f"give app, and one of {', '.join(_WAYS)}")
    means = check.get("means", "presence")
    if means not in {"presence", "work"}:
        raise AnswerError("means is neither presence nor work")
    read = {"url": _page, "file": _file, "command": _command}[ways[0]](check)
    meaning = Meaning(work=means == "work")

    async def ask() -> Iterable[Claim]:
        return meaning.claims(await read(), wall())

    return Question(f"app:{str(check['app'])[:40]}", ask, float(check.get("timeout", LIMIT)), clock)


def _page(check: Mapping[str, Any]) -> _Read:
    """Return how a page is read: status 200, JSON, of it what the expression finds; no redirects."""
    url, find = str(check["url"]), _expression(check.get("expression"))
    if not url.startswith(("http://", "https://")):
        raise AnswerError("url is no http:// or https:// address")
    client = SimpleAsyncHTTPClient(force_instance=True, max_body_size=_LARGEST_PAGE)

    async def read() -> object:
        response = await client.fetch(url, raise_error=False, follow_redirects=False)
        if response.code != 200:
            raise AnswerError(f"the page answers {response.code}; 200 is expected")
        return find(value_of(response.body))

    return read


def _expression(text: object) -> Callable[[object], object]:
    if text is None:
        return lambda value: value
    try:
        import jmespath  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415
    except ImportError:
        raise AnswerError("expression needs jmespath in the user image: pip install jmespath") from None
    try:
        compiled = jmespath.compile(str(text))
    except jmespath.exceptions.JMESPathError:
        raise AnswerError("expression is no JMESPath") from None
    found: Callable[[object], object] = compiled.search
    return found


def _file(check: Mapping[str, Any]) -> _Read:
    """Return how a file is read: the time of its last change, or what it holds; without the file, null."""
    path, content = Path(str(check["file"])).expanduser(), bool(check.get("content", False))

    def look() -> object:
        try:
            if not content:
                return path.stat().st_mtime
            with path.open("rb") as file:
                return value_of(file.read(_LARGEST_OUTPUT))
        except FileNotFoundError:
            return None

    return InThread(look)


def _command(check: Mapping[str, Any]) -> _Read:
    """Return how a command is run: without a shell, its output JSON; it is killed with all that it began."""
    command = check["command"]
    if not isinstance(command, (list, tuple)) or not command:
        raise AnswerError("command is no list of words")
    words = [str(word) for word in command]

    async def read() -> object:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        output = b""
        try:
            while len(output) <= _LARGEST_OUTPUT and (part := await process.stdout.read(_LARGEST_OUTPUT)):
                output += part
            if len(output) > _LARGEST_OUTPUT:
                raise AnswerError(f"the command prints more than {_LARGEST_OUTPUT} bytes")
            if await process.wait() != 0:
                raise AnswerError(f"the command ended with {process.returncode}")
        finally:
            if process.returncode is None:  # its number is still its own
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        return value_of(output)

    return read


def data_home(environment: Mapping[str, str], home: Path) -> Path:
    """Return where a user's programs keep their data, by the XDG base directories: an image may move it."""
    moved = Path(environment.get("XDG_DATA_HOME", ""))
    return moved if moved.is_absolute() else home / ".local/share"


def _of_known(data: Path, clock: Callable[[], float], wall: Callable[[], float]) -> list[Question]:
    """Return the questions to code-server and RStudio, which answer nothing where they are not used."""
    begun = wall()
    heartbeat = data / "code-server/heartbeat"
    sessions = data / "rstudio/sessions/active"

    def code_server() -> list[Claim]:
        """Return when a browser was last connected: any that is open touches it, so it is a tab's word."""
        try:
            return [Presence(max(0.0, wall() - heartbeat.stat().st_mtime), "code-server")]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def rstudio() -> list[Claim]:
        """Return what R computes, or computed last; what was before this server's start is none of its."""
        found: list[Claim] = []
        for state in sessions.glob("session-*/proper*s/executing"):  # it is spelt "properites" there
            changed, running = state.stat().st_mtime, state.read_bytes()[:1] == b"1"
            ago = max(0.0, wall() - changed)
            if changed >= begun:
                found.append(Work(ago, "R") if running else Ended(ago, label="R"))
        return sorted(found, key=lambda claim: isinstance(claim, Ended))

    return [
        Question("app:code-server", InThread(code_server), LIMIT, clock, wire.Kind.VISIBLE_TAB),
        Question("app:rstudio", InThread(rstudio), LIMIT, clock),
    ]
