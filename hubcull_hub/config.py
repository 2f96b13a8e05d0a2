"""Options, wherever they come from, to frozen `Settings`. All validation is here, at the start.

Every option is a trait of `Hubcull`: set by ``--option=value``, or by ``c.Hubcull.option`` in a config file;
the command line wins. What is not understood is an error that names it, never ignored.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import math
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from traitlets import Bool, TraitError, TraitType
from traitlets import Callable as TraitCallable
from traitlets.config.loader import Config, PyFileConfigLoader

from hubcull_hub.model import Limits, Policy
from hubcull_hub.options import Hubcull

DEFAULT_CONFIG_FILE = "hubcull_config.py"
DEFAULT_PREFIX = "/services/hubcull/"
DEFAULT_BIND = "127.0.0.1:10101"


class ConfigError(Exception):
    """Options that can not be used; the text names the key, the value and the remedy."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the service runs with; nothing here changes while it runs.

    ``bind`` is None for a managed service without ``url``: it opens no port. Times in seconds.
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
    ssl_enabled: bool
    internal_certs_location: str
    api_url: str
    token: str
    bind: tuple[str, int] | None
    prefix: str
    database_url: str
    log_level: str
    request_timeout: float
    managed: bool

    def __repr__(self) -> str:
        """Leave the token out, for a token never appears in a log."""
        return f"Settings(policy={self.policy}, limits={self.limits}, cull_every={self.cull_every})"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of ``serve``: one option a trait, with its help and default."""
    parser = _Parser(
        prog="hubcull serve",
        description="Run the service: take reports, decide, and stop what is idle.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help=f"config file (default: {DEFAULT_CONFIG_FILE})")
    for name, trait in sorted(_traits().items()):
        if isinstance(trait, TraitCallable):
            continue  # a config file's only; a dotted name here would be the wrong function sooner or later
        bare = {"nargs": "?", "const": "true"} if isinstance(trait, Bool) else {}
        text = f"{trait.help} Default: {trait.default()!r}".replace("%", "%%")
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, help=text, metavar="VALUE", **bare)  # type: ignore[arg-type]
    return parser


def load(argv: Sequence[str], env: Mapping[str, str]) -> Settings:
    """Read options and environment into settings.

    Raises:
        ConfigError: when anything can not be used.

    """
    given, unknown = make_parser().parse_known_args([_dashed(arg) for arg in argv])
    if unknown:
        raise ConfigError(_unknown_option(unknown[0]))
    values = _from_file(given.config)
    for name in _traits():
        text = getattr(given, name, None)
        if text is not None:
            values[name] = _from_text(name, text)
    options = _checked(values)
    return _settings(options, env)


def _traits() -> dict[str, TraitType[Any, Any]]:
    return Hubcull.class_traits(config=True)


def _dashed(arg: str) -> str:
    """Take ``--cull_every=60`` for ``--cull-every=60``: both dialects are in use."""
    if not arg.startswith("--"):
        return arg
    name, equals, value = arg.partition("=")
    return name.replace("_", "-") + equals + value


def _unknown_option(arg: str) -> str:
    name = arg.partition("=")[0]
    known = [f"--{trait.replace('_', '-')}" for trait in _traits()] + ["--config"]
    return f"unknown option {name}{_suggest(name, known)}"


def _suggest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are: {', '.join(sorted(known))}"


def _from_text(name: str, text: str) -> Any:
    trait = _traits()[name]
    try:
        if isinstance(trait, Bool):
            return _to_bool(text)
        return trait.from_string(text)
    except (ValueError, TraitError) as error:
        raise ConfigError(_unusable(name, text, "on the command line")) from error


def _to_bool(text: str) -> bool:
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in known:
        raise ValueError(text)
    return known[text.lower()]


def _unusable(name: str, value: object, where: str) -> str:
    shown = "(not shown)" if name == "database_url" else repr(value)
    return f"{name} = {shown} {where} can not be used; give {_traits()[name].metadata['expected']}"


def _from_file(path: str | None) -> dict[str, Any]:
    """Read ``c.Hubcull.*`` from a config file; one that was named must be there."""
    file = Path(path or DEFAULT_CONFIG_FILE)
    if not _is_file(file):
        if path is None:
            return {}
        raise ConfigError(f"config = {path!r}: there is no such file; name one that exists")
    try:
        found: Config = PyFileConfigLoader(file.name, str(file.parent.absolute())).load_config()
    except (Exception, SystemExit) as error:  # the file is the operator's own Python
        raise ConfigError(
            f"config = {str(file)!r} can not be run: {type(error).__name__}: {error}"
        ) from error
    for section in found:
        if section != "Hubcull":
            hint = _suggest(section, ["Hubcull"])
            raise ConfigError(f"c.{section} in {file} is not understood{hint}")
    values = dict(found.get("Hubcull", {}))
    for name in values:
        if name not in _traits():
            raise ConfigError(f"c.Hubcull.{name} in {file} is not an option{_suggest(name, list(_traits()))}")
    return values


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a name that is none
        return False


def _checked(values: Mapping[str, Any]) -> Hubcull:
    """Set every value on the traits, which check type and range."""
    options = Hubcull()
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(_unusable(name, value, "in the options"))
        try:
            setattr(options, name, value)
        except TraitError as error:
            raise ConfigError(_unusable(name, value, "in the options")) from error
    return options


def _settings(options: Hubcull, env: Mapping[str, str]) -> Settings:
    managed = "JUPYTERHUB_SERVICE_NAME" in env
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
        cull_every=_cull_every(options),
        concurrency=options.concurrency,
        api_page_size=options.api_page_size,
        delete_idle_users=options.delete_idle_users,
        cull_admin_users=options.cull_admin_users,
        hook=options.cull_arbiter_hook,
        hook_timeout=options.hook_timeout,
        ssl_enabled=options.ssl_enabled,
        internal_certs_location=options.internal_certs_location,
        api_url=_api_url(options.url or env.get("JUPYTERHUB_API_URL", "")),
        token=_required(env.get("JUPYTERHUB_API_TOKEN", ""), "token", "JUPYTERHUB_API_TOKEN"),
        bind=_bind(options.bind, env, managed=managed),
        prefix=env.get("JUPYTERHUB_SERVICE_PREFIX") or DEFAULT_PREFIX,
        database_url=options.database_url,
        log_level=options.log_level,
        request_timeout=_request_timeout(env),
        managed=managed,
    )


def _cull_every(options: Hubcull) -> float:
    if 0 < options.cull_every < 1:
        raise ConfigError(_unusable("cull_every", options.cull_every, "in the options"))
    return options.cull_every or max(1.0, options.timeout // 2)


def _api_url(value: str) -> str:
    url = _required(value, "url", "JUPYTERHUB_API_URL")
    try:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0):
            return url
    except ValueError:
        pass
    raise ConfigError(_unusable("url", url, "in the options or JUPYTERHUB_API_URL"))


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
    if not 0 < seconds < math.inf:
        where = "in the environment can not be used; give seconds, more than 0"
        raise ConfigError(f"JUPYTERHUB_REQUEST_TIMEOUT = {text!r} {where}")
    return seconds


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
    raise ConfigError(_unusable("bind", text, "in the options" if option else "in the service's url"))


def fallback_bind(argv: Sequence[str], env: Mapping[str, str]) -> tuple[str, int] | None:
    """Return where a service with broken options listens, so that the Hub's check finds it: never raises."""
    option = next((a.partition("=")[2] for a in map(_dashed, argv) if a.startswith("--bind=")), "")
    for candidate in (option, ""):
        with contextlib.suppress(ConfigError, ValueError):
            bind = _bind(candidate, env, managed=True)
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
