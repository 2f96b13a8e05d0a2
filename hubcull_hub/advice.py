"""What to tell operators about how the service was set up. Pure: words only."""

from __future__ import annotations

from collections.abc import Mapping

_EXAMPLE_PROXY = "http://127.0.0.1:8000"


def reports_are_off(env: Mapping[str, str]) -> str:
    """Return what a service whose entry has no ``url`` says at its start, with the lines that change it."""
    name = env.get("JUPYTERHUB_SERVICE_NAME", "hubcull")
    public = env.get("JUPYTERHUB_PUBLIC_HUB_URL", "")
    origin = "/".join(public.split("/")[:3]) if public else _EXAMPLE_PROXY
    lines = lines_for_reports(name, env.get("JUPYTERHUB_BASE_URL") or "/", origin)
    return "\n  ".join(
        [
            "no url in the service's entry: no port is opened, and servers are judged by the Hub's"
            " last_activity alone. Three lines turn reports on, so that a silent cell keeps a server, an open"
            " tab does not:",
            *lines,
        ]
    )


def lines_for_reports(name: str, base_url: str = "/", origin: str = _EXAMPLE_PROXY) -> tuple[str, str, str]:
    """Return the three lines that turn reports on for a service of that name, ready to paste."""
    base = f"/{base_url.strip('/')}/".replace("//", "/")
    address = f"{origin}{base}services/{name}/"
    return (
        f'in the entry of {name} in c.JupyterHub.services:  "url": "http://127.0.0.1:10101",',
        "beside it, with the proxy's address as servers reach it:"
        f'  c.Spawner.environment.update({{"HUBCULL_URL": "{address}"}})',
        "in the user image:  pip install 'hubcull[server-ext]'",
    )
