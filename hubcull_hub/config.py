"""Options, wherever they come from, to frozen `Settings`. All validation is here, at the start.

Every option is a trait of `Hubcull`: set by ``--option=value``, or by ``c.Hubcull.option`` in a config file;
the command line wins. What is not understood is an error that names it, never ignored.
"""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from urllib.parse import urlsplit

from traitlets import TraitError

from hubcull_hub import dialect
from hubcull_hub.advice import reports_are_off
from hubcull_hub.arguments import bind_in, parse
from hubcull_hub.config_file import read_file
from hubcull_hub.dialect import ConfigError, Given, one_each, unusable
from hubcull_hub.model import Limits, Policy
from hubcull_hub.options import Hubcull
from hubcull_hub.tls import CertFiles, TlsError, files_for_hub, files_for_listening

DEFAULT_PREFIX = "/services/hubcull/"
DEFAULT_BIND = "127.0.0.1:10101"
LONGEST_REQUEST = 3600.0
"""Seconds: every call has a limit, also where JUPYTERHUB_REQUEST_TIMEOUT is 0."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the service runs with; nothing here changes while it runs.

    ``bind`` is None for a managed service without ``url``: it opens no port. ``hub_certs`` are for requests
    to a Hub with ``internal_ssl``, ``own_certs`` for listening under an https url. ``notes`` are to be logged
    at the start. Times in seconds.
    """

    policy: Policy
    limits: Limits
    cull_every: float
    concurrency: int
    api_page_size: int
    delete_idle_users: bool
    cull_admin_users: bool
    hook: Callable[..., object] | None
    hook_timeout: float
    api_url: str
    token: str
    bind: tuple[str, int] | None
    prefix: str
    database_url: str
    log_level: str
    request_timeout: float
    managed: bool
    hub_certs: CertFiles | None
    own_certs: CertFiles | None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Leave secrets out, as this is logged: the token, and passwords in addresses."""
        hidden = {"token", "database_url", "notes", "api_url", "hook"}
        shown = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.name not in hidden]
        hook = None if self.hook is None else getattr(self.hook, "__qualname__", type(self.hook).__name__)
        hub = urlsplit(self.api_url)
        address = hub._replace(netloc=hub.netloc.rpartition("@")[2]).geturl()
        return f"Settings({', '.join(shown)}, hook={hook}, api_url={address!r})"


def load(argv: Sequence[str], env: Mapping[str, str]) -> Settings:
    """Read options and environment into settings.

    Raises:
        ConfigError: when anything can not be used.

    """
    options, given, notes = read_options(argv)
    settings = _settings(options, _own(env))
    return replace(settings, notes=(*notes, *_notes(given, env, settings)))


def _own(env: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment without an address that is none of ours.

    The Hub gives each service that it starts a JUPYTERHUB_SERVICE_URL. Where the entry has no url it is that
    of a server that was never placed, http://127.0.0.1:0/, and there is no JUPYTERHUB_SERVICE_PREFIX.
    """
    if "JUPYTERHUB_SERVICE_NAME" not in env or env.get("JUPYTERHUB_SERVICE_PREFIX"):
        return env
    return {name: value for name, value in env.items() if name != "JUPYTERHUB_SERVICE_URL"}


def read_options(
    argv: Sequence[str], folder: Path | None = None
) -> tuple[Hubcull, list[Given], tuple[str, ...]]:
    """Return the options of a command line and its config file, with what was given and what is to be said.

    ``folder`` is the working directory in which the file is looked for, if that is another one than ours.

    Raises:
        ConfigError: when anything can not be used.

    """
    arguments = parse(argv)
    file = read_file(arguments.config, folder or Path())
    values = {**one_each(file.given), **one_each(arguments.given)}  # the command line wins
    return _checked(values), [*file.given, *arguments.given], file.notes


def _checked(values: Mapping[str, Given]) -> Hubcull:
    """Set every value on the traits, which check type and range."""
    options = Hubcull()
    for name, given in values.items():
        if name in dialect.NO_EFFECT:
            continue
        wrong = unusable(name, given.value, "in the options", spelled=given.spelled if given.old else "")
        if isinstance(given.value, float) and not math.isfinite(given.value):
            raise ConfigError(wrong)
        try:
            setattr(options, name, given.value)
        except TraitError as error:
            raise ConfigError(wrong) from error
    return options


def _notes(given: Sequence[Given], env: Mapping[str, str], settings: Settings) -> tuple[str, ...]:
    """Return what to say at the start: old names, a time limit that is not the one that was asked for."""
    lines = list(dialect.notes(given))
    asked = env.get("JUPYTERHUB_REQUEST_TIMEOUT") or "60"
    if settings.request_timeout != float(asked):
        limit = f"{settings.request_timeout:g} s"
        lines.append(f"JUPYTERHUB_REQUEST_TIMEOUT={asked}: every call has a limit here, which is {limit} now")
    return (*lines, reports_are_off(env)) if settings.bind is None else tuple(lines)


def _settings(options: Hubcull, env: Mapping[str, str]) -> Settings:
    managed = "JUPYTERHUB_SERVICE_NAME" in env
    api_url = _api_url(options.url or env.get("JUPYTERHUB_API_URL", ""))
    hub_certs, own_certs = _certs(options, env, api_url)
    return Settings(
        policy=Policy(
            timeout=options.timeout,
            max_age=options.max_age,
            max_busy=options.max_busy,
            silence_limit=options.silence_limit,
            visible_tab_grace=options.visible_tab_grace,
            warm_up=options.warm_up,
            default_servers=options.cull_default_servers,
            named_servers=options.cull_named_servers,
        ),
        limits=Limits(options.stops_per_cycle, options.dry_run, options.remove_named_servers),
        cull_every=cull_every_of(options),
        concurrency=options.concurrency,
        api_page_size=options.api_page_size,
        delete_idle_users=options.delete_idle_users,
        cull_admin_users=options.cull_admin_users,
        hook=options.cull_arbiter_hook,
        hook_timeout=options.hook_timeout,
        api_url=api_url,
        token=_required(env.get("JUPYTERHUB_API_TOKEN", ""), "token", "JUPYTERHUB_API_TOKEN"),
        bind=_bind(options.bind, env, managed=managed),
        prefix=env.get("JUPYTERHUB_SERVICE_PREFIX") or DEFAULT_PREFIX,
        database_url=options.database_url,
        log_level=options.log_level,
        request_timeout=_request_timeout(env),
        managed=managed,
        hub_certs=hub_certs,
        own_certs=own_certs,
    )


def _certs(
    options: Hubcull, env: Mapping[str, str], api_url: str
) -> tuple[CertFiles | None, CertFiles | None]:
    """Return the certificates for requests to the Hub, and those to listen with."""
    enabled, location = options.ssl_enabled, options.internal_certs_location
    try:
        to_hub = files_for_hub(env, api_url, enabled=enabled, location=location)
        return to_hub, files_for_listening(env, elsewhere=bool(options.bind))
    except TlsError as error:
        raise ConfigError(str(error)) from error


def fallback_certs(env: Mapping[str, str]) -> CertFiles | None:
    """Return what a service with broken options listens with under an https url: never raises."""
    with contextlib.suppress(TlsError):
        return files_for_listening(_own(env), elsewhere=False)
    return None


def cull_every_of(options: Hubcull) -> float:
    """Return the time between two cycles (s), which follows the timeout unless it is given."""
    if 0 < options.cull_every < 1:
        raise ConfigError(unusable("cull_every", options.cull_every, "in the options"))
    return options.cull_every or max(1.0, options.timeout // 2)


def _api_url(value: str) -> str:
    url = _required(value, "url", "JUPYTERHUB_API_URL")
    try:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0):
            return url
    except ValueError:
        pass
    raise ConfigError(unusable("url", url, "in the options or JUPYTERHUB_API_URL"))


def _required(value: str, name: str, variable: str) -> str:
    if not value:
        remedy = f"run it as a service of the Hub, or set {variable} in the environment"
        raise ConfigError(f"{name} = '': not given; {remedy}")
    return value


def _request_timeout(env: Mapping[str, str]) -> float:
    """Return the time limit of each request to the Hub (s); there is always one."""
    text = env.get("JUPYTERHUB_REQUEST_TIMEOUT") or "60"
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        where = "in the environment can not be used; give seconds"
        raise ConfigError(f"JUPYTERHUB_REQUEST_TIMEOUT = {text!r} {where}")
    return min(seconds or LONGEST_REQUEST, LONGEST_REQUEST)


def _bind(option: str, env: Mapping[str, str], *, managed: bool) -> tuple[str, int] | None:
    """Return where to listen: as told, or at the url that the Hub was given for us, or not at all."""
    service_url = env.get("JUPYTERHUB_SERVICE_URL", "")
    if not option and managed and not service_url:
        return None
    text, otherwise = option, None
    if not option:
        parsed = urlsplit(service_url or f"http://{DEFAULT_BIND}")
        text, otherwise = parsed.netloc, {"http": 80, "https": 443}.get(parsed.scheme)
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port or otherwise
        if parts.hostname and port:
            return parts.hostname, port
    except ValueError:  # a port that is none
        pass
    raise ConfigError(unusable("bind", text, "in the options" if option else "in the service's url"))


def fallback_bind(argv: Sequence[str], env: Mapping[str, str]) -> tuple[str, int] | None:
    """Return where a service with broken options listens, so that the Hub's check finds it: never raises."""
    for candidate in (bind_in(argv), ""):
        with contextlib.suppress(ConfigError, ValueError):
            bind = _bind(candidate, _own(env), managed=True)
            if bind is None or _can_listen(bind):
                return bind
    return None


def _can_listen(bind: tuple[str, int]) -> bool:
    """Tell whether an address is one of this machine's: another one would not be listened on either."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(*bind, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind((address[0], 0))
    except OSError:
        return False
    return True
