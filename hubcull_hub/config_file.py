"""Config files, hubcull's and idle-culler's: which one is read, and what it gives. They are run."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traitlets.config.loader import (
    Config,
    ConfigFileNotFound,
    JSONFileConfigLoader,
    LazyConfigValue,
    PyFileConfigLoader,
)

from hubcull_hub.dialect import (
    APPLICATION,
    NO_EFFECT,
    OLD_NAMES,
    SECTIONS,
    ConfigError,
    Given,
    log_level,
    names,
    suggestion,
)

DEFAULT_FILES = ("hubcull_config.py", "idle_culler_config.py", "idle_culler_config.json")
"""The first that is there is read; the others are idle-culler's."""


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What a config file gives, not yet checked, and what there is to say about the choice of the file."""

    given: tuple[Given, ...] = ()
    notes: tuple[str, ...] = ()


class _PyLoader(PyFileConfigLoader):
    """A loader of Python files that does not pass over a part that is missing."""

    def load_subconfig(self, fname: str, path: str | None = None) -> None:
        """Merge another file into this one; it must be there."""
        if not (Path(path or self.path) / fname).is_file():  # type: ignore[arg-type]
            raise ConfigFileNotFound(f"load_subconfig({fname!r}): there is no such file")
        super().load_subconfig(fname, path)


def read_file(path: str | None, folder: Path) -> FileOptions:
    """Read the config file that was named, or the first of the default ones in the folder, or none.

    Raises:
        ConfigError: when one that was named is not there, or what it says is not understood.

    """
    if path is not None:
        file = next((each for each in (folder / path, folder / f"{path}.py") if _is_file(each)), None)
        if file is None:
            raise ConfigError(f"config = {path!r}: there is no such file; name one that exists")
        return FileOptions(tuple(_given(file)))
    there = [name for name in DEFAULT_FILES if _is_file(folder / name)]
    if not there:
        return FileOptions()
    used, *others = there
    notes = [f"{other} is not read, because {used} is there" for other in others]
    return FileOptions(tuple(_given(folder / used)), tuple(notes))


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except (OSError, ValueError):  # a name that is none
        return False


def load_config(file: Path, *, strict: bool = True) -> Config:
    """Run a config file and return what it set; ``strict``: parts that it loads must be there.

    Raises:
        ConfigError: when it can not be run; the text names the line.

    """
    python = _PyLoader if strict else PyFileConfigLoader
    loader = JSONFileConfigLoader if file.suffix == ".json" else python
    try:
        found: Config = loader(file.name, str(file.parent.absolute())).load_config()
    except (Exception, SystemExit) as error:  # the file is the operator's own Python
        raise ConfigError(
            f"config = {str(file)!r} can not be run: {type(error).__name__}: {error}{_line(error, file)}"
        ) from error
    return found


def _line(error: BaseException, file: Path) -> str:
    """Return in which line of the file it went wrong, unless the error says so itself."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == file.absolute()]
    return f" (line {lines[-1]})" if lines else ""


def _given(file: Path) -> list[Given]:
    """Return every option that a file gives."""
    found = load_config(file)
    given = []
    for section, values in found.items():
        if isinstance(values, Config) and not values:
            continue  # looked at, and nothing set
        if section not in SECTIONS:
            hint = suggestion(section, {each: each for each in SECTIONS})
            raise ConfigError(f"c.{section} in {file} is not understood{hint}")
        for name, value in values.items():
            given += _one(section, name, value, file)
    return given


def _one(section: str, name: str, value: Any, file: Path) -> list[Given]:
    """Return what one line of a file gives; nothing for an option that it only looked at."""
    spelled = f"c.{section}.{name}"
    known = {"log_level": "log_level"} if section == APPLICATION else names()
    if name not in known and name not in NO_EFFECT:
        raise ConfigError(f"{spelled} in {file} is not an option{suggestion(name, known)}")
    if isinstance(value, LazyConfigValue):
        if not value.to_dict():
            return []
        raise ConfigError(f"{spelled} in {file} can not be added to; set it by {spelled} = ...")
    now = OLD_NAMES.get(name, name)
    return [Given(now, log_level(value) if now == "log_level" else value, spelled, f"in {file}")]
