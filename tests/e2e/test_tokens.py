"""Who is believed, on a real Hub with real tokens: only the server itself, and only while it runs."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from harness.background import run
from harness.calls import Answer
from harness.processes import alive
from harness.realhub import RealHub
from harness.situations import Browser, post_report, server_token
from harness.waiting import stays, wait_until
from tests.e2e.conftest import MakeHub
from tests.e2e.lives import Watcher

TIMEOUT, BOUND = 20.0, 20.0
LATELY = 6.0
"""Seconds: a little more than between two reports of a server at work."""


def idle_report(server: str, **changes: Any) -> dict[str, Any]:
    """Return a report that, if it were believed, would have its server stopped at once."""
    sources = [{"name": n, "health": "ok"} for n in ("kernels", "terminals", "requests", "foreign")]
    body = {
        "schema": 1,
        "boot_id": "somebody else's",
        "sequence": 1,
        "uptime": 100_000.0,
        "server": server,
        "sources": sources,
        "signals": [],
    }
    return {**body, **changes}


def refused(answer: Answer, code: str) -> None:
    """Assert that a report was refused, by the service and for this reason."""
    assert answer.status in (403, 404), answer.body
    body = answer.json()
    assert (body["service"], body["code"]) == ("hubcull", code)


def fresh(hub: RealHub, user: str) -> dict[str, Any] | None:
    """Return what the service says of a server, None while no report has come lately."""
    verdict = hub.verdict(user)
    ago = (verdict or {}).get("last_report_ago")
    return verdict if ago is not None and ago < LATELY else None


async def _page_token(hub: RealHub, user: str) -> str:
    """Log in as a browser does, open JupyterLab, and return the token that its page carries."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        login = f"{hub.url}hub/login?next=/user/{user}/lab"
        async with session.get(login) as page:
            found = re.search(r'name="_xsrf" value="([^"]*)"', await page.text())
        assert found is not None
        form = {"username": user, "password": hub.place.password, "_xsrf": html.unescape(found[1])}
        async with session.post(login, data=form) as page:
            assert page.status == 200, await page.text()
            text = await page.text()
    config = re.search(r'id="jupyter-config-data"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert config is not None, text[:2000]
    token: str = json.loads(config[1])["token"]
    return token


@pytest.fixture(scope="module")
def hub(make_module_hub: MakeHub) -> RealHub:
    """One Hub for all tests of this module."""
    return make_module_hub(f"--timeout={TIMEOUT:g}", "--cull-every=1", "--warm-up=10", lab=True)


@pytest.fixture
def busy(hub: RealHub) -> Iterator[Browser]:
    """Return the browser of alice, whose server runs a silent cell and has reported: its token is warm."""
    hub.api.start_server("alice")
    browser = Browser(hub, "alice")
    browser.leave_cell("import time; time.sleep(900)")
    wait_until(lambda: (hub.verdict("alice") or {}).get("reason") == "busy", 30, "alice is seen busy")
    yield browser
    hub.api.stop_server("alice")


def test_every_other_token_is_refused_with_a_warm_cache(hub: RealHub, busy: Browser) -> None:
    """Junk, none, a service's, her own API token, her page's, another server's; nothing changes by them."""
    with Watcher(hub) as lives:
        lives.begin("bob/")
        bobs = server_token(hub.api.server_pid("bob"))
        page = run(_page_token(hub, "alice"))
        assert "access:servers!server=alice/" in hub.api.whoami(page).json()["scopes"]
        report = idle_report("alice/")
        refused(post_report(hub, "junk", report), "invalid-token")
        refused(post_report(hub, None, report), "no-token")
        refused(post_report(hub, hub.place.bench_token, report), "not-a-server")
        refused(post_report(hub, page, report), "not-a-server")
        refused(post_report(hub, busy.token, report), "server-not-proven")
        refused(post_report(hub, bobs, report), "another-server")
        verdict = wait_until(lambda: fresh(hub, "alice"), 30, "alice's own report has come lately")
        assert verdict["reason"] == "busy"
        lives.wait(lambda: lives["bob/"].gone is not None, TIMEOUT + BOUND, "idle bob is stopped")
        wait_until(lambda: hub.api.last_activity_age("alice") > TIMEOUT, 40, "alice's last_activity is old")
        assert stays(lambda: hub.api.is_ready("alice"), 3)


def test_a_revoked_token_is_refused_and_its_server_is_held(hub: RealHub, busy: Browser) -> None:
    """Revoked while the server runs, its cache warm: neither a thief nor the extension is believed."""
    pid = busy.server_pid
    token = server_token(pid)
    assert hub.api.delete_tokens("alice", "Server at ") == 1
    refused(post_report(hub, token, idle_report("alice/")), "invalid-token")
    with Watcher(hub) as lives:
        lives.begin("bert/")
        lives.wait(lambda: lives["bert/"].gone is not None, TIMEOUT + BOUND, "idle bert is stopped")
        wait_until(lambda: hub.api.last_activity_age("alice") > TIMEOUT, 40, "last_activity is old")
        assert stays(lambda: hub.api.is_ready("alice"), 5)
        assert alive(pid)
        verdict = hub.verdict("alice")
        assert verdict is not None
        assert (verdict["action"], verdict["reason"]) == ("hold", "silent_at_work")


def test_the_token_of_a_stopped_server_is_refused(hub: RealHub) -> None:
    """The Hub has forgotten it; nothing is remembered on its word, and nothing done."""
    hub.api.start_server("carol")
    token = server_token(hub.api.server_pid("carol"))
    wait_until(lambda: (hub.verdict("carol") or {}).get("basis") == "report", 30, "carol has reported")
    hub.api.stop_server("carol")
    refused(post_report(hub, token, idle_report("carol/")), "invalid-token")


def test_a_report_for_a_server_that_the_hub_does_not_list_is_never_acted_on(hub: RealHub) -> None:
    """A user can mint a token that looks like a server's own, also for one that does not run."""
    with Watcher(hub) as lives:
        lives.begin("dora/")
        hub.api.start_server("dora", "old")
        hub.api.stop_server("dora", "old")
        wait_until(
            lambda: hub.shown("dora", "old") is None, TIMEOUT + BOUND, "the service knows that it is gone"
        )
        scopes = ["users:activity!user=dora", "access:servers!server=dora/old"]
        minted = hub.api.mint_token("dora", scopes)
        refused(post_report(hub, minted, idle_report("dora/old")), "not-listed")
        deletes = hub.log.read_text().count("DELETE /hub/api/users/dora/servers/old")
        lives.wait(lambda: lives["dora/"].gone is not None, TIMEOUT + BOUND, "idle dora is stopped")
        assert hub.log.read_text().count("DELETE /hub/api/users/dora/servers/old") == deletes
