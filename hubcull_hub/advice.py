"""What to tell operators at the start about how the service was set up. Pure: words only."""

from __future__ import annotations

from collections.abc import Mapping

_EXAMPLE_PROXY = "http://127.0.0.1:8000"


def reports_are_off(env: Mapping[str, str]) -> str:
    """Return how to turn reports on for a service whose entry has no ``url``: the lines, ready to paste."""
    name = env.get("JUPYTERHUB_SERVICE_NAME", "hubcull")
    prefix = f"{env.get('JUPYTERHUB_BASE_URL') or '/'}services/{name}/"
    public = env.get("JUPYTERHUB_PUBLIC_HUB_URL", "")
    origin = "/".join(public.split("/")[:3]) if public else _EXAMPLE_PROXY
    return (
        "no url in the service's entry: no port is opened, and servers are judged by the Hub's last_activity"
        " alone. Three lines turn reports on, so that a silent cell keeps a server, an open tab does not:\n"
        f'  in the entry of {name} in c.JupyterHub.services:  "url": "http://127.0.0.1:10101",\n'
        f'  beside it:  c.Spawner.environment.update({{"HUBCULL_URL": "{origin}{prefix}"}})'
        "  # the proxy, as servers reach it\n"
        "  in the user image:  pip install 'hubcull[server-ext]'"
    )
