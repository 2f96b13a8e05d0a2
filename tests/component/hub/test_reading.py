"""The fast reading and the close one say the same of every report, sound or not."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import asdict as asdict_of_struct

from hubcull_hub import reading
from hubcull_hub.reading import read_report
from hubcull_server_ext import wire

GOLDEN = Path(__file__).parents[2] / "contract" / "wire_v1"

characters = st.one_of(st.sampled_from('"\\\x1f\x7fé'), st.integers(0, 0x10FFFF).map(chr))
texts = st.one_of(st.text(characters, max_size=3), st.just("x" * 201))
odd: Any = st.one_of(st.none(), st.booleans(), st.integers(-5, 10**400), st.floats(), texts)
signals = st.fixed_dictionaries(
    {"kind": st.just("k"), "source": st.just("s")},
    optional={
        "clock": st.one_of(st.sampled_from(["presence", "work", "none", "dreams"]), odd),
        "strength": st.one_of(st.sampled_from(["strong", "weak"]), odd),
        **{
            name: st.one_of(st.floats(0, 1e6), odd) for name in ("age", "going_on_for", "ended_ago", "lasted")
        },
        **dict.fromkeys(("label", "actor", "count", "unheard_of"), odd),
    },
)
reports = st.fixed_dictionaries(
    {"schema": st.sampled_from([1, 1, 1, 2]), "boot_id": st.just("b"), "server": st.just("a/")},
    optional={
        "sequence": st.one_of(st.integers(0, 9), odd),
        "uptime": st.one_of(st.floats(0, 1e6), odd),
        "sources": st.lists(
            st.fixed_dictionaries(
                {"name": st.just("n")}, optional={"health": st.just("ok"), "failed_for": odd}
            ),
            max_size=2,
        ),
        "signals": st.lists(signals, max_size=3),
        "about": st.dictionaries(st.sampled_from(["image", "gpus", "python"]), odd, max_size=2),
        "can": st.lists(st.one_of(st.just("deadline"), odd), max_size=2),
    },
)


def _fields(value: Any) -> Any:
    """Return what `dataclasses.asdict` does of a dataclass, for a struct."""
    if isinstance(value, Struct):
        return {name: _fields(item) for name, item in asdict_of_struct(value).items()}
    return tuple(map(_fields, value)) if isinstance(value, tuple) else value


def closely(raw: bytes) -> Any:
    """Read as the wire itself does."""
    try:
        return asdict(wire.report_from_json(json.loads(raw)))
    except wire.InvalidMessageError as error:
        return str(error)


def fast(raw: bytes) -> Any:
    """Read as the service does."""
    try:
        return _fields(read_report(raw))
    except wire.InvalidMessageError as error:
        return str(error)


@given(reports, st.booleans())
def test_both_readings_agree(report: dict[str, Any], escaped: bool) -> None:
    """On what is taken, and on what is said of what is not."""
    raw = json.dumps(report, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    assert fast(raw) == closely(raw)


SOUND: dict[str, Any] = {
    "schema": 1,
    "boot_id": "b",
    "sequence": 1,
    "uptime": 1.5,
    "server": "a/",
    "sources": [{"name": "n", "health": "ok"}],
    "signals": [{"kind": "k", "source": "s", "clock": "presence", "age": 1.0}],
    "about": {"image": "i"},
    "can": ["deadline"],
}
SIGNAL, SOURCE = SOUND["signals"][0], SOUND["sources"][0]
LARGEST: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "boot_id": ({"boot_id": "x" * 64}, {"boot_id": "x" * 65}),
    "server": ({"server": "x" * 600}, {"server": "x" * 601}),
    "sequence": ({"sequence": wire.LARGEST_INTEGER}, {"sequence": wire.LARGEST_INTEGER + 1}),
    "uptime": ({"uptime": wire.LARGEST}, {"uptime": wire.LARGEST * 1.001}),
    "zero": ({"uptime": 0}, {"uptime": -0.001}),
    "signals": ({"signals": [SIGNAL] * 500}, {"signals": [SIGNAL] * 501}),
    "sources": ({"sources": [SOURCE] * 50}, {"sources": [SOURCE] * 51}),
    "can": ({"can": ["c"] * 50}, {"can": ["c"] * 51}),
    "image": ({"about": {"image": "x" * 500}}, {"about": {"image": "x" * 501}}),
    "python": ({"about": {"python": "x" * 200}}, {"about": {"python": "x" * 201}}),
    "detail": (
        {"sources": [{**SOURCE, "detail": "x" * 500}]},
        {"sources": [{**SOURCE, "detail": "x" * 501}]},
    ),
    "label": ({"signals": [{**SIGNAL, "label": "x" * 200}]}, {"signals": [{**SIGNAL, "label": "x" * 201}]}),
    "age": ({"signals": [{**SIGNAL, "age": wire.LARGEST}]}, {"signals": [{**SIGNAL, "age": 1e11}]}),
}


@pytest.mark.parametrize(("within", "beyond"), LARGEST.values(), ids=LARGEST.keys())
def test_the_bounds_are_the_same(
    within: dict[str, Any], beyond: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is just within them is read fast, and what is just beyond is refused."""
    largest, too_large = (json.dumps({**SOUND, **change}).encode() for change in (within, beyond))
    said = closely(largest)
    assert fast(too_large) == closely(too_large)
    assert isinstance(closely(too_large), str)
    monkeypatch.setattr(wire, "report_from_json", None)  # so that it can not be read closely
    assert fast(largest) == said


@pytest.mark.parametrize(
    ("struct", "message"),
    [
        (reading.Report, wire.Report),
        (reading.Signal, wire.Signal),
        (reading.Source, wire.Source),
        (reading.About, wire.About),
    ],
)
def test_the_fields_are_the_same(struct: type[Struct], message: Any) -> None:
    """A field that the wire gains must not be left out by the fast reading."""
    assert set(struct.__struct_fields__) == {field.name for field in fields(message)}


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_both_readings_agree_on_every_golden_report(path: Path) -> None:
    """Also on the one from the future."""
    assert fast(path.read_bytes()) == closely(path.read_bytes())


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, b"nul", b'{"a":' * 50_000])
def test_what_is_no_json_is_said_to_be_none(raw: bytes) -> None:
    """Nested as deep as anybody likes; never an exception of another kind."""
    with pytest.raises(wire.InvalidMessageError, match="not JSON"):
        read_report(raw)
