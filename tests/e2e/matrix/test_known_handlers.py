"""Handlers that are known by name are there under these names, in the real packages.

One that was renamed would be a stranger's from then on, and a panel that nobody looks at keep its server.
"""

from __future__ import annotations

import json
import subprocess
from functools import cache

import pytest

from hubcull_server_ext.signals.handlers import _HUMAN, _NOTHING, _TAB_POLLS
from tests.e2e.matrix.servers import APPS

PACKAGES = (
    "jupyter_lsp",
    "jupyter_resource_usage",
    "jupyter_server_proxy",
    "jupyter_server_terminals",
    "jupyterlab_git",
)
_LOOK = """
import importlib, json, pkgutil, sys
from tornado.web import RequestHandler
found = {}
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if "test" in module.name or module.name.endswith("__main__"):
            continue
        for one in vars(importlib.import_module(module.name)).values():
            if isinstance(one, type) and issubclass(one, RequestHandler):
                methods = ("get", "post", "put", "delete", "patch")
                own = [m.upper() for m in methods if getattr(one, m) is not getattr(RequestHandler, m)]
                found[one.__module__.partition(".")[0] + " " + one.__name__] = own
print(json.dumps(found))
"""

pytestmark = pytest.mark.app


@cache
def methods_of_handlers() -> dict[tuple[str, str], set[str]]:
    """Return the methods of each handler that the packages define, by package and class."""
    command = [str(APPS / "python"), "-c", _LOOK, *PACKAGES]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    found = {tuple(key.split()): set(methods) for key, methods in json.loads(run.stdout).items()}
    return {(package, name): methods for (package, name), methods in found.items()}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_handler_that_is_known_by_name_is_there(package: str) -> None:
    """And what a page is said to ask by itself can be asked."""
    there = methods_of_handlers()
    names = [key for table in (_TAB_POLLS, _HUMAN, _NOTHING) for key in table if key[0] == package]
    assert any(key[1] != "*" for key in names)
    assert [key for key in names if key[1] != "*" and key not in there] == []
    assert [key for key in names if key in _TAB_POLLS and not _TAB_POLLS[key] & there[key]] == []


def test_a_name_that_is_not_there_is_noticed() -> None:
    """What the others go by is no list that holds everything."""
    assert ("jupyterlab_git", "GitCommitHandler") in methods_of_handlers()
    assert ("jupyterlab_git", "GitNoSuchHandler") not in methods_of_handlers()
