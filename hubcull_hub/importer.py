"""``hubcull import-idle-culler``: read what runs idle-culler now, print what runs hubcull instead.

Nothing is changed on disk. A config file is Python and is run to be read, as the Hub and idle-culler do.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from traitlets.config.loader import Config, LazyConfigValue

from hubcull_hub.account import account
from hubcull_hub.advice import lines_for_reports
from hubcull_hub.arguments import PLACE, parse
from hubcull_hub.config import cull_every_of, read_options
from hubcull_hub.config_file import load_config
from hubcull_hub.dialect import ConfigError, notes
from hubcull_hub.fitness import Features, needs
from hubcull_hub.old_entry import (
    DEFAULT_NAME,
    OLD_MODULE,
    EntryError,
    OldEntry,
    entry_text,
    find,
    options_text,
    role_name,
    role_text,
    split,
)
from hubcull_hub.options import Hubcull

_DESCRIPTION = """\
Print what takes the place of jupyterhub-idle-culler: the service's entry, its role, and in plain
language what will be stopped, when, and what will differ. What is printed is Python for
jupyterhub_config.py; nothing is changed on disk.

FILE is run to be read, as the Hub does when it starts, and whatever else it does is done then, too.
--command does without: it takes idle-culler's command line as it stands.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "file", metavar="FILE", nargs="?", help="a jupyterhub_config.py with an entry of idle-culler"
    )
    what.add_argument(
        "--command", metavar="'...'", help="idle-culler's command line, with or without its program"
    )
    parser.add_argument("--config", metavar="FILE", help="the config file that idle-culler reads")
    parser.add_argument("--service", metavar="NAME", help="the entry's name, if there is more than one")


def run(given: argparse.Namespace) -> str:
    """Return what to print.

    Raises:
        ConfigError: when a file can not be run, or an option is not understood.
        EntryError: when there is no entry of idle-culler, or it can not be taken apart.

    """
    if given.file is None and given.command is None and given.config is None:
        raise EntryError("name a jupyterhub_config.py, or give --command '...', or --config FILE")
    source = Config()
    if given.file is not None:
        source = _run_file(Path(given.file))
        hub = source.get("JupyterHub", {})
        entry = find(_listed(hub, "services"), _listed(hub, "load_roles"), given.service)
    else:
        command = _words(given.command or "")
        entry = OldEntry({"name": given.service or DEFAULT_NAME, "command": command})
    return _result(entry, given.config, source, Path(given.file or "").parent)


def _words(line: str) -> list[str]:
    """Return a command line as a list, with idle-culler's program before bare options."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise EntryError(f"--command {line!r} can not be taken apart: {error}") from error
    return words if words and not words[0].startswith("-") else [sys.executable, "-m", OLD_MODULE, *words]


def _run_file(file: Path) -> Config:
    """Run the Hub's config file; what it prints goes to stderr, apart from what we print."""
    if not file.is_file():
        raise ConfigError(f"{str(file)!r}: there is no such file; name the Hub's config file")
    sys.stderr.write(f"running {file} to read it, as the Hub does; whatever else it does is done, too\n")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return load_config(file, strict=False)
    except ConfigError as error:
        raise ConfigError(
            f"{error}; run this where the Hub runs, or give idle-culler's command line: --command '...'"
        ) from error


def _listed(section: Mapping[str, Any], name: str) -> list[Any]:
    """Return a list that a config file set or only added to."""
    value = section.get(name, [])
    if isinstance(value, LazyConfigValue):
        value = value.get_value([])
    return list(value)


def _result(entry: OldEntry, config: str | None, source: Config, folder: Path) -> str:
    command = entry.service.get("command") or []
    parts = split([command] if isinstance(command, str) else command)
    argv = [*parts.options, *([f"--config={config}"] if config else [])]
    options, given, said = read_options(argv, Path(entry.service.get("cwd") or folder))
    named = parse(argv).config
    on_line = options_text(each for each in given if each.place == PLACE)
    line = [*parts.start, *([f"--config={named}"] if named else []), *on_line]
    features = Features(options.dry_run, users=options.delete_idle_users, users_by_age=bool(options.max_age))
    told = account(options, cull_every_of(options), hook=options.cull_arbiter_hook is not None)
    base = str(source.get("JupyterHub", {}).get("base_url") or "/")
    reports = () if entry.service.get("url") else lines_for_reports(entry.name, base)
    return "\n\n".join(
        [
            f"{_comment(_entry_heading(entry))}\n{entry_text(entry, line, python=sys.executable)}",
            f"{_comment(_role_heading(entry, options))}\n{role_text(entry, needs(features))}",
            _bullets("3. What will be stopped, and when:", told.stopped),
            _bullets("What differs from today:", (*told.differs, *_about_environment(entry))),
            _bullets("What will differ once servers report:", told.with_reports),
            *([_bullets("These three lines turn reports on:", reports, width=None)] if reports else []),
            *([_bullets("About the options:", about)] if (about := (*said, *notes(given))) else []),
        ]
    )


def _entry_heading(entry: OldEntry) -> str:
    text = f"1. The service {entry.name}, in place of the entry of today."
    if entry.service.get("admin"):
        text += " Without admin: the role below gives it what it needs, and no more."
    return text


def _role_heading(entry: OldEntry, options: Hubcull) -> str:
    name, others = role_name(entry), [str(role.get("name")) for role in entry.roles]
    text = "2. The role, with the scopes that these options need."
    if name in others:
        text += f" It takes the place of the role {name!r} of today: a name may be there once only."
    if left := [other for other in others if other != name]:
        text += f" Take {entry.name!r} out of {', '.join(map(repr, left))}, which it no longer needs."
    if options.cull_arbiter_hook is not None:
        text += " A hook that takes groups needs read:users:groups, too."
    return text


def _about_environment(entry: OldEntry) -> list[str]:
    """Return what is to be said of the time limit in the entry's environment."""
    variables = entry.service.get("environment")
    limit = variables.get("JUPYTERHUB_REQUEST_TIMEOUT") if isinstance(variables, Mapping) else None
    if str(limit) == "0":
        return ["JUPYTERHUB_REQUEST_TIMEOUT=0 is an hour here: every request has a limit."]
    return []


def _comment(text: str) -> str:
    return textwrap.fill(text, 100, initial_indent="# ", subsequent_indent="# ")


def _bullets(heading: str, items: Iterable[str], *, width: int | None = 100) -> str:
    """Return sentences as a commented list; lines that are to be copied are not broken."""
    lines = [f"# {heading}"]
    for item in items:
        wrapped = textwrap.wrap(item, width, subsequent_indent="#    ") if width else [item]
        lines += [f"#  - {wrapped[0]}", *wrapped[1:]]
    return "\n".join(lines)
