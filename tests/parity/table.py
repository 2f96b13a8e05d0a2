"""The page ``docs/parity.md``, made from the checklist and from the tests that are marked with its lines.

Nothing is imported or run: the marks are read where they are written, as in
``@pytest.mark.parity("1d.7", differs="D6", reason="…")``. ``python -m tests.parity.table`` writes the page.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.parity.checklist import DIFFERENCES, SECTIONS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "parity.md"

_HEAD = """\
# hubcull beside jupyterhub-idle-culler

This page is made from the tests: `make docs` writes it, and a test fails when it is out of step. Each line
says what jupyterhub-idle-culler 2.0.0 does, whether hubcull does the same, and which test shows it. The tests
in `tests/parity` run the real jupyterhub-idle-culler and hubcull side by side, at the same states of a Hub,
and compare every DELETE that they send. Where the two differ on purpose, the test shows what each does.
`make parity` runs them.

Differences have names: **D** is a defect of jupyterhub-idle-culler that hubcull does not share, **L** follows
from hubcull's own rules, above all that *unknown is never idle*. They are listed at the end. Hubs older than
JupyterHub 4.0 are not served.
"""


class Mark(NamedTuple):
    """One mark on one test: the line, the difference if there is one, and why."""

    line: str
    differs: str | None
    reason: str | None
    test: str
    """``tests/parity/test_servers.py::test_name``."""


class TableError(Exception):
    """A mark that can not be read; the text says where."""


def marks(folder: Path = ROOT / "tests") -> list[Mark]:
    """Return every mark in the tests, in the order of files and lines."""
    found: list[Mark] = []
    for file in sorted(folder.rglob("test_*.py")):
        found += _marks_in(ast.parse(file.read_text("utf-8")).body, file.relative_to(ROOT).as_posix())
    return found


def _marks_in(body: Sequence[ast.stmt], where: str) -> Iterator[Mark]:
    for node in body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        name = f"{where}::{node.name}"
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.parity":
                yield _mark(decorator, name)
        if isinstance(node, ast.ClassDef):
            yield from _marks_in(node.body, name)


def _mark(call: ast.Call, test: str) -> Mark:
    try:
        (line,) = (ast.literal_eval(arg) for arg in call.args)
        given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    except ValueError as error:
        raise TableError(f"{test}: a mark has one line and plain texts: {ast.unparse(call)}") from error
    if set(given) not in ({"differs", "reason"}, set()):
        raise TableError(f"{test}: a difference has a name and a reason: {ast.unparse(call)}")
    return Mark(line, given.get("differs"), given.get("reason"), test)


def faults(found: Sequence[Mark]) -> list[str]:
    """Return what is wrong between checklist and marks: lines without a test, marks without a line."""
    lines = {line for section in SECTIONS for line in section.lines}
    marked = {mark.line for mark in found}
    differs = {mark.differs for mark in found if mark.differs}
    return [
        *(f"no test shows line {line}" for line in sorted(lines - marked)),
        *(
            f"{mark.test} is marked with {mark.line}, which is no line"
            for mark in found
            if mark.line not in lines
        ),
        *(f"no test shows difference {name}" for name in DIFFERENCES if name not in differs),
        *(f"{name} is no difference" for name in sorted(differs - set(DIFFERENCES))),
    ]


def page(found: Sequence[Mark]) -> str:
    """Return the text of the page."""
    parts = [_HEAD]
    for section in SECTIONS:
        rows = [_row(line, words, found) for line, words in section.lines.items()]
        head = "| | jupyterhub-idle-culler 2.0.0 | hubcull | Shown by |\n|---|---|---|---|"
        parts.append(f"## {section.title}\n\n{head}\n" + "\n".join(rows) + "\n")
    parts.append(_differences(found, DIFFERENCES))
    return "\n".join(parts)


def _row(line: str, words: str, found: Sequence[Mark]) -> str:
    here = [mark for mark in found if mark.line == line]
    told = dict.fromkeys(f"**{mark.differs}**: {mark.reason}" for mark in here if mark.differs)
    same = ["the same"] if any(mark.differs is None for mark in here) else []
    return f"| {line} | {words} | {'; '.join([*same, *told])} | {_links(here)} |"


def _differences(found: Sequence[Mark], differences: Mapping[str, str]) -> str:
    rows = [
        f"| {name} | {words} | {_links([mark for mark in found if mark.differs == name])} |"
        for name, words in differences.items()
    ]
    return (
        "## The differences\n\n| | What differs, and why | Shown by |\n|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def _links(found: Sequence[Mark]) -> str:
    tests = dict.fromkeys(mark.test for mark in found)
    return "<br>".join(f"[{test.rpartition('::')[2]}](../{test.partition('::')[0]})" for test in tests)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(marks()), "utf-8")


if __name__ == "__main__":
    main()
