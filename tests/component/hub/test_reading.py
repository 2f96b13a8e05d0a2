"""The fast reading and the close one say the same of every report, sound or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubcull_hub.reading import read_report
from hubcull_server_ext import wire

GOLDEN = Path(__file__).parents[2] / "contract" / "wire_v1"

odd: Any = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 10**400), st.floats(), st.text(max_size=3), st.just("x" * 201)
)
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


def closely(raw: bytes) -> wire.Report | str:
    """Read as the wire itself does."""
    try:
        return wire.report_from_json(json.loads(raw))
    except wire.InvalidMessageError as error:
        return str(error)


def fast(raw: bytes) -> wire.Report | str:
    """Read as the service does."""
    try:
        return read_report(raw)
    except wire.InvalidMessageError as error:
        return str(error)


@given(reports)
def test_both_readings_agree(report: dict[str, Any]) -> None:
    """On what is taken, and on what is said of what is not."""
    raw = json.dumps(report).encode()
    assert fast(raw) == closely(raw)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_both_readings_agree_on_every_golden_report(path: Path) -> None:
    """Also on the one from the future."""
    assert read_report(path.read_bytes()) == wire.report_from_json(json.loads(path.read_bytes()))


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, b"nul", b'{"a":' * 50_000])
def test_what_is_no_json_is_said_to_be_none(raw: bytes) -> None:
    """Nested as deep as anybody likes; never an exception of another kind."""
    with pytest.raises(wire.InvalidMessageError, match="not JSON"):
        read_report(raw)
