"""Every message of every wire version ever released is still understood; golden files are only added to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hubcull_hub import reading
from hubcull_server_ext import wire

HERE = Path(__file__).parent


def golden(name: str) -> dict[str, Any]:
    """Return a golden report."""
    found: dict[str, Any] = json.loads((HERE / "wire_v1" / f"{name}.json").read_text("utf-8"))
    return found


def test_the_first_version_reads_and_writes_the_same() -> None:
    """Nothing is lost and nothing renamed on the way through the dataclasses."""
    assert wire.to_json(wire.report_from_json(golden("busy"))) == golden("busy")


def test_weak_sources_and_work_in_the_background_read_and_write_the_same() -> None:
    """Added before the first release; a strength that is not known is taken for a strong source's."""
    assert wire.to_json(wire.report_from_json(golden("background"))) == golden("background")
    unknown = golden("background")
    unknown["sources"][3]["strength"] = "homeopathic"
    assert wire.report_from_json(unknown).sources[3].strength is wire.Strength.STRONG


def test_apps_read_and_write_the_same() -> None:
    """Added before the first release."""
    assert wire.to_json(wire.report_from_json(golden("apps"))) == golden("apps")


def test_questions_widgets_readers_and_browsers_read_and_write_the_same() -> None:
    """Kinds of their own, added before the first release."""
    assert wire.to_json(wire.report_from_json(golden("questions"))) == golden("questions")


def test_declared_work_and_other_cullers_read_and_write_the_same() -> None:
    """Added before the first release."""
    assert wire.to_json(wire.report_from_json(golden("declared"))) == golden("declared")


@pytest.mark.parametrize("name", ["busy", "background", "apps", "questions", "declared", "from_the_future"])
def test_what_travels_reads_the_same(name: str) -> None:
    """Without the strength of what is strong, which the fast reading and the close one take for granted."""
    report = wire.report_from_json(golden(name))
    raw = wire.to_bytes(report)
    assert b'"strength":"strong"' not in raw
    assert wire.report_from_json(json.loads(raw)) == report
    fast = msgspec.json.decode(raw, type=reading.Report)
    assert [signal.strength for signal in fast.signals] == [signal.strength for signal in report.signals]


def test_what_a_newer_extension_adds_does_no_harm() -> None:
    """Unknown fields are ignored; an unknown clock protects, and an unknown health is doubt."""
    report = wire.report_from_json(golden("from_the_future"))
    assert [s.health for s in report.sources] == [wire.Health.FAILED, wire.Health.OK]
    assert [(s.kind, s.clock, s.strength) for s in report.signals] == [
        ("brain_waves", wire.Clock.PRESENCE, wire.Strength.STRONG),
        ("quantum_job", wire.Clock.WORK, wire.Strength.STRONG),
    ]
    assert report.can == ("deadline", "confirm", "levitate")


def changed(path: list[str | int], value: object) -> dict[str, Any]:
    """Return the busy report with one thing changed."""
    report = golden("busy")
    place: Any = report
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return report


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (["schema"], 2, "report.schema is 2; expected 1"),
        (["sequence"], -1, "report.sequence is -1"),
        (["sequence"], 1.5, "report.sequence is 1.5"),
        (["uptime"], "long", "report.uptime is 'long'"),
        (["uptime"], float("nan"), "report.uptime is nan"),
        (["uptime"], True, "report.uptime is True"),
        (["signals"], {}, "report.signals is {}"),
        (["signals"], [1], "report.signals[0] is 1"),
        (["signals", 0, "going_on_for"], -5, "report.signals[0].going_on_for is -5"),
        (["signals", 0, "going_on_for"], float("inf"), "report.signals[0].going_on_for is inf"),
        (["signals", 0, "age"], 5, "report.signals[0] needs exactly one of"),
        (["signals", 1, "label"], "x" * 201, "report.signals[1].label"),
        (["signals"], [{}] * 501, "at most 500 items"),
        (["sources", 0, "health"], None, "report.sources[0].health is None"),
        (["about", "gpus"], "many", "report.about.gpus is 'many'"),
        (["boot_id"], None, "report.boot_id is None"),
    ],
)
def test_what_can_not_be_read_is_refused_by_name(path: list[str | int], value: object, named: str) -> None:
    """The complaint names the field and the value; nothing is guessed."""
    with pytest.raises(wire.InvalidMessageError) as caught:
        wire.report_from_json(changed(path, value))
    assert named in str(caught.value)


@pytest.mark.parametrize("body", [None, [], "x", 5])
def test_a_body_that_is_no_object_is_refused(body: object) -> None:
    """Whatever JSON it is."""
    with pytest.raises(wire.InvalidMessageError):
        wire.report_from_json(body)


REPLY = wire.Reply("keep", "active", "somebody is there", "default", report_in=150.0, deadline_in=599.5)
REFUSAL = wire.Refusal("not-listed", "the Hub does not list it", retry_in=10.0)


def test_replies_and_refusals_read_back() -> None:
    """Through real JSON."""
    assert wire.reply_from_json(json.loads(json.dumps(wire.to_json(REPLY)))) == REPLY
    assert wire.refusal_from_json(json.loads(json.dumps(wire.to_json(REFUSAL)))) == REFUSAL


@pytest.mark.parametrize("service", [None, "hub", 7])
def test_an_answer_of_somebody_else_is_not_taken_for_a_reply(service: object) -> None:
    """A login page's JSON, the Hub's error: only the service's own word counts."""
    with pytest.raises(wire.InvalidMessageError):
        wire.reply_from_json({**wire.to_json(REPLY), "service": service})


def test_the_schema_is_light() -> None:
    """The service shares it without paying for jupyter_server."""
    import subprocess  # noqa: PLC0415 - a fresh interpreter is the point
    import sys  # noqa: PLC0415

    code = "import sys, hubcull_server_ext.wire; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"tornado", "traitlets", "jupyter_server", "aiohttp", "psutil"} & set(loaded.split())
