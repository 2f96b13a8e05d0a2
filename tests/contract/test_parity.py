"""The page about jupyterhub-idle-culler says what the tests show: each line has a test."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.parity import table
from tests.parity.checklist import DIFFERENCES, SECTIONS


def test_every_line_of_the_checklist_has_a_test_and_every_mark_a_line() -> None:
    """And every difference that is named is shown."""
    assert table.faults(table.marks()) == []


def test_the_page_is_what_the_tests_say() -> None:
    """`make docs` writes it anew."""
    assert table.PAGE.read_text("utf-8") == table.page(table.marks())


def test_no_line_is_there_twice() -> None:
    """Lines begin with their section's letter."""
    lines = Counter(line for section in SECTIONS for line in section.lines)
    assert [line for line, number in lines.items() if number > 1] == []
    assert [line for s in SECTIONS for line in s.lines if not line.startswith(s.title.split()[0])] == []


def test_a_line_without_a_test_is_noticed() -> None:
    """And so are a mark without a line, and a difference that nobody shows or explains."""
    found = table.marks()
    line = found[0].line
    without = [mark for mark in found if mark.line != line]
    assert f"no test shows line {line}" in table.faults(without)
    odd = table.Mark("9z", "D99", "because", "tests/test_odd.py::test_odd")
    assert table.faults([*found, odd]) == [
        "tests/test_odd.py::test_odd is marked with 9z, which is no line",
        "D99 is no difference",
    ]
    name = next(iter(DIFFERENCES))
    assert f"no test shows difference {name}" in table.faults([m for m in found if m.differs != name])


def test_marks_are_read_where_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On functions, in classes, several on one test; one that is no plain text is an error."""
    monkeypatch.setattr(table, "ROOT", tmp_path)
    (tmp_path / "test_a.py").write_text(
        'class TestA:\n    @pytest.mark.parity("1", differs="D1", reason="r")\n    @pytest.mark.parity("2")\n'
        "    async def test_b(self): ...\n"
    )
    assert table.marks(tmp_path) == [
        table.Mark("1", "D1", "r", "test_a.py::TestA::test_b"),
        table.Mark("2", None, None, "test_a.py::TestA::test_b"),
    ]
    for bad in ("LINE", '"1", differs="D1"', '"1", "2"'):
        (tmp_path / "test_a.py").write_text(f"@pytest.mark.parity({bad})\ndef test_c(): ...\n")
        with pytest.raises((table.TableError, ValueError)):
            table.marks(tmp_path)
