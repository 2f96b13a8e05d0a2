"""Plays a batch of rows side by side on one Hub, with an idle server beside them that must be stopped."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.api import age
from tests.e2e.conftest import MakeHub
from tests.e2e.matrix.outcome import Outcome, WrongVerdictError
from tests.e2e.matrix.row import Fate, Need, Right, Row
from tests.e2e.matrix.rows import ROWS
from tests.e2e.matrix.scene import Scene
from tests.e2e.matrix.watch import Seen, Watch

TIMEOUT = 25.0
WATCHED = 45.0
"""Seconds from the last act for which a server is watched: an idle one is stopped well before."""
GRACE = 32.0
"""Seconds: `visible_tab_grace`, scaled as the timeout is."""
BEFORE = 6.0
"""Seconds before the timeout at which the premises are looked at."""
AT_ONCE = 3
"""How many servers of a batch start and are acted in at once; other batches run beside it."""
LIMIT = 400.0
"""Seconds for the first test of a batch, which plays it."""
RESULTS = "HUBCULL_MATRIX"
"""The environment variable that names the folder for results; without it none are written."""

Maker = Callable[[Scene], None]
IDLE = Row("idle", "", "Nothing was ever done in it", Right.IDLE, made="left alone")
"""It claims nothing of stock, whose clock begins at the end of the server's start."""


def params(*families: str) -> list[object]:
    """Return these families' rows and the idle server as pytest's parameters, marked with needs and gaps."""
    rows = [row for row in ROWS if row.family in families and not row.not_run]
    return [pytest.param(row, id=row.number, marks=_marks(row)) for row in [*rows, IDLE]]


def _marks(row: Row) -> list[pytest.MarkDecorator]:
    marks: list[pytest.MarkDecorator] = [pytest.mark.timeout(LIMIT)]
    if row.need is not Need.NOTHING:
        marks.append(getattr(pytest.mark, row.need.value))
    if row.gap:
        marks.append(pytest.mark.xfail(reason=row.gap, raises=WrongVerdictError, strict=True))
    return marks


def play(make: MakeHub, makers: Mapping[str, Maker], request: pytest.FixtureRequest) -> dict[str, Outcome]:
    """Play the rows for which tests of this module were chosen, and always the idle server."""
    rows = {IDLE.number: IDLE}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.path == request.path:
            row = item.callspec.params["row"]
            assert isinstance(row, Row)
            rows[row.number] = row
    options = (f"--timeout={TIMEOUT:g}", "--cull-every=1", "--warm-up=15", f"--visible-tab-grace={GRACE:g}")
    hub = make(*options)
    gate = threading.Semaphore(AT_ONCE)
    with Watch(hub) as watch, ThreadPoolExecutor(len(rows)) as pool:
        playing = [
            pool.submit(_play, watch, row, {**makers, IDLE.number: _leave_alone}[row.number], gate)
            for row in rows.values()
        ]
        outcomes = {outcome.number: outcome for outcome in (each.result() for each in playing)}
    assert outcomes[IDLE.number].hubcull is Fate.STOPPED, "nothing is shown where nothing is stopped"
    _write(outcomes)
    return outcomes


def _leave_alone(scene: Scene) -> None:
    """Do nothing: the start of the server was the last act."""
    model = scene.hub.api.server_model(scene.user) or {}
    scene.acted = time.monotonic() - age(model.get("started"))


def _play(watch: Watch, row: Row, make: Maker, gate: threading.Semaphore) -> Outcome:
    """Start the row's server, make the situation, and watch what becomes of it."""
    user = f"row-{row.number}"
    with gate:
        watch.hub.api.start_server(user, **row.server)
        scene = Scene(watch.hub, user)
        try:
            make(scene)
        except Exception as error:  # the others go on
            scene.close()
            return _outcome(row, Seen(), 0, {}, [f"the situation can not be made: {error!r}"])
    acted = scene.acted or time.monotonic()
    seen = watch.begin(user)
    try:
        _wait(seen, acted + TIMEOUT - BEFORE)
        scene.check("before the deadline")
        _wait(seen, acted + WATCHED)
        if seen.gone is None:
            scene.check("at the end")
    finally:
        scene.close()
    stop = {} if seen.gone is None else watch.decision(user)
    if seen.gone is not None and not stop:
        scene.faults.append("the server ended, and hubcull did not stop it")
    return _outcome(row, seen, acted, {**seen.verdict, **stop}, scene.faults)


def _wait(seen: Seen, until: float) -> None:
    while seen.gone is None and time.monotonic() < until:
        time.sleep(0.2)


def _outcome(row: Row, seen: Seen, acted: float, said: Mapping[str, object], faults: list[str]) -> Outcome:
    return Outcome(
        number=row.number,
        timeout=TIMEOUT,
        oldest_activity=round(seen.oldest_activity(acted), 1),
        watched=WATCHED,
        gone_after=None if seen.gone is None else round(seen.gone - acted, 1),
        reason=str(said.get("reason")),
        basis=str(said.get("basis")),
        decided_by=str(said.get("decided_by")),
        text=str(said.get("text")),
        faults=tuple(faults),
    )


def _write(outcomes: Mapping[str, Outcome]) -> None:
    """Write each row's result into a file of its own: batches run in several processes."""
    if folder := os.environ.get(RESULTS):
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        for number, outcome in outcomes.items():
            if number != IDLE.number:
                (place / f"{number}.json").write_text(json.dumps(outcome.as_json()))
