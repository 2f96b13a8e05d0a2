"""The command line of the service, in every dialect of jupyterhub-idle-culler: what was given, as what.

Options may have dashes or underscores, one dash or two, their value behind a "=" or a space, and switches may
stand alone; ``--Hubcull.timeout`` and ``--IdleCuller.timeout`` are ``--timeout``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from traitlets import Bool, Callable, TraitError

from hubcull_hub import __version__
from hubcull_hub.dialect import (
    APPLICATION,
    NO_EFFECT,
    OLD_SECTION,
    SECTION,
    ConfigError,
    Given,
    dashed,
    log_level,
    names,
    suggestion,
    traits,
    unusable,
)
from hubcull_hub.options import Hubcull

PLACE = "on the command line"
_GIVEN = "given"
_EPILOG = (
    "The options of jupyterhub-idle-culler are understood by their old names, too, and so is"
    f" --{SECTION}.option=value. cull_arbiter_hook is a function, for a config file only."
)
_HEADER = """\
# Configuration of hubcull. It is read as hubcull_config.py in the service's working directory, or as what
# --config names. Options on the command line win.

c = get_config()  # noqa: F821

"""


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a command line says: the config file that it names, and options, not yet checked."""

    config: str | None
    given: tuple[Given, ...]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


class _Take(argparse.Action):
    """Keep each option with the name that it was given by."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        getattr(namespace, _GIVEN).append((self.dest, option, values))


class _Generate(argparse.Action):
    """Print a config file, and be done."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        sys.stdout.write(generated())
        parser.exit(0)


def generated() -> str:
    """Return a config file with every option, its meaning and its default, all commented out."""
    return _HEADER + Hubcull.class_config_section()


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of ``serve``: one option a trait, with its help and default."""
    parser = _Parser(
        prog="hubcull serve",
        description="Run the service: take reports, decide, and stop what is idle.",
        epilog=_EPILOG,
        allow_abbrev=False,
        add_help=False,
    )
    parser.set_defaults(**{_GIVEN: []})
    parser.add_argument("-h", "--help", "--help-all", action="help", help="show this, and exit")
    parser.add_argument("--version", action="version", version=__version__, help="show the version, and exit")
    text = "print a config file with all options to stdout, and exit"
    parser.add_argument("--generate-config", action=_Generate, nargs=0, help=text)
    parser.add_argument("--config", metavar="FILE", help="config file (default: hubcull_config.py)")
    for section in (SECTION, OLD_SECTION):
        parser.add_argument(f"--{section}.config_file", dest="config", help=argparse.SUPPRESS)
    _add_options(parser)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    for name, trait in sorted(traits().items()):
        text = f"{trait.help} Default: {trait.default()!r}".replace("%", "%%")
        function = isinstance(trait, Callable)
        how: Any = {"action": _Take, "dest": name, "metavar": "VALUE"}
        if isinstance(trait, Bool):
            how |= {"nargs": "?", "const": "true"}
        if not function:
            parser.add_argument(f"--{dashed(name)}", help=text, **how)
        for option in _other_spellings(name, function=function):
            parser.add_argument(option, help=argparse.SUPPRESS, **how)
    for name in NO_EFFECT.keys() - {"config_file", "generate_config"}:
        for option in (f"--{dashed(name)}", f"--{APPLICATION}.{name}", f"--{OLD_SECTION}.{name}"):
            parser.add_argument(option, action=_Take, nargs="?", help=argparse.SUPPRESS, dest=name)


def _other_spellings(name: str, *, function: bool) -> list[str]:
    """Return under which other names an option is understood."""
    called = [name, *(old for old, now in names().items() if now == name != old)]
    spelled = [f"--{section}.{each}" for section in (SECTION, OLD_SECTION) for each in called]
    spelled += [f"--{dashed(each)}" for each in called if each != name or function]
    return [*spelled, *([f"--{APPLICATION}.{name}"] if name == "log_level" else [])]


def parse(argv: Sequence[str]) -> Arguments:
    """Read a command line; ``--help`` and its like print and raise SystemExit.

    Raises:
        ConfigError: when anything is not understood.

    """
    parser = make_parser()
    found, unknown = parser.parse_known_args(normal(argv))
    if unknown:
        raise ConfigError(_unknown(unknown[0]))
    given = [Given(name, _value(name, text, option), option, PLACE) for name, option, text in found.given]
    return Arguments(found.config, tuple(given))


def bind_in(argv: Sequence[str]) -> str:
    """Return the ``bind`` of a command line that may be wrong otherwise, or nothing: never raises."""
    parser = _Parser(allow_abbrev=False, add_help=False)
    parser.add_argument("--bind", *_other_spellings("bind", function=False), dest="bind", default="")
    try:
        return str(parser.parse_known_args(normal(argv))[0].bind)
    except ConfigError:
        return ""


def normal(argv: Sequence[str]) -> list[str]:
    """Return a command line with two dashes before each option, and dashes in its name."""
    return [_normal(arg) for arg in argv]


def _normal(arg: str) -> str:
    option, equals, value = arg.partition("=")
    name = option.lstrip("-")
    if not option.startswith("-") or "." in name:
        return arg
    if not option.startswith("--") and name.replace("-", "_") not in {*names(), "config"}:
        return arg  # "-h", or a value such as "-5"
    return f"--{dashed(name)}{equals}{value}"


def _unknown(arg: str) -> str:
    option = arg.partition("=")[0]
    known = {f"--{dashed(name)}": f"--{dashed(now)}" for name, now in names().items()}
    known |= {own: own for own in ("--config", "--generate-config", "--help", "--version")}
    name = option.rpartition(".")[2] if "." in option else option.lstrip("-")
    return f"unknown option {option}{suggestion(f'--{dashed(name)}', known)}"


def _value(name: str, text: str, option: str) -> Any:
    """Return an option's text as a value of its type."""
    if name in NO_EFFECT:
        return text
    trait = traits()[name]
    if isinstance(trait, Callable):
        raise ConfigError(
            f"{option}: {name} is a function, which a command line can not hold; put"
            f" c.{SECTION}.{name} = ... into a config file, and name that by --config"
        )
    try:
        if isinstance(trait, Bool):
            return _to_bool(text)
        return trait.from_string(str(log_level(text)) if name == "log_level" else text)
    except (ValueError, TraitError) as error:
        spelled = "" if option == f"--{dashed(name)}" else option
        raise ConfigError(unusable(name, text, PLACE, spelled=spelled)) from error


def _to_bool(text: str) -> bool:
    known = dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True)
    known |= dict.fromkeys(("false", "f", "no", "n", "off", "0"), False)
    if text.lower() not in known:
        raise ValueError(text)
    return known[text.lower()]
