"""An entry of jupyterhub-idle-culler in `c.JupyterHub.services`: found, and turned into ours. Pure.

What is made is text for a jupyterhub_config.py.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from hubcull_hub.dialect import NO_EFFECT, Given, dashed

OLD_MODULE = "jupyterhub_idle_culler"
OLD_SCRIPTS = ("jupyterhub-idle-culler", "cull_idle_servers.py", "cull-idle-servers.py")
DEFAULT_NAME = "hubcull"
_SHELL = re.compile(r"[$`|&;<>()\n]")
_SECRET = re.compile("token|secret|passw|key|credential", re.IGNORECASE)


class EntryError(Exception):
    """An entry that can not be turned into ours; the text says what to do."""


@dataclass(frozen=True, slots=True)
class OldEntry:
    """What was found: the entry, and the roles that its service has."""

    service: Mapping[str, Any]
    roles: Sequence[Mapping[str, Any]] = ()

    @property
    def name(self) -> str:
        """The service's name, which stays."""
        return str(self.service.get("name") or DEFAULT_NAME)


@dataclass(frozen=True, slots=True)
class Command:
    """A command line in three parts: what runs it, in the new form, and idle-culler's options."""

    start: list[str]
    options: list[str] = field(default_factory=list)


def find(services: Iterable[Any], roles: Iterable[Any], name: str | None) -> OldEntry:
    """Return the one entry that runs idle-culler, or the one of that name.

    Raises:
        EntryError: when there is none, or more than one and no name.

    """
    listed = [each for each in services if isinstance(each, Mapping)]
    found = [each for each in listed if runs_idle_culler(each.get("command"))]
    if name is not None:
        found = [each for each in found if each.get("name") == name]
    others = ", ".join(str(each.get("name")) for each in listed) or "none"
    if not found:
        which = "no service" if name is None else f"no service {name!r}"
        raise EntryError(
            f"{which} in it has idle-culler in its command (services there: {others}); if idle-culler is"
            " started in another way, give its command line: --command '...'"
        )
    if len(found) > 1:
        names = ", ".join(str(each.get("name")) for each in found)
        raise EntryError(f"more than one service in it runs idle-culler ({names}); choose by --service=NAME")
    entry = found[0]
    mine = [r for r in roles if isinstance(r, Mapping) and entry.get("name") in (r.get("services") or ())]
    return OldEntry(entry, mine)


def runs_idle_culler(command: object) -> bool:
    """Tell whether a service's command starts idle-culler, by a shell or not."""
    words = [command] if isinstance(command, str) else command if isinstance(command, (list, tuple)) else []
    return any(name in str(word) for word in words for name in (OLD_MODULE, *OLD_SCRIPTS))


def split(command: Sequence[str]) -> Command:
    """Return a command with its program changed into ours, and the options behind it.

    Raises:
        EntryError: when it is not idle-culler's, or a shell would change what it says.

    """
    words = [str(word) for word in command]
    for at, word in enumerate(words):
        if word == OLD_MODULE and at and words[at - 1] == "-m":
            return Command([*words[:at], "hubcull_hub"], words[at + 1 :])
        if not word.startswith("-") and " " not in word and PurePath(word).name in OLD_SCRIPTS:
            return _script(words, at)
    for word in words:
        if runs_idle_culler(word) and " " in word:
            return _shell(word)
    raise EntryError(f"{shlex.join(words)!r} does not start idle-culler; give the whole command line")


def _script(words: list[str], at: int) -> Command:
    """Change a script into the console command beside it, or into the module where Python ran the script."""
    if at and re.match(r"python[\d.]*$", PurePath(words[at - 1]).name):
        return Command([*words[:at], "-m", "hubcull_hub"], words[at + 1 :])
    ours = PurePath(words[at]).with_name("hubcull")
    return Command([*words[:at], str(ours)], words[at + 1 :])


def _shell(line: str) -> Command:
    """Take a shell's one command apart, which becomes a command without a shell."""
    if _SHELL.search(line):
        raise EntryError(
            f"the command goes through a shell, which changes it: {line!r}; give what it becomes by --command"
        )
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise EntryError(f"the command {line!r} can not be taken apart: {error}") from error
    return split(words[1:] if words and words[0] == "exec" else words)


def options_text(given: Iterable[Given]) -> list[str]:
    """Return options as our command line has them; what has no effect here is left out."""
    return [f"--{dashed(g.name)}{_value_text(g.value)}" for g in given if g.name not in NO_EFFECT]


def _value_text(value: object) -> str:
    if value is True:
        return ""
    if value is False:
        return "=false"
    return f"={int(value)}" if isinstance(value, float) and value.is_integer() else f"={value}"


def entry_text(entry: OldEntry, command: Sequence[str], *, python: str) -> str:
    """Return the new entry as Python; ``python`` is our interpreter, which is named as sys.executable.

    What may be a secret is not repeated: a comment says that it stays.
    """
    words = ["sys.executable" if word == python else _quoted(word) for word in command]
    lines = [f'        "name": {_quoted(entry.name)},', '        "command": [']
    lines += [*(f"            {word}," for word in words), "        ],"]
    for key, value in entry.service.items():
        if key in {"name", "command", "admin"}:
            continue
        if key == "environment" and isinstance(value, Mapping):
            lines += _environment(value)
        elif _SECRET.search(str(key)):
            lines.append(f'        # "{key}": keep that of the present entry,')
        else:
            lines.append(f"        {_quoted(key)}: {_quoted(value)},")
    head = ["import sys", ""] if python in command else []
    return "\n".join([*head, "c.JupyterHub.services.append(", "    {", *lines, "    }", ")"])


def _quoted(value: object) -> str:
    """Return a value as Python, text in double quotes."""
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _environment(variables: Mapping[str, Any]) -> list[str]:
    shown = {k: v for k, v in variables.items() if not _SECRET.search(str(k))}
    lines = [f"            {_quoted(k)}: {_quoted(v)}," for k, v in shown.items()]
    lines += [
        f"            # {_quoted(k)}: keep that of the present entry," for k in variables if k not in shown
    ]
    return ['        "environment": {', *lines, "        },"]


def scopes(needed: Iterable[str], held: Iterable[str]) -> list[str]:
    """Return the scopes that are needed, filtered as those that the service has now.

    A culler that was bound to some users must not see and stop others because it was renewed.
    """
    held = [str(scope) for scope in held]
    anyhow = dict.fromkeys(scope.partition("!")[2] for scope in held)
    other = _filters(held, "delete:servers") or ({"": None} if "" in anyhow else anyhow)
    return [
        f"{scope}!{limit}" if limit else scope
        for scope in needed
        for limit in _filters(held, scope) or other or {"": None}
    ]


def _filters(held: Iterable[str], scope: str) -> dict[str, None]:
    """Return the filters by which a scope is held, in order; without one, that alone."""
    filters = dict.fromkeys(h.partition("!")[2] for h in held if h.partition("!")[0] == scope)
    return {"": None} if "" in filters else filters


def role_name(entry: OldEntry) -> str:
    """Return the name of the new role: that of the old one, whose place it takes, or the service's."""
    alone = [r for r in entry.roles if list(r.get("services") or ()) == [entry.name] and not r.get("users")]
    return str(alone[0].get("name") or entry.name) if len(alone) == 1 else entry.name


def role_text(entry: OldEntry, needed: Mapping[str, str]) -> str:
    """Return the role as Python, each scope with what it is for."""
    held = [scope for role in entry.roles for scope in role.get("scopes") or ()]
    lines = [f'            "{scope}",  # {needed[scope.partition("!")[0]]}' for scope in scopes(needed, held)]
    return "\n".join(
        [
            "c.JupyterHub.load_roles.append(",
            "    {",
            f'        "name": {_quoted(role_name(entry))},',
            f'        "services": [{_quoted(entry.name)}],',
            '        "scopes": [',
            *lines,
            "        ],",
            "    }",
            ")",
        ]
    )
