"""The operator's hook in a config file, on a real Hub: one of idle-culler's, and one that knows more."""

from __future__ import annotations

from pathlib import Path

from harness.situations import Browser
from tests.e2e.conftest import MakeHub
from tests.e2e.lives import Watcher

TIMEOUT, BOUND = 10.0, 15.0

CLASSIC = """
async def spare_one_profile(inactive, inactive_limit, server):
    if server["user_options"].get("profile") == "unlimited":
        return False
    if server["name"] == "broken":
        raise KeyError("state")
    return inactive.total_seconds() >= inactive_limit

c.Hubcull.cull_arbiter_hook = spare_one_profile
"""

KNOWING = """
def short_life_for_guests(inactive, inactive_limit, server, user, groups, evidence, verdict):
    if "staff" in groups:
        return False, "staff are asked by mail"
    if user["name"] == "gus" and inactive.total_seconds() >= 4:
        return True, "guests have four seconds"
    return None

c.Hubcull.cull_arbiter_hook = short_life_for_guests
"""


def test_a_hook_of_idle_culler_runs_unchanged(make_hub: MakeHub, tmp_path: Path) -> None:
    """It spares a profile that max_age would stop, its own failure keeps, and the rest is stopped."""
    file = tmp_path / "hooks.py"
    file.write_text(CLASSIC)
    options = (f"--timeout={TIMEOUT:g}", "--cull-every=1", "--warm-up=0", "--max-age=14", f"--config={file}")
    hub = make_hub(*options)
    with Watcher(hub) as lives:
        lives.begin("uma/", profile="unlimited")
        lives.begin("uma/broken")
        lives.begin("ida/")
        lives.wait(lambda: lives["ida/"].gone is not None, TIMEOUT + BOUND, "the idle one is gone")
        lives["ida/"].was_stopped(TIMEOUT, BOUND)
        lives.wait(lambda: lives["uma/"].oldest_activity > 15, 20, "the others are older than max_age")
        lives.wait(lambda: lives["uma/broken"].oldest_activity > 15, 20, "both of them")
        lives["uma/"].was_kept(TIMEOUT)
        lives["uma/broken"].was_kept(TIMEOUT)
        shown = hub.ask_service("api/v1/servers").json()["servers"]
    told = {s["server"]: s for s in shown if s["user"] == "uma"}  # ida may be shown until the next cycle
    assert (told[""]["action"], told[""]["reason"]) == ("keep", "hook_keeps")
    assert told["broken"]["reason"] == "hook_failed"
    assert "hook_failed=1" in hub.log.read_text()


def test_a_hook_may_know_more_and_give_a_reason(make_hub: MakeHub, tmp_path: Path) -> None:
    """It stops a server before its timeout on its own word, and keeps another beyond it."""
    file = tmp_path / "hooks.py"
    file.write_text(KNOWING)
    hub = make_hub("--timeout=20", "--cull-every=1", "--warm-up=0", f"--config={file}")
    hub.api.create_user("sam")
    hub.api.must("POST", "/groups/staff", {"users": ["sam"]})
    with Watcher(hub) as lives:
        lives.begin("sam/")
        lives.begin("gus/")
        lives.begin("ida/")
        lives.begin("carla/", lambda: Browser(hub, "carla").leave_cell("import time; time.sleep(120)"))
        lives.wait(lambda: lives["gus/"].gone is not None, 19, "the guest's is gone before the timeout")
        lives.wait(lambda: lives["ida/"].gone is not None, 40, "the idle one is gone after it")
        lives["ida/"].was_stopped(20, BOUND)
        lives.wait(lambda: lives["carla/"].oldest_activity > 21, 30, "the busy one is older")
        lives["carla/"].was_kept(20)
        lives["sam/"].was_kept(20)
        told = hub.ask_service("api/v1/servers?user=sam").json()["servers"]
    assert told[0]["text"] == "cull_arbiter_hook says no (staff are asked by mail)"
    hub.says("reason=hook_culls rule=cull_arbiter_hook: cull_arbiter_hook says so")
    hub.says("(guests have four seconds)")
