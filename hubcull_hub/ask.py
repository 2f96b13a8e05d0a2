"""Ask a running service, and put its answer into words. Standard library only, so it runs in user images."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from hubcull_hub.model import span

Answer = dict[str, Any]
TIMEOUT = 30.0
TITLES = {"cull": "would be stopped now", "hold": "held (not known to be idle)", "keep": "kept"}


class AskError(Exception):
    """The service could not be asked; the text says why and what to do."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        """Follow nothing: a redirect means that somebody else answered, and it must not get the token."""


def ask(url: str | None, query: Mapping[str, str], env: Mapping[str, str]) -> Answer:
    """Return the service's answer about the servers that the token may see.

    Raises:
        AskError: without a URL or token, without a service there, or when it refuses.

    """
    base = url or env.get("HUBCULL_URL")
    if not base:
        raise AskError("no service is named; give --url, or set HUBCULL_URL")
    token = (env.get("HUBCULL_TOKEN") or env.get("JUPYTERHUB_API_TOKEN") or "").strip()
    if not token.isascii() or not token.isprintable() or not token:
        raise AskError(
            "no token that could be sent; set HUBCULL_TOKEN or JUPYTERHUB_API_TOKEN to one of the Hub"
        )
    if not base.startswith(("http://", "https://")):
        raise AskError(f"the service's URL {base!r} is no http or https URL; correct --url or HUBCULL_URL")
    target = base.rstrip("/") + "/api/v1/servers"
    if query:
        target += "?" + urllib.parse.urlencode(query)
    request = urllib.request.Request(target, headers={"Authorization": f"token {token}"})  # noqa: S310 - checked above
    return _open(request, base)


def _open(request: urllib.request.Request, base: str) -> Answer:
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT) as response:
            body = response.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise AskError(f"no service answers at {base}: {error}; is it running, is the URL right?") from error
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or answer.get("service") != "hubcull":
        raise AskError(f"what answers at {base} is not hubcull; is it running, is the URL right?")
    if "servers" not in answer:
        raise AskError(str(answer.get("message", answer)))
    return answer


def json_text(answer: Answer) -> str:
    """Return the answer as JSON, for programs."""
    return json.dumps(answer, indent=2)


def plan_text(answer: Answer) -> str:
    """Return what would be stopped now, and why not the others."""
    lines = [f"problem: {problem}" for problem in answer["problems"]]
    dry = "; dry run: nothing is really stopped" if answer["dry_run"] else ""
    lines.append(f"cycle {answer['cycle']}, a cycle every {span(answer['cull_every'])}{dry}")
    for action, title in TITLES.items():
        found = [server for server in answer["servers"] if server["action"] == action]
        lines.append(f"\n{title}: {len(found)}")
        lines.extend(_row(server) for server in sorted(found, key=_soonest))
    if answer.get("delete_idle_users"):
        lines.append(f"\nusers whose records would be deleted now: {len(answer['users'])}")
        lines.extend(_user_row(user) for user in sorted(answer["users"], key=_soonest))
    return "\n".join(lines)


def explain_text(answer: Answer) -> str:
    """Return all that is known of one server, in words."""
    lines = [f"problem: {problem}" for problem in answer["problems"]]
    if not answer["servers"]:
        lines.append("the Hub does not list it as running")
    for server in answer["servers"]:
        lines.extend(_account(server))
    if answer["decisions"]:
        lines.append("decided before:")
    lines.extend(
        f"  {made['at']}  {made['result'] or 'begun'}  {made['reason']}: {made['text']}"
        for made in answer["decisions"]
    )
    return "\n".join(lines)


def _row(server: Answer) -> str:
    name = f"{server['user']}/{server['server']}"
    wait = f" [{server['deferred']}]" if server["deferred"] else ""
    return f"  {name:<24} {server['reason']:<16} {server['text']}{_deadline(server)}{wait}"


def _user_row(user: Answer) -> str:
    wait = f" [{user['deferred']}]" if user["deferred"] else ""
    held = " (held)" if user["action"] == "hold" else ""
    return f"  {user['user']:<24} {user['reason']:<16} {user['text']}{held}{wait}"


def _deadline(server: Answer) -> str:
    left = server["deadline_in"]
    if left is None or server["action"] == "cull":
        return ""
    return f"; stops in {span(left)} at the earliest" if left > 0 else "; due"


def _soonest(server: Answer) -> float:
    left = server["deadline_in"]
    return float("inf") if left is None else float(left)


def _account(server: Answer) -> list[str]:
    lines = [
        f"{server['user']}/{server['server']}: {server['action']}, {server['reason']}",
        f"  because: {server['text']}",
        f"  by rule: {server['rule']}, resting on: {server['basis']}",
    ]
    if server["idle"] is not None:
        lines.append(f"  idle: {span(server['idle'])}")
    if server["deadline"] is not None:
        left = span(max(0.0, server["deadline_in"]))
        lines.append(f"  would be stopped at {server['deadline']} (in {left}), if nothing happens before")
    lines.append(f"  the Hub's last_activity: {server['last_activity']}")
    ago = server["last_report_ago"]
    lines.append("  never reported since it started" if ago is None else f"  last report: {span(ago)} ago")
    lines.extend(f"  failed source: {f['name']} {f['detail']}" for f in server.get("faults", ()))
    lines.extend(f"  failed weak source: {f['name']} {f['detail']}" for f in server.get("weak_faults", ()))
    lines.extend(_remark(remark) for remark in server.get("remarks", ()))
    lines.extend(f"  signal: {_signal(signal)}" for signal in server.get("signals", ()))
    return lines


def _remark(remark: Answer) -> str:
    what = "source switched off" if remark["off"] else "remark of source"
    return f"  {what}: {remark['name']} {remark['detail']}".rstrip()


def _signal(signal: Answer) -> str:
    times = {
        "age": "{} ago",
        "going_on_for": "going on for {}",
        "ended_ago": "ended {} ago",
        "lasted": "lasted {}",
    }
    said = ", ".join(words.format(span(signal[name])) for name, words in times.items() if name in signal)
    what = " ".join(str(signal[name]) for name in ("kind", "source", "label", "count") if name in signal)
    return f"{what} ({signal['clock']}) {said}".rstrip()
