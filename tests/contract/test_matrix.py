"""The page of the matrix says what its tests demand: no row more, no verdict better."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.e2e.matrix import (
    apps,
    browser,
    choices,
    desktops,
    documents,
    editors,
    elsewhere,
    extensions,
    kernels,
    reported,
    requests,
    row,
    stage,
    terminals,
)
from tests.e2e.matrix.outcome import Outcome, PremiseError, WrongVerdictError
from tests.e2e.matrix.page import PAGE, document, page, promised
from tests.e2e.matrix.row import Fate, Right, Row
from tests.e2e.matrix.rows import ROWS

MAKERS = {
    "kernels": kernels.MAKERS,
    "terminals": terminals.MAKERS,
    "requests": requests.REQUESTS,
    "tabs": requests.TABS,
    "apps": apps.MAKERS,
    "extensions": extensions.MAKERS,
    "reported": reported.MAKERS,
    "browser": browser.TABS,
    "dashboards": browser.DASHBOARDS,
    "elsewhere": elsewhere.MAKERS,
    "desktops": desktops.MAKERS,
    "documents": documents.MAKERS,
    "edits": documents.EDITS,
    "editors": editors.MAKERS,
    "choices": choices.MAKERS,
}


def test_the_page_is_what_a_run_without_failures_shows() -> None:
    """`make matrix` writes it anew."""
    assert PAGE.read_text("utf-8") == page(document(ROWS, promised(ROWS)))


def test_every_row_is_made_or_says_why_not() -> None:
    """Each number once; nothing is made that is no row, and each family has its tests."""
    numbers = Counter(row.number for row in ROWS)
    assert [number for number, count in numbers.items() if count > 1] == []
    for family, makers in MAKERS.items():
        assert set(makers) == {row.number for row in ROWS if row.family == family and not row.not_run}
    assert {row.family for row in ROWS if not row.not_run} <= set(MAKERS)


IN_USE = {1, 2, 3, 9, 10, 13, 15, 16, 17, 21, 24, 26, 27, 31, 33, 34, 36, 37, 38, 42, 44, 45, 46, 47, 49, 50}
"""The situations of the first fifty that are in use, as found before any of this was built: by what people
complain of, and by what each does to a server. Where tastes differ it is the default."""


def test_all_fifty_situations_are_there() -> None:
    """A variant has the number of its row, and a letter."""
    assert {int(re.sub("[a-z]+$", "", row.number)) for row in ROWS} >= set(range(1, 51))


def test_the_truth_of_the_fifty_is_not_what_hubcull_happens_to_say() -> None:
    """It was settled before, and no row's is changed to fit."""
    first = {str(number) for number in range(1, 51)}
    right = {int(row.number): row.right for row in ROWS if row.number in first}
    assert {number for number, is_so in right.items() if is_so is Right.ACTIVE} == IN_USE
    assert len(right) == 50


def test_a_row_that_is_run_says_what_stock_does_and_what_should_keep_it() -> None:
    """So that a test can tell when either changes."""
    run = [row for row in ROWS if not row.not_run]
    assert [row.number for row in run if row.stock is None or not row.made] == []
    assert [row.number for row in run if bool(row.signal) is not (row.right is Right.ACTIVE)] == []


def test_a_gap_and_a_row_not_run_are_never_shown_as_right() -> None:
    """The page shows the wrong word in bold, and claims nothing of what was not run."""
    rows = (
        Row("1", "f", "A", Right.ACTIVE, Fate.STOPPED, "kernel", made="so", gap="not seen"),
        Row("2", "f", "B", Right.IDLE, Fate.STOPPED, made="so"),
        Row("3", "f", "C", Right.IDLE, not_run="later"),
    )
    text = page(document(rows, promised(rows)))
    assert "| 1 | A | so | active | **stopped** | **stopped** |  |" in text
    assert "| 2 | B | so | idle | stopped | stopped |  |" in text
    assert "| 1 | not seen |" in text
    assert "| 3 | C | idle | later |" in text
    assert "Of 3 rows 2 are run. Stock `last_activity` is right in 1 of them, hubcull in 1." in text


def test_a_row_whose_situation_was_not_there_is_not_shown_as_right() -> None:
    """It has a result, by which nothing is shown; its test fails, and the page says why."""
    row = Row("1", "f", "A", Right.ACTIVE, Fate.STOPPED, "kernel", made="so")
    (entry,) = document([row], {"1": replace(SEEN, faults=("no cell",)).as_json()})
    assert entry["not_run"] == "run, but it was not so: no cell"
    assert "hubcull" not in entry


def test_a_row_whose_program_is_missing_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is skipped with the reason, and listed with it; one whose programs are there is run."""
    here = Row("1", "f", "A", Right.IDLE, Fate.KEPT, made="so", programs={"sh": "dash"})
    absent = replace(here, number="2", programs={"sh": "dash", "no-such-program": "its-package"})
    why = "needs no-such-program: on Debian, apt install its-package"
    assert [each["not_run"] for each in document([here, absent], {})] == ["not run this time", why]
    monkeypatch.setattr(stage, "ROWS", (here, absent))
    chosen = cast("list[Any]", stage.params("f"))
    skips = [[mark.kwargs for mark in each.marks if mark.name == "skip"] for each in chosen]
    assert skips == [[], [{"reason": why}], []], "the idle server is the third"


def test_a_row_for_which_something_could_not_be_built_is_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A build that broke off leaves no stamp, whatever else it leaves; both wants are named."""
    monkeypatch.setattr(row, "BUILD", tmp_path)
    (tmp_path / "thing").mkdir()
    built = Row("1", "f", "A", Right.IDLE, Fate.KEPT, made="so", built="thing")
    both = replace(built, programs={"no-such-program": "its-package"})
    why = "needs build/thing: make build/thing/.ready"
    assert built.missing == why
    assert both.missing == f"needs no-such-program: on Debian, apt install its-package; {why}"
    (tmp_path / "thing" / ".ready").touch()
    assert built.missing == ""


BUSY = Row("1", "f", "A", Right.ACTIVE, Fate.STOPPED, "kernel", made="so")
SEEN = Outcome("1", 25, 45, 45, None, "busy", "report", "kernel:1", "a cell")
STOPPED = replace(SEEN, gone_after=27, reason="idle", decided_by="kernel:1")


def test_only_what_is_right_for_the_right_reason_passes() -> None:
    """Everything else is told apart: a wrong verdict, and a situation that was not there."""
    SEEN.check(BUSY)
    SEEN.check(replace(BUSY, signal="requests", also="kernel"))
    for wrong in (STOPPED, replace(SEEN, decided_by="terminal:1")):
        with pytest.raises(WrongVerdictError):
            wrong.check(BUSY)
    for absent in (replace(SEEN, faults=("no cell",)), replace(SEEN, oldest_activity=24)):
        with pytest.raises(PremiseError):
            absent.check(BUSY)


def test_what_an_operators_hook_keeps_is_kept_by_the_hook() -> None:
    """Beside its word there is the signal that would have condemned."""
    kept = replace(SEEN, reason="hook_keeps")
    assert (kept.signal, SEEN.signal) == ("hook", "kernel")
    kept.check(replace(BUSY, signal="hook"))
    with pytest.raises(WrongVerdictError):
        SEEN.check(replace(BUSY, signal="hook"))


def test_an_idle_server_must_be_stopped_in_time_and_by_its_own_report() -> None:
    """A stop before the timeout, or without a report, shows nothing good."""
    idle = replace(BUSY, right=Right.IDLE, signal="")
    STOPPED.check(idle)
    for wrong in (SEEN, replace(STOPPED, gone_after=19), replace(STOPPED, basis="hub")):
        with pytest.raises(WrongVerdictError):
            wrong.check(idle)


def test_a_gap_that_is_mended_or_changed_turns_its_test_red() -> None:
    """The mark expects the wrong verdict and nothing else."""
    gap = replace(BUSY, gap="not seen")
    with pytest.raises(WrongVerdictError):
        STOPPED.check(gap)
    for other in (SEEN, replace(SEEN, decided_by="terminal:1")):
        with pytest.raises(PremiseError):
            other.check(gap)
