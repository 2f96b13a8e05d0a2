"""The rows of VS Code in the browser."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import MakeHub
from tests.e2e.matrix.editors import MAKERS
from tests.e2e.matrix.outcome import Outcome
from tests.e2e.matrix.row import Row
from tests.e2e.matrix.stage import params, play


@pytest.fixture(scope="module")
def outcomes(make_module_hub: MakeHub, request: pytest.FixtureRequest) -> dict[str, Outcome]:
    """Play the batch once; the tests look at what became of each row."""
    return play(make_module_hub, MAKERS, request)


@pytest.mark.parametrize("row", params("editors"))
def test_row(outcomes: dict[str, Outcome], row: Row) -> None:
    outcomes[row.number].check(row)
