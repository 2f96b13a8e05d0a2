"""What options are called, by us and by jupyterhub-idle-culler, and what its names mean here. No I/O."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from traitlets import TraitType

from hubcull_hub.options import Hubcull

SECTION = "Hubcull"
OLD_SECTION = "IdleCuller"
APPLICATION = "Application"
"""The section in which a file of a traitlets application sets how it logs."""

SECTIONS = (SECTION, OLD_SECTION, APPLICATION)

OLD_NAMES = {"cull_users": "delete_idle_users", "logging": "log_level"}
"""idle-culler's names of options that have another name here."""

NO_EFFECT = {
    "config_file": "name the file by --config",
    "generate_config": "use --generate-config",
    **dict.fromkeys(("log_format", "log_datefmt", "logging_config"), "the form of the log is fixed"),
    **dict.fromkeys(("show_config", "show_config_json"), "the settings are logged at the start"),
    **dict.fromkeys(
        (
            "log_to_stderr",
            "log_file_prefix",
            "log_file_max_size",
            "log_file_num_backups",
            "log_rotate_mode",
            "log_rotate_when",
            "log_rotate_interval",
        ),
        "the log goes to stderr",
    ),
}
"""What idle-culler, by the frameworks it stood on, takes, and what to do instead: nothing of it is about
what is stopped."""


class ConfigError(Exception):
    """Options that can not be used; the text names the key, the value and the remedy."""


@dataclass(frozen=True, slots=True)
class Given:
    """One option as somebody gave it: what it is called now, and as what and where it stands.

    ``place`` ends a sentence: "on the command line", "in hubcull_config.py".
    """

    name: str
    value: Any
    spelled: str
    place: str

    @property
    def now(self) -> str:
        """How it is spelled by its own name."""
        if self.spelled.startswith("--"):
            return f"--{dashed(self.name)}"
        return f"c.{SECTION}.{self.name}"

    @property
    def old(self) -> bool:
        """Whether it stands there as in idle-culler's time."""
        return self.spelled not in {self.now, f"--{SECTION}.{self.name}"}


def traits() -> dict[str, TraitType[Any, Any]]:
    """Return every option by its name."""
    return Hubcull.class_traits(config=True)


def dashed(name: str) -> str:
    """Return an option's name as the command line has it."""
    return name.replace("_", "-")


def names() -> dict[str, str]:
    """Return what each name, old or new, is called now."""
    return {**{name: name for name in traits()}, **OLD_NAMES}


def suggestion(name: str, known: Mapping[str, str]) -> str:
    """Return how an error about an unknown name ends; ``known`` says what each name is called now."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if not close:
        return f"; known are: {', '.join(sorted(set(known.values())))}"
    now = known[close[0]]
    was = f" ({close[0]} in jupyterhub-idle-culler)" if close[0] != now else ""
    return f"; did you mean {now}?{was}"


def unusable(name: str, value: object, where: str, *, spelled: str = "") -> str:
    """Return the error about a value: the key, the value, where it stands, and what to give."""
    shown = "(not shown)" if name == "database_url" else repr(value)
    old = f"{spelled}, now " if spelled else ""
    return f"{old}{name} = {shown} {where} can not be used; give {traits()[name].metadata['expected']}"


def one_each(given: Iterable[Given]) -> dict[str, Given]:
    """Return each option once; of the same spelling the last one counts.

    Raises:
        ConfigError: when one option is given by two names, with two values.

    """
    by_spelling = {(item.name, item.spelled): item for item in given}
    found: dict[str, Given] = {}
    for item in by_spelling.values():
        other = found.setdefault(item.name, item)
        if other.value != item.value:
            raise ConfigError(
                f"{other.spelled} = {other.value!r} and {item.spelled} = {item.value!r} {item.place} are the"
                f" same option; keep one, best {item.now}"
            )
    return found


def notes(given: Iterable[Given]) -> tuple[str, ...]:
    """Return what to say, once, about names of another time: at most one line on each matter."""
    listed = list(given)
    renamed = dict.fromkeys(f"{g.spelled} is {g.now}" for g in listed if g.name in traits() and g.old)
    ignored = dict.fromkeys(f"{g.spelled} ({NO_EFFECT[g.name]})" for g in listed if g.name in NO_EFFECT)
    lines = []
    if renamed:
        lines.append(f"idle-culler's names are understood; the names here: {'; '.join(renamed)}")
    if ignored:
        lines.append(f"without effect here: {'; '.join(ignored)}")
    return tuple(lines)


def log_level(value: object) -> object:
    """Return a log level as we call it, from names in any case and from Python's numbers; else as it is."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return {0: "DEBUG", 1: "DEBUG", 2: "INFO", 3: "WARNING"}.get(max(value, 0) // 10, "ERROR")
    if isinstance(value, str):
        known = {"WARN": "WARNING", "CRITICAL": "ERROR", "NONE": "ERROR"}
        return log_level(int(value)) if value.isdecimal() else known.get(value.upper(), value.upper())
    return value
