"""The row of edits in a document that the server holds, where a visible tab counts for nothing."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import MakeHub
from tests.e2e.matrix.documents import EDITS
from tests.e2e.matrix.outcome import Outcome
from tests.e2e.matrix.row import Row
from tests.e2e.matrix.stage import params, play


@pytest.fixture(scope="module")
def outcomes(make_module_hub: MakeHub, request: pytest.FixtureRequest) -> dict[str, Outcome]:
    """Play the batch once; the tests look at what became of each row."""
    return play(make_module_hub, EDITS, request, {"visible-tab-grace": "0"})


@pytest.mark.parametrize("row", params("edits"))
def test_row(outcomes: dict[str, Outcome], row: Row) -> None:
    outcomes[row.number].check(row)
