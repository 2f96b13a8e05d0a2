"""The rows in which an operator has chosen otherwise than we do."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import MakeHub
from tests.e2e.matrix.choices import MAKERS, OPTIONS
from tests.e2e.matrix.outcome import Outcome
from tests.e2e.matrix.row import Row
from tests.e2e.matrix.stage import params, play


@pytest.fixture(scope="module")
def outcomes(make_module_hub: MakeHub, request: pytest.FixtureRequest) -> dict[str, Outcome]:
    """Play the batch once; the tests look at what became of each row."""
    return play(make_module_hub, MAKERS, request, OPTIONS)


@pytest.mark.parametrize("row", params("choices"))
def test_row(outcomes: dict[str, Outcome], row: Row) -> None:
    outcomes[row.number].check(row)
