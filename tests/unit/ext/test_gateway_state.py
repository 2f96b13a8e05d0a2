"""Laws of remote kernels: two witnesses that each see a part, and neither may condemn alone."""

from __future__ import annotations

from typing import Any

import pytest

from hubcull_server_ext.signals.gateway_kernels import GatewayKernels, are_remote
from hubcull_server_ext.signals.gateway_state import Remote
from hubcull_server_ext.signals.kernel_messages import KernelMessage
from hubcull_server_ext.signals.kernel_requests import Span
from hubcull_server_ext.snapshot import SourceError


def status(state: str, parent: str = "execute_request", parent_id: str = "m1") -> KernelMessage:
    """Return a status message with the given parent."""
    return KernelMessage("status", parent, parent_id, "", state)


def model(state: str, activity: str = "t0") -> dict[str, Any]:
    """Return a gateway's model of a kernel."""
    return {"id": "a", "execution_state": state, "last_activity": activity, "connections": 0}


def at_rest(now: float = 10.0) -> Remote:
    """Return a kernel that the gateway calls idle."""
    remote = Remote(first_seen=0.0)
    remote.told(model("idle"), now, now)
    return remote


def busy(remote: Remote) -> bool:
    """Whether something is in flight."""
    return bool(remote.state.in_flight)


def test_what_the_gateway_calls_idle_or_busy_is_so() -> None:
    """Also with no page open; the end of what we did not hear restarts the idle clock."""
    remote = at_rest()
    assert remote.doubt(10.0) is None
    assert remote.state.last is None
    assert remote.told(model("busy", "t1"), 20.0, 20.0)
    assert busy(remote)
    assert remote.state.began == 10.0, "it may have begun right after we asked last"
    assert not remote.told(model("busy", "t1"), 30.0, 30.0)
    assert remote.told(model("idle", "t2"), 40.0, 40.5)
    assert remote.state.last == Span(10.0, 40.5)


def test_a_cell_between_two_questions_is_seen_by_its_activity() -> None:
    """The gateway's time moved, and we heard of nothing that would explain it."""
    remote = at_rest()
    assert remote.told(model("idle", "t1"), 20.0, 20.5)
    assert remote.state.last == Span(20.5, 20.5)
    assert not remote.told(model("idle", "t1"), 30.0, 30.0)


def test_a_cell_that_we_heard_of_explains_the_gateways_activity() -> None:
    """Its end was where it was heard."""
    remote = at_rest()
    remote.heard("iopub", status("busy"), 11.0)
    remote.heard("iopub", status("idle"), 12.0)
    remote.told(model("idle", "t1"), 20.0, 20.0)
    assert remote.state.last == Span(11.0, 12.0)


def test_a_side_panel_in_mid_cell_misleads_the_gateway_and_not_us() -> None:
    """Its question's end is taken for the cell's; nothing ended until the time of activity moves again."""
    remote = at_rest()
    remote.heard("iopub", status("busy"), 11.0)
    remote.heard("iopub", status("busy", "usage_request", "u"), 12.0)
    remote.heard("iopub", status("idle", "usage_request", "u"), 12.1)
    for now in (20.0, 30.0, 40.0):
        remote.told(model("idle", "t1"), now, now)
        assert busy(remote)
    remote.told(model("idle", "t2"), 50.0, 50.0)
    assert busy(remote)
    assert remote.told(model("idle", "t2"), 60.0, 60.0)
    assert not busy(remote)


def test_a_side_panels_question_may_be_heard_after_the_gateway_was_misled_by_it() -> None:
    """So what we heard run ends by the gateway's word only when it says it twice."""
    remote = at_rest()
    remote.heard("iopub", status("busy"), 11.0)
    remote.told(model("idle", "t1"), 20.0, 20.0)
    remote.heard("iopub", status("idle", "usage_request", "u"), 20.1)
    for now in (30.0, 40.0):
        remote.told(model("idle", "t1"), now, now)
        assert busy(remote)


def test_a_cell_whose_page_was_closed_ends_by_the_gateways_word() -> None:
    """But not by a word that is older than what we heard."""
    remote = at_rest()
    remote.heard("iopub", status("busy"), 20.0)
    remote.told(model("idle"), 20.5, 21.0)
    assert busy(remote)
    remote.told(model("busy"), 30.0, 30.0)
    assert busy(remote)
    remote.told(model("idle", "t1"), 40.0, 40.0)
    assert busy(remote)
    assert remote.told(model("idle", "t1"), 50.0, 50.0)
    assert remote.state.last == Span(20.0, 50.0)


def test_a_page_that_only_shows_output_does_not_hide_that_the_kernel_is_busy() -> None:
    """Somebody else began the cell, before the page was opened."""
    remote = at_rest()
    for now in range(11, 40):
        remote.heard("iopub", KernelMessage("stream", "execute_request", "m0", "", ""), float(now))
        remote.told(model("busy"), now + 0.1, now + 0.1)
    assert busy(remote)


def test_busy_that_was_over_when_the_answer_came_is_not_begun_anew() -> None:
    """The question was under way while the cell ended."""
    remote = at_rest()
    remote.heard("iopub", status("busy"), 15.0)
    remote.heard("iopub", status("idle"), 20.5)
    assert not remote.told(model("busy"), 20.0, 21.0)
    assert not busy(remote)


def test_another_process_runs_nothing_of_what_ran_before() -> None:
    """A kernel that the gateway starts anew."""
    remote = at_rest()
    remote.heard("iopub", status("busy"), 15.0)
    assert remote.told(model("starting"), 20.0, 20.0)
    assert not busy(remote)


@pytest.mark.parametrize(
    ("said", "now", "doubt"),
    [
        (None, 10.0, "not spoken"),
        ("starting", 10.0, "starts"),
        ("starting", 100.0, None),
        ("sideways", 100.0, "do not know"),
        ("idle", 10.0, None),
        ("dead", 10.0, None),
    ],
)
def test_what_is_not_known_is_doubt(said: str | None, now: float, doubt: str | None) -> None:
    """A kernel that nobody has made do anything starts for ever; that is no doubt."""
    remote = Remote(first_seen=0.0)
    remote.told(None if said is None else model(said), now, now)
    found = remote.doubt(now)
    assert found is None if doubt is None else doubt in (found or "")


def test_a_kernel_that_is_gone_before_it_was_known_may_have_worked() -> None:
    """One that was known to be idle did not."""
    unknown, idle = Remote(first_seen=0.0), at_rest()
    unknown.gone(30.0)
    idle.gone(30.0)
    assert unknown.state.last == Span(30.0, 30.0)
    assert idle.state.last is None


class GatewayMappingKernelManager:
    """Named as jupyter_server's manager of remote kernels; it holds what it is told."""

    def __init__(self, *kernels: str) -> None:
        self.kernels = list(kernels)

    def list_kernel_ids(self) -> list[str]:
        """Return the ids."""
        return self.kernels

    async def list_kernels(self) -> list[dict[str, Any]]:
        """Fail as a gateway does that can not be reached."""
        raise ConnectionError("/secret/path")


async def test_a_gateway_that_does_not_answer_is_doubt_where_there_are_kernels() -> None:
    """Kernels we can not see are never taken for idle; where there are none, nothing is in doubt."""
    managers = GatewayMappingKernelManager()
    assert are_remote(managers)
    source = GatewayKernels(managers, lambda: 100.0)
    await source.sample()
    assert source.collect(100.0) == []
    managers.kernels.append("a")
    await source.sample()
    with pytest.raises(SourceError, match="gateway") as failure:
        source.collect(100.0)
    assert "secret" not in str(failure.value)
