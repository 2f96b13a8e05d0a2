"""Real Hubs for tests, each ended with everything below it, its log shown where a test failed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from harness.environments import hub_bin, installed
from harness.hubconfig import HubOptions
from harness.processes import marked
from harness.realhub import RealHub

MakeHub = Callable[..., RealHub]
"""`make_hub("--timeout=10", service=Service.NONE, …)`: hubcull's options, then fields of `HubOptions`.

Servers do without JupyterLab where ``lab=True`` is not among them.
"""

_HERE = Path(__file__).parent
_LIMIT = 240.0
_running: list[RealHub] = []


def pytest_report_header() -> str:
    """Say in what the Hub and the servers run."""
    folder = hub_bin()
    found = installed(folder, "jupyterhub", "jupyter_server", "jupyterlab", "hubcull")
    return f"hub: {', '.join(' '.join(each) for each in found.items())}, in {folder.parent}"


@pytest.hookimpl(tryfirst=True)  # xdist looks at the marks in this hook, too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests in this folder more time than a unit test has; real servers take seconds to start.

    Those of a module that share a Hub stay together where tests run side by side; the others go where there
    is room.
    """
    for item in items:
        if _HERE not in item.path.parents:
            continue
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_LIMIT))
        if "make_module_hub" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to begin where xdist did not take the groups: each worker would start the Hubs that are shared.

    Raises:
        RuntimeError: it names the two versions; a worker passes on no UsageError.

    """
    if not session.config.getoption("loadgroup", False):
        return
    lost = [i for i in session.items if i.get_closest_marker("xdist_group") and "@" not in i.nodeid]
    if lost:
        versions = f"pytest {pytest.__version__} and pytest-xdist {version('pytest-xdist')}"
        raise RuntimeError(f"{versions} do not keep tests of a group together, such as {lost[0].nodeid}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the logs of the running Hubs to a failure."""
    report = yield
    if report.failed:
        for hub in _running:
            report.sections.append((f"log of the Hub at {hub.url}", hub.log_tail(12_000)))
            report.sections.append(("its processes", "\n".join(hub.processes())))
            if hub.service_log != hub.log and hub.service_log.exists():
                report.sections.append(("log of its service", hub.service_log.read_text()[-12_000:]))
    return report


@contextmanager
def _hubs(factory: pytest.TempPathFactory) -> Iterator[MakeHub]:
    made: list[RealHub] = []

    def make(*service_options: str, **fields: Any) -> RealHub:
        hub = RealHub(
            HubOptions(service_options=service_options, **{"lab": False, **fields}), factory.mktemp("hub")
        )
        made.append(hub)
        hub.start()
        _running.append(hub)
        return hub

    try:
        yield make
    finally:
        for hub in made:
            hub.end()  # a Hub that stops its servers one by one takes them longer than most tests
            if hub in _running:
                _running.remove(hub)
    for hub in made:
        assert list(marked(hub.place.mark)) == []


@pytest.fixture
def make_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeHub]:
    """Start Hubs that end with the test."""
    with _hubs(tmp_path_factory) as make:
        yield make


@pytest.fixture(scope="module")
def make_module_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeHub]:
    """Start Hubs that end with the last test of the module."""
    with _hubs(tmp_path_factory) as make:
        yield make
