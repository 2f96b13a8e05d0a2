"""Real Hubs for the parity tests are those of the end-to-end tests; starting one takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import make_hub, pytest_runtest_makereport

__all__ = ["make_hub", "pytest_collection_modifyitems", "pytest_runtest_makereport"]

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests in this folder the time that two processes, or a Hub, need on a busy machine."""
    for item in items:
        if _HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(180))
