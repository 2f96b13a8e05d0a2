"""Laws of other packages' signals: a real package, found by its entry point; its errors stay its own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hubcull_server_ext import clock, wire
from hubcull_server_ext.signals.plugins import PluginsSource
from hubcull_server_ext.snapshot import SourceError
from tests.component.ext.waiting import until

ROOT = Path(__file__).resolve().parents[3]
Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return how to install a package of one module, whose function ``watch`` is its signal."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name: str, code: str) -> None:
        module = f"package_{name}_{abs(hash(tmp_path))}"  # a module is imported once, under its name
        (tmp_path / f"{module}.py").write_text(code, "utf-8")
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", "utf-8")
        (info / "entry_points.txt").write_text(f"[hubcull.signals]\n{name} = {module}:watch\n", "utf-8")

    return install


def source(server: Any = None) -> PluginsSource:
    """Return the source, with what is installed."""
    found = PluginsSource(server, 0.05, clock.monotonic)
    found.start()
    return found


async def answered(plugins: PluginsSource) -> list[wire.Signal]:
    """Ask, and return the answers."""
    plugins.sample()
    await until(lambda: all(q._task is None or q._task.done() for q in plugins.questions))
    return plugins.collect(clock.monotonic())


def example() -> str:
    """Return the example of the page about signals."""
    (code,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/signals.md").read_text("utf-8"), re.M | re.S)
    return str(code)


async def test_the_documents_example_works(install: Install, tmp_path: Path) -> None:
    """Nothing while nothing runs; work and presence once its files are there."""
    install("simulation", example())
    plugins = source(SimpleNamespace(root_dir=str(tmp_path)))
    assert await answered(plugins) == []
    (tmp_path / "simulation.running").touch()
    (tmp_path / "simulation.steering").touch()
    await asyncio.sleep(0.1)
    work, presence = await answered(plugins)
    assert (work.source, work.label, work.clock) == ("plugin:simulation", "simulation", wire.Clock.WORK)
    assert work.going_on_for is not None
    assert (presence.label, presence.clock) == ("steering", wire.Clock.PRESENCE)
    plugins.stop()


WELL = """
from hubcull_server_ext.api import Presence

def watch(server):
    return lambda: [Presence(3.0)]
"""
ASYNC = """
from hubcull_server_ext.api import Ended

def watch(server):
    async def claims():
        return [Ended(1.0, 2.0)]
    return claims
"""
SLOW = """
import asyncio

def watch(server):
    async def claims():
        await asyncio.sleep(9)
    return claims
"""


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("import nothing_of_this_name\n", "ModuleNotFoundError while it was loaded"),
        ("def watch(server):\n    raise ZeroDivisionError('/home/ada/secret')\n", "ZeroDivisionError while"),
        ("def watch(server):\n    return 7\n", "TypeError while it was loaded"),
        ("def watch(server):\n    return lambda: 1 / 0\n", "ZeroDivisionError"),
        ("def watch(server):\n    return lambda: ['busy']\n", "str is no claim"),
        ("def watch(server):\n    return lambda: None\n", "TypeError"),
        ("import time\ndef watch(server):\n    return lambda: time.sleep(9)\n", "no answer within 0.5 s"),
        (
            "import asyncio\ndef watch(server):\n    async def f(): await asyncio.sleep(9)\n    return f\n",
            "within",
        ),
        (WELL.replace("3.0", "-3.0"), "ago is not a number of seconds"),
        (WELL.replace("3.0", "float('nan')"), "ago is not a number of seconds"),
        (WELL.replace("3.0", "1.0, '/home/ada'"), "without slashes"),
    ],
)
async def test_a_plugins_error_is_its_own(install: Install, code: str, named: str) -> None:
    """It is named, without its words; the two others are heard, and nobody waits for it."""
    install("bad", code)
    install("good", WELL)
    install("kind", ASYNC)
    plugins = source()
    for question in plugins.questions:
        if question.source == "plugin:bad" and "within" in named:
            question._limit = 0.5  # the others' answers may take as long as a machine at work needs
    plugins.sample()
    assert not any(question._task is None or question._task.done() for question in plugins.questions)
    with pytest.raises(SourceError, match=named) as caught:
        await answered(plugins)
    assert "plugin:bad" in str(caught.value)
    assert "ada" not in str(caught.value)
    assert {signal.source for signal in caught.value.signals} == {"plugin:good", "plugin:kind"}
    plugins.stop()


FICKLE = """
from hubcull_server_ext.api import Work

def watch(server):
    def claims():
        if server.ill:
            raise OSError("gone")
        return [Work(60.0, "job")] if server.busy else []
    return claims
"""


async def test_what_it_said_last_goes_on_protecting(install: Install) -> None:
    """While it fails; well again, it counts by what it says then."""
    install("fickle", FICKLE)
    server = SimpleNamespace(ill=False, busy=True)
    plugins = source(server)
    (work,) = await answered(plugins)
    assert work.going_on_for == pytest.approx(60.0, abs=5.0)
    server.ill = True
    await asyncio.sleep(0.3)
    with pytest.raises(SourceError, match="OSError") as caught:
        await answered(plugins)
    assert (caught.value.signals[0].going_on_for or 0) >= (work.going_on_for or 0) + 0.3
    server.ill = server.busy = False
    await asyncio.sleep(0.1)
    assert await answered(plugins) == []
    plugins.stop()


async def test_without_plugins_nothing_is_said(install: Install) -> None:
    assert await answered(source()) == []
