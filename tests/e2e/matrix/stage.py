"""Plays a batch of rows side by side on one Hub, with an idle server beside them that must be stopped."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from harness.processes import lasted
from harness.realhub import RealHub
from harness.waiting import wait_until
from tests.e2e.conftest import MakeHub
from tests.e2e.matrix.outcome import Outcome, WrongVerdictError
from tests.e2e.matrix.pace import Pace
from tests.e2e.matrix.row import Fate, Need, Right, Row
from tests.e2e.matrix.rows import ROWS
from tests.e2e.matrix.scene import Scene
from tests.e2e.matrix.watch import Seen, Watch

TIMEOUT = 35.0
WATCHED = 55.0
"""Seconds from the last act for which a server that should be kept is watched."""
PATIENCE = 150.0
"""Seconds that one which should be stopped has until it is gone; a loaded machine is late with everything."""
GRACE = 45.0
"""Seconds: `visible_tab_grace`, scaled as the timeout is."""
BEFORE = 6.0
"""Seconds before the timeout at which the premises are looked at."""
LOOKS = 3.0
"""Seconds: the extension's `sample_interval`. What computes is told from six of these, which must be less
than the timeout."""
LIMIT = 480.0
"""Seconds for the first test of a batch, which plays it."""
RESULTS = "HUBCULL_MATRIX"
"""The environment variable that names the folder for results; without it none are written."""

Maker = Callable[[Scene], None]
IDLE = Row("idle", "", "Nothing was ever done in it", Right.IDLE, made="left alone")
"""It claims nothing of stock, whose clock begins at the end of the server's start."""


def params(*families: str) -> list[object]:
    """Return these families' rows and the idle server as pytest's parameters, marked with needs and gaps."""
    rows = [row for row in ROWS if row.family in families and not row.not_run]
    idle = IDLE if any(row.need is Need.NOTHING for row in rows) else replace(IDLE, need=rows[0].need)
    return [pytest.param(row, id=row.number, marks=_marks(row)) for row in [*rows, idle]]


def _marks(row: Row) -> list[pytest.MarkDecorator]:
    marks: list[pytest.MarkDecorator] = [pytest.mark.timeout(LIMIT)]
    if row.need is not Need.NOTHING:
        marks.append(getattr(pytest.mark, row.need.value))
    if row.missing:
        marks.append(pytest.mark.skip(reason=row.missing))
    if row.gap:
        marks.append(pytest.mark.xfail(reason=row.gap, raises=WrongVerdictError, strict=True))
    return marks


def play(
    make: MakeHub,
    makers: Mapping[str, Maker],
    request: pytest.FixtureRequest,
    others: Mapping[str, str] | None = None,
) -> dict[str, Outcome]:
    """Play the rows for which tests of this module were chosen, and always the idle server.

    ``others`` are options of the service that take the place of ours.
    """
    own = request.getfixturevalue("tmp_path_factory").getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    rows = {IDLE.number: IDLE}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.path == request.path:
            row = item.callspec.params["row"]
            assert isinstance(row, Row)
            if row.missing:
                continue
            rows[row.number] = row
    times = {"timeout": TIMEOUT, "cull-every": 1, "warm-up": 15, "visible-tab-grace": GRACE}
    words = [f"--{name}={value}" for name, value in {**times, **(others or {})}.items()]
    hub = make(*words, spawner_environment={"HUBCULL_SAMPLE_INTERVAL": f"{LOOKS:g}"})
    pace = Pace(shared)
    with Watch(hub) as watch, ThreadPoolExecutor(len(rows)) as pool:
        playing = [
            pool.submit(_play, watch, row, {**makers, IDLE.number: _leave_alone}[row.number], pace)
            for row in rows.values()
        ]
        outcomes = {outcome.number: outcome for outcome in (each.result() for each in playing)}
    assert outcomes[IDLE.number].hubcull is Fate.STOPPED, "nothing is shown where nothing is stopped"
    _write(outcomes)
    return outcomes


def _leave_alone(scene: Scene) -> None:
    """Do nothing: the start of the server was the last act, and its end is what counts."""
    scene.acted = time.monotonic() - lasted(scene.hub.api.server_pid(scene.user))


def _play(watch: Watch, row: Row, make: Maker, pace: Pace) -> Outcome:
    """Start the row's server, make the situation, and watch what becomes of it."""
    with pace.turn():
        try:
            scene = _make(watch.hub, row, make)
        except Exception as error:  # the others go on
            return _outcome(row, Seen(), 0, {}, [f"the situation can not be made: {error!r}"])
    acted = scene.acted or time.monotonic()
    seen = watch.begin(scene.user)
    watched = WATCHED if row.expected is Fate.KEPT else PATIENCE
    try:
        _wait(seen, acted + TIMEOUT - BEFORE)
        scene.check("before the deadline")
        signals = watch.signals(scene.user)
        _wait(seen, acted + watched)
        if seen.gone is None:
            scene.check("at the end")
        seen = deepcopy(seen)  # to clear away may end the server, too, and that is nobody's verdict
    finally:
        scene.close()
    stop = {} if seen.gone is None else watch.decision(scene.user)
    if seen.gone is not None and not stop:
        scene.faults.append("the server ended, and hubcull did not stop it")
    said = {**seen.verdict, **stop, "signals": signals}
    outcome = _outcome(row, seen, acted, said, scene.faults)
    scene.end_server()
    return outcome


def _make(hub: RealHub, row: Row, make: Maker, tries: int = 2) -> Scene:
    """Start the row's server and act in it; once more where that took so long that hubcull stopped it."""
    user = f"row-{row.number}"
    hub.api.start_server(user, **{"lab": row.need is not Need.NOTHING, **row.server})
    scene = Scene(hub, user)
    try:
        make(scene)
    except Exception:
        scene.close()
        if tries == 1 or scene.running():
            raise
        wait_until(scene.is_gone, 30, "the server has ended")
        return _make(hub, row, make, tries - 1)
    return scene


def _wait(seen: Seen, until: float) -> None:
    while seen.gone is None and time.monotonic() < until:
        time.sleep(0.2)


def _strings(values: object) -> Iterator[str]:
    yield from map(str, values) if isinstance(values, list) else ()


def _outcome(row: Row, seen: Seen, acted: float, said: Mapping[str, object], faults: list[str]) -> Outcome:
    return Outcome(
        number=row.number,
        timeout=TIMEOUT,
        oldest_activity=round(seen.oldest_activity(acted), 1),
        watched=WATCHED if row.expected is Fate.KEPT else PATIENCE,
        gone_after=None if seen.gone is None else round(seen.gone - acted, 1),
        reason=str(said.get("reason")),
        basis=str(said.get("basis")),
        decided_by=str(said.get("decided_by") or ""),
        text=str(said.get("text")),
        signals=tuple(_strings(said.get("signals"))),
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
