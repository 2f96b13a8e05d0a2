"""Deleting users on a real Hub: the inactive are gone, and nobody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from harness.api import age
from harness.hubconfig import SERVICE_SCOPES
from harness.realhub import RealHub
from harness.situations import Browser
from harness.waiting import wait_until
from tests.e2e.conftest import MakeHub

TIMEOUT, BOUND = 15.0, 25.0
"""Seconds; the bound is for a listing every half of the timeout, a cycle, and a busy machine."""

LONG = "import time; time.sleep(900)"


@contextmanager
def kept_active(hub: RealHub, users: Iterable[str]) -> Iterator[None]:
    """Have these users seen by the Hub every two seconds."""
    end = threading.Event()

    def act() -> None:
        while not end.wait(2):
            for user in users:
                hub.api.be_active(user)

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def exists(hub: RealHub, user: str) -> bool:
    """Tell whether the Hub knows the user."""
    return hub.api.user_model(user) is not None


def inactive_for(hub: RealHub, user: str) -> float:
    """Return for how long the Hub has not seen the user (s)."""
    model = hub.api.user_model(user)
    assert model is not None, f"{user} is gone"
    return age(model["last_activity"])


def test_inactive_users_are_deleted_and_nobody_else(make_hub: MakeHub) -> None:
    """Odd names are the very ones; an admin, somebody active and somebody whose cell runs stay.

    The scopes are the least: without read:users no age is shown, so nora, whom the Hub never saw, is kept.
    """
    hub = make_hub(
        f"--timeout={TIMEOUT:g}",
        "--cull-every=1",
        "--warm-up=10",
        "--delete-idle-users",
        "--cull-admin-users=false",
        service_scopes=(*SERVICE_SCOPES, "read:users:activity", "delete:users"),
    )
    gone, neighbours = ["ina", "a b", "q?x#y"], ["anna", "a", "b", "q", "q?x"]
    for user in [*gone, *neighbours, "nora"]:
        hub.api.create_user(user)
    hub.api.start_server("busy")
    with kept_active(hub, neighbours), Browser(hub, "busy") as browser:
        browser.leave_cell(LONG)  # at once, or busy is idle for as long as the next start takes
        hub.api.start_server("ida")
        for user in ["admin", *neighbours, *gone]:  # from the last of those on it is a timeout
            hub.api.be_active(user)
        begun = time.monotonic()
        wait_until(lambda: not any(exists(hub, user) for user in gone), TIMEOUT + BOUND, "they are deleted")
        assert time.monotonic() - begun >= TIMEOUT - 1
        wait_until(lambda: not exists(hub, "ida"), 2 * TIMEOUT + BOUND, "ida is, after her idle server")
        assert hub.api.is_ready("busy")
        for user in ["busy", "admin"]:
            assert inactive_for(hub, user) > TIMEOUT, "the premise: only something else keeps them"
        assert all(exists(hub, user) for user in [*neighbours, "nora"])
    for user in [*gone, "ida"]:
        hub.says(f"delete user={user} result=deleted reason=inactive")
    text = hub.log.read_text()
    assert text.count("result=deleted") == len(gone) + 1
    assert "cull server=ida/ result=stopped" in text
    assert "delete_idle_users is on: records of users ARE DELETED at the Hub, admins never" in text


def test_a_server_and_its_user_go_by_max_age_under_the_old_names(make_hub: MakeHub) -> None:
    """As a distribution with idle-culler asks for it, and tests it: no warm-up keeps either."""
    hub = make_hub(
        "--timeout=600",
        "--cull-every=5",
        "--max-age=15",
        "--cull-users",
        service_scopes=(*SERVICE_SCOPES, "read:users", "delete:users"),
    )
    hub.api.start_server("tina")
    hub.api.be_active("tina")
    wait_until(lambda: not exists(hub, "tina"), 15 + 30, "server and user are gone")
    hub.says("cull server=tina/ result=stopped reason=max_age")
    hub.says("delete user=tina result=deleted reason=max_age")
