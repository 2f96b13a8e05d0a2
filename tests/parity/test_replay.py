"""The replayed Hub answers as a real one does: the same questions to both, the same statuses and shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.calls import Answer, call
from harness.hubconfig import Service
from tests.e2e.conftest import MakeHub
from tests.parity.replay import TOKEN, ReplayHub
from tests.parity.states import ADMIN_SCOPES, HOUR, README_SCOPES, server, user

QUIET = Path(__file__).with_name("quiet_server.py")
README_ROLE = ("list:users", "read:users:activity", "read:servers", "delete:servers")
CONFIG = f"""
import sys
c.Spawner.cmd = [sys.executable, {str(QUIET)!r}]
for name, scopes in (("readme", {README_ROLE!r}), ("users", {(*README_ROLE, "admin:users")!r})):
    c.JupyterHub.services.append({{"name": name, "api_token": name * 8}})
    c.JupyterHub.load_roles.append({{"name": name, "services": [name], "scopes": list(scopes)}})
"""
PAGED = {"Accept": "application/jupyterhub-pagination+json"}
READS = [
    "/",
    "/users?state=ready",
    "/users?state=inactive",
    "/users?state=inactive&sort=last_activity",
    "/users?limit=1",
    "/users/ada",
    "/users/nobody-at-all",
]
STOPS: list[tuple[str, object, int]] = [
    ("/users/ada/server", {"remove": True}, 400),
    ("/users/ada/servers/none", None, 404),
    ("/users/nobody-at-all/server", None, 404),
    ("/users/ada/servers/gpu", {"remove": True}, 204),
    ("/users/ada/server", None, 204),
    ("/users/ada/server", None, 204),
    ("/users/bob", None, 204),
    ("/users/bob", None, 404),
]


def shape(value: Any) -> Any:
    """Return the keys and the types, not the values; numbers of a page are as they are.

    Addresses are each Hub's own, and whether a time is there yet is a matter of when one asks.
    """
    own = ("url", "progress_url", "last_activity")
    if isinstance(value, dict):
        return {key: key if key in own else shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return value if isinstance(value, (bool, int)) or value is None else type(value)


def seen(answer: Answer) -> tuple[int, Any]:
    """Return what counts of an answer."""
    return answer.status, shape(answer.json())


@pytest.mark.parity("1h.paging")
@pytest.mark.parity("1h.delete")
def test_the_replay_answers_as_a_real_hub_does(make_hub: MakeHub) -> None:
    """To whoever holds the README's scopes, and to whoever holds `admin:users`, too."""
    hub = make_hub(service=Service.NONE, extra_config=CONFIG, admins=[], last_activity_interval=3000)
    hub.api.create_user("ada")
    hub.api.create_user("bob")
    hub.api.start_server("ada")
    hub.api.start_server("ada", "gpu")
    for role, scopes in (("readme", README_SCOPES), ("users", ADMIN_SCOPES)):
        created = {} if role == "readme" else {"created": HOUR}
        servers = {name: server(idle=None) for name in ("", "gpu")}
        people = [user("ada", servers, idle=60, **created), user("bob", {}, idle=None, **created)]
        token = role * 8
        with ReplayHub(people, scopes=scopes).serve() as url:
            for path in READS:
                real = call("GET", hub.api.url + path, token=token, headers=PAGED)
                assert seen(call("GET", url + path, token=TOKEN, headers=PAGED)) == seen(real), path
            own = call("GET", hub.api.url + "/user", token=token).json()
            assert sorted(own["scopes"]) == sorted(scopes)
            for path, body, status in STOPS if role == "users" else ():
                real = call("DELETE", hub.api.url + path, token=token, body=body)
                assert seen(call("DELETE", url + path, token=TOKEN, body=body)) == seen(real), path
                assert real.status == status
