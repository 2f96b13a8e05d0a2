"""What a test Hub is to be like, and the JupyterHub configuration that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from harness.environments import hub_bin
from harness.processes import MARK

SERVER_PORTS = 32
"""How many ports a Hub has for its servers; they are used in turn."""
SERVICE_SCOPES = ("list:users", "read:servers", "delete:servers", "read:users:groups")
BENCH_SCOPES = (
    "admin:users",
    "admin:servers",
    "admin:groups",
    "tokens",
    "read:hub",
    "read:metrics",
    "proxy",
    "shutdown",
    "access:servers",
    "access:services",
)


class Service(str, Enum):
    """Who runs hubcull: the Hub, the harness, or nobody."""

    MANAGED = "managed"
    STANDALONE = "standalone"
    NONE = "none"


@dataclass(frozen=True)
class HubOptions:
    """What a test Hub is to be like.

    ``bin`` is the folder of the environment in which the Hub, its servers and the service run.
    ``service_options`` follow ``service_command`` (empty: ``python -m hubcull_hub`` of ``bin``);
    ``service_scopes`` are what the Hub grants it. ``last_activity_interval`` (s) is how often the Hub
    asks its proxy for activity, ``activity_interval`` (s) how often servers push theirs: both short, so
    that the Hub's ``last_activity`` is as true as it can be. ``cleanup_servers`` and ``cleanup_proxy``
    False leave them running when the Hub stops. With ``internal_ssl`` all that the Hub, its proxy, its
    servers and its services say to each other is encrypted, by certificates in the Hub's folder; the
    public side stays http. ``service_scheme`` is that of the url in the service's entry, None for an
    entry without url. Without ``lab`` servers leave JupyterLab and what comes with it unloaded, and start
    in half the time. ``extra_config`` is Python text at the end of the configuration.
    """

    service: Service = Service.MANAGED
    service_options: Sequence[str] = ()
    service_command: Sequence[str] = ()
    service_scopes: Sequence[str] = SERVICE_SCOPES
    service_environment: Mapping[str, str] = field(default_factory=dict)
    spawner_environment: Mapping[str, str] = field(default_factory=dict)
    bin: Path = field(default_factory=hub_bin)
    base_url: str = "/"
    password: str | None = None
    admins: Sequence[str] = ("admin",)
    last_activity_interval: int = 2
    activity_interval: int = 2
    cleanup_servers: bool = True
    cleanup_proxy: bool = True
    internal_ssl: bool = False
    service_scheme: str | None = "http"
    lab: bool = True
    extra_config: str = ""


@dataclass(frozen=True)
class Place:
    """Where one test Hub lives: its folder, its ports on loopback, its secrets, its mark.

    ``servers`` are the ports for its servers, ``proxy`` is the command of configurable-http-proxy.
    """

    directory: Path
    public: int
    hub: int
    proxy_api: int
    service: int
    servers: Sequence[int]
    bench_token: str
    service_token: str
    proxy_token: str
    password: str
    mark: str
    proxy: Sequence[str]


LAB = (
    "jupyterlab",
    "jupyter_lsp",
    "notebook_shim",
    "jupyter_server_ydoc",
    "jupyter_server_fileid",
    "jupyter_keepalive",
)
"""JupyterLab and what comes with it, where it is there: half of what a server's start costs."""

_TEMPLATE = '''\
# Written by the harness; one test Hub.
import itertools
import os
import socket

c = get_config()
c.JupyterHub.bind_url = {public_url!r}
c.JupyterHub.hub_bind_url = {hub_url!r}
c.JupyterHub.internal_ssl = {o.internal_ssl!r}
c.JupyterHub.internal_certs_location = {certs!r}
c.JupyterHub.last_activity_interval = {o.last_activity_interval!r}
c.JupyterHub.cleanup_servers = {o.cleanup_servers!r}
c.JupyterHub.cleanup_proxy = {o.cleanup_proxy!r}
c.JupyterHub.allow_named_servers = True
c.JupyterHub.concurrent_spawn_limit = 0
c.ConfigurableHTTPProxy.command = {proxy!r}
c.ConfigurableHTTPProxy.api_url = {proxy_api_url!r}
c.ConfigurableHTTPProxy.auth_token = {p.proxy_token!r}

c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = {p.password!r}
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {admins!r}

c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {home!r}
c.Spawner.cmd = [{singleuser!r}]
c.Spawner.default_url = "/lab"
c.Spawner.http_timeout = 90
c.Spawner.start_timeout = 90

ARGS = ["--allow-root"] if os.geteuid() == 0 else []
ENVIRONMENT = {environment!r}
LAB = {lab!r}
WITH_LAB = {o.lab!r}
c.Spawner.args = ARGS
c.Spawner.environment = ENVIRONMENT
PORTS = itertools.cycle({servers!r})


def is_free(port):
    """Tell whether nobody listens there, such as a server that outlived a restart of this Hub."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def shape(spawner):
    """Give this one server a port, and what its start asked for by its user_options."""
    spawner.port = next(filter(is_free, PORTS))
    wish = spawner.user_options or {{}}
    unloaded = {{}} if wish.get("lab", WITH_LAB) else dict.fromkeys(LAB, False)
    if not wish.get("extension", True):
        unloaded["hubcull_server_ext"] = False
    args = [f"--ServerApp.jpserver_extensions={{unloaded}}"] if unloaded else []
    if "program" in wish:
        spawner.cmd = [wish["program"]]
    spawner.args = [*ARGS, *args, *wish.get("args", [])]
    spawner.environment = {{**ENVIRONMENT, **wish.get("env", {{}})}}


c.Spawner.pre_spawn_hook = shape

c.JupyterHub.services = {services!r}
c.JupyterHub.load_roles = {roles!r}

{o.extra_config}
'''


def service_argv(place: Place, options: HubOptions) -> list[str]:
    """Return the service's command line, its database in the Hub's folder if no other is asked for."""
    given = any(each.startswith(("--database-url", "--database_url")) for each in options.service_options)
    database = [] if given else [f"--database-url=sqlite:///{place.directory / 'hubcull.sqlite'}"]
    command = options.service_command or (str(options.bin / "python"), "-m", "hubcull_hub")
    return [*command, *options.service_options, *database]


def hub_address(place: Place, options: HubOptions) -> str:
    """Return where the Hub itself listens, without a path."""
    return f"{'https' if options.internal_ssl else 'http'}://127.0.0.1:{place.hub}"


def service_address(place: Place, options: HubOptions) -> str:
    """Return where the service itself listens, as its entry says it."""
    return f"{options.service_scheme}://127.0.0.1:{place.service}"


def _services(place: Place, options: HubOptions) -> list[dict[str, object]]:
    services: list[dict[str, object]] = [{"name": "bench", "api_token": place.bench_token}]
    if options.service is Service.NONE:
        return services
    hubcull: dict[str, object] = {"name": "hubcull"}
    if options.service_scheme is not None:
        hubcull["url"] = service_address(place, options)
    if options.service is Service.STANDALONE:
        hubcull["api_token"] = place.service_token
    else:
        hubcull["command"] = service_argv(place, options)
        hubcull["environment"] = {MARK: place.mark, **options.service_environment}
    return [*services, hubcull]


def _roles(options: HubOptions) -> list[dict[str, object]]:
    roles: list[dict[str, object]] = [{"name": "bench", "services": ["bench"], "scopes": list(BENCH_SCOPES)}]
    if options.service is not Service.NONE:
        roles.append({"name": "hubcull", "services": ["hubcull"], "scopes": list(options.service_scopes)})
    return roles


def public_url(place: Place, options: HubOptions) -> str:
    """Return where browsers and servers find the Hub, with its closing slash."""
    return f"http://127.0.0.1:{place.public}{options.base_url}"


def render(place: Place, options: HubOptions) -> str:
    """Return the text of jupyterhub_config.py."""
    url = public_url(place, options)
    environment = {
        MARK: place.mark,
        "HUBCULL_URL": f"{url}services/hubcull/",
        "JUPYTERHUB_ACTIVITY_INTERVAL": str(options.activity_interval),
        **options.spawner_environment,
    }
    return _TEMPLATE.format(
        o=options,
        p=place,
        public_url=url,
        hub_url=hub_address(place, options),
        proxy_api_url=f"{'https' if options.internal_ssl else 'http'}://127.0.0.1:{place.proxy_api}",
        proxy=list(place.proxy),
        admins=set(options.admins),
        servers=list(place.servers),
        certs=str(place.directory / "internal-ssl"),  # servers have working directories of their own
        home=str(place.directory / "home" / "{username}"),
        singleuser=str(options.bin / "jupyterhub-singleuser"),
        environment=environment,
        lab=LAB,
        services=_services(place, options),
        roles=_roles(options),
    )
