"""The results as ``build/matrix.json``, and the page ``docs/matrix.md`` that is made from them.

``python -m tests.e2e.matrix.page FOLDER`` takes the result of each row from the folder. The page is written
only when every row that can be run has one, so that a run of a few rows does not replace it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.matrix.row import Fate, Row
from tests.e2e.matrix.rows import ROWS

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "matrix.md"
RESULTS = ROOT / "build" / "matrix.json"

_HEAD = """\
# The matrix: what is in use, and who notices

This page says what the tests of the matrix demand, and a test fails when it is out of step with them;
`make matrix` runs them, in about a quarter of an hour, and writes down what each row showed.
Each row is a situation, made for real in a server of a real JupyterHub, with a timeout of 35 s; intervals of
pings and graces are scaled alike. *Right* is what is true of the server. *Stock* is what a culler does that
goes by the Hub's `last_activity`: it was read every second or two while the server was watched, for 55 s
from the last act on. *hubcull* is what hubcull does in that time. A culler that is right keeps what is active
and stops what is idle; where one is wrong, its word is **bold**. *Kept by* is the source whose signal kept
the server. Beside each batch of rows runs an idle server, which must be stopped.
"""


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """Return each row's result by its number, as the run has written it."""
    return {file.stem: json.loads(file.read_text("utf-8")) for file in sorted(folder.glob("*.json"))}


def promised(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Return what a run in which no test fails shows of each row, so far as the page tells it."""
    return {
        row.number: {
            "stock": None if row.stock is None else row.stock.value,
            "hubcull": row.expected.value,
            "signal": row.kept_by,
        }
        for row in rows
        if not row.not_run
    }


def document(rows: Sequence[Row], measured: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return all rows as JSON, each with its result or with the reason why there is none."""
    return [_entry(row, measured.get(row.number)) for row in rows]


def _entry(row: Row, result: Mapping[str, Any] | None) -> dict[str, Any]:
    known = {
        "number": row.number,
        "situation": row.situation,
        "made": row.made,
        "right": row.right.value,
        "configurable": row.option or None,
        "needs": row.need.value,
    }
    if result is None:
        return {**known, "not_run": row.not_run or row.missing or "not run this time"}
    if result.get("faults"):  # whatever became of the server, nothing is shown by it
        return {**known, "not_run": f"run, but it was not so: {'; '.join(result['faults'])}"}
    said = {name: result[name] for name in ("stock", "hubcull", "signal")}
    if row.also and said["signal"] == row.also:
        said["signal"] = row.signal  # the page is the same from run to run; ``decided_by`` has the newest
    rest = {name: value for name, value in result.items() if name not in {*said, "number"}}
    return {**known, **said, "gap": row.gap or None, "measured": rest}


def page(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of the page; no figure in it differs from run to run."""
    run = [entry for entry in entries if "not_run" not in entry]
    right = {who: sum(_is_right(entry, who) for entry in run) for who in ("stock", "hubcull")}
    count = (
        f"Of {len(entries)} rows {len(run)} are run. Stock `last_activity` is right in {right['stock']} of"
        f" them, hubcull in {right['hubcull']}.\n"
    )
    table = "\n".join(_line(entry) for entry in run)
    head = "| | Situation | Made by | Right | Stock | hubcull | Kept by |\n|---|---|---|---|---|---|---|\n"
    return "\n".join([_HEAD, count, f"{head}{table}\n", *_gaps(run), *_options(run), *_not_run(entries)])


def _is_right(entry: Mapping[str, Any], who: str) -> bool:
    return bool(entry[who] == (Fate.KEPT if entry["right"] == "active" else Fate.STOPPED).value)


def _line(entry: Mapping[str, Any]) -> str:
    words = [entry[who] if _is_right(entry, who) else f"**{entry[who]}**" for who in ("stock", "hubcull")]
    cells = [entry["number"], entry["situation"], entry["made"], entry["right"], *words, entry["signal"]]
    return f"| {' | '.join(cells)} |"


def _gaps(run: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    gaps = [entry for entry in run if entry["gap"]]
    if gaps:
        rows = "\n".join(f"| {entry['number']} | {entry['gap']} |" for entry in gaps)
        yield f"## Where hubcull is wrong today\n\n| | Why |\n|---|---|\n{rows}\n"


def _options(run: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    chosen = [entry for entry in run if entry["configurable"]]
    if chosen:
        rows = "\n".join(f"| {entry['number']} | {entry['configurable']} |" for entry in chosen)
        text = "The table shows what holds by default."
        yield f"## Where operators may choose\n\n{text}\n\n| | What else |\n|---|---|\n{rows}\n"


def _not_run(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    left = [entry for entry in entries if "not_run" in entry]
    if left:
        rows = "\n".join(
            f"| {e['number']} | {e['situation']} | {e['right']} | {e['not_run']} |" for e in left
        )
        text = "Nothing is claimed of these."
        yield f"## Not run\n\n{text}\n\n| | Situation | Right | Why |\n|---|---|---|---|\n{rows}\n"


def main(folder: str) -> None:
    """Write the results, and the page if they are complete."""
    found = results(Path(folder))
    entries = document(ROWS, found)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(entries, indent=2) + "\n", "utf-8")
    missing = [row.number for row in ROWS if not row.not_run and row.number not in found]
    if missing:
        print(f"matrix: {PAGE.name} is left as it is: no result of {', '.join(missing)}")  # noqa: T201
    else:
        PAGE.write_text(page(entries), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
