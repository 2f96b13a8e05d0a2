"""How the processes of a test Hub are started: where, with what environment, with which signals."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.hubconfig import SERVER_PORTS, HubOptions, Place, hub_address, service_address
from harness.ports import free_ports
from harness.processes import MARK

_PROXY = Path(__file__).resolve().parent.parent / "build" / "proxy"
_FOREIGN = ("JUPYTER", "JPY_", "CONFIGPROXY_", "HUBCULL_")
# A shell starts what it puts in the background with SIGINT ignored, and children inherit that; but the Hub
# ends its own children with SIGINT first, and would wait half a minute for each. exec keeps the pid.
_LAUNCH = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


class HubFailedError(Exception):
    """The Hub did not start, or ended by itself; the text ends with the last lines of its log."""


def proxy_command() -> list[str]:
    """Return the command of configurable-http-proxy, as `make` installs it.

    Raises:
        HubFailedError: when it is not installed.

    """
    script = _PROXY / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
    if not script.exists():
        raise HubFailedError("configurable-http-proxy is not installed; `make build/proxy/.ready` does it")
    return [str(_PROXY / "node"), str(script)]


def settle(directory: Path, options: HubOptions) -> Place:
    """Return fresh ports and secrets for a Hub in this folder."""
    public, hub, proxy_api, service, *servers = free_ports(4 + SERVER_PORTS)
    return Place(
        directory=directory,
        public=public,
        hub=hub,
        proxy_api=proxy_api,
        service=service,
        servers=servers,
        bench_token=secrets.token_hex(16),
        service_token=secrets.token_hex(16),
        proxy_token=secrets.token_hex(16),
        password=options.password or secrets.token_hex(8),
        mark=secrets.token_hex(8),
        proxy=proxy_command(),
    )


def _clean_environment() -> dict[str, str]:
    """Return our environment without what another Hub, or a proxy of the network, put there."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and not name.lower().endswith("_proxy")
    }


def spawn(
    place: Place, options: HubOptions, command: Sequence[str], log: Path, extra: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a process of this Hub in a session of its own, its output at the end of ``log``."""
    clean = _clean_environment()
    folders = [str(options.bin), clean.get("PATH", os.defpath)]
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, *command],
            cwd=place.directory,
            env={**clean, "PATH": os.pathsep.join(folders), MARK: place.mark, **extra},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def _certificates(place: Place) -> dict[str, str]:
    """Return what names the Hub's own certificates, for a service that may read them."""
    folder = place.directory / "internal-ssl"
    return {
        "JUPYTERHUB_SSL_KEYFILE": str(folder / "hub-internal" / "hub-internal.key"),
        "JUPYTERHUB_SSL_CERTFILE": str(folder / "hub-internal" / "hub-internal.crt"),
        "JUPYTERHUB_SSL_CLIENT_CA": str(folder / "hub-ca_trust.crt"),
    }


def service_environment(place: Place, options: HubOptions) -> dict[str, str]:
    """Return what an operator sets for a service that the Hub does not start itself."""
    return {
        "JUPYTERHUB_API_TOKEN": place.service_token,
        "JUPYTERHUB_API_URL": f"{hub_address(place, options)}{options.base_url}hub/api",
        "JUPYTERHUB_BASE_URL": options.base_url,
        "JUPYTERHUB_SERVICE_NAME": "hubcull",
        "JUPYTERHUB_SERVICE_PREFIX": f"{options.base_url}services/hubcull/",
        "JUPYTERHUB_SERVICE_URL": service_address(place, options),
        **(_certificates(place) if options.service_scheme == "https" else {}),
        **options.service_environment,
    }
