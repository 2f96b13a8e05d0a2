"""What one row of the matrix says, before anything is run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any


class Fate(str, Enum):
    """What becomes of a server, by a culler's judgement or in fact."""

    KEPT = "kept"
    STOPPED = "stopped"


class Right(str, Enum):
    """What is true of a server: in use, or idle."""

    ACTIVE = "active"
    IDLE = "idle"

    @property
    def fate(self) -> Fate:
        """What a culler that is right does with it."""
        return Fate.KEPT if self is Right.ACTIVE else Fate.STOPPED


class Need(str, Enum):
    """What a row needs beside a Hub and its servers; also the mark of its test."""

    NOTHING = "nothing"
    APP = "app"
    BROWSER = "browser"


BUILD = Path(__file__).resolve().parents[3] / "build"
"""Where `make` puts what rows need."""
_CHROMIUM = {"chromium or google-chrome": "chromium"}


def _is_here(names: str) -> bool:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
    return any(shutil.which(name, path=path) for name in names.split(" or "))


@dataclass(frozen=True)
class Row:
    """One situation.

    ``right`` is its truth, with our defaults where operators may see it otherwise: ``option`` then says what
    else there is to choose. ``stock`` is what a culler that goes by ``last_activity`` does, as measured.
    ``signal`` is the source that should keep the server, where it is active; ``also`` is one whose signal is
    as good, and newer on a slow machine. ``gap`` says why hubcull is
    wrong today, and ``wrong_signal`` which source then keeps an idle server. ``not_run`` says why the row is
    not run. ``server`` are options of the server's start, as of `HubAPI.start_server`.
    ``programs`` are those that no index of Python's packages has, each with Debian's package; where one is
    missing the row is not run. ``built`` is the folder in `BUILD` of what `make` makes for it, where it can.
    """

    number: str
    family: str
    situation: str
    right: Right
    stock: Fate | None = None
    signal: str = ""
    also: str = ""
    option: str = ""
    made: str = ""
    gap: str = ""
    wrong_signal: str = ""
    not_run: str = ""
    need: Need = Need.NOTHING
    server: Mapping[str, Any] = field(default_factory=dict)
    programs: Mapping[str, str] = field(default_factory=dict)
    built: str = ""

    @property
    def expected(self) -> Fate:
        """What hubcull does today: the right thing, but for a gap."""
        right = self.right.fate
        if not self.gap:
            return right
        return Fate.STOPPED if right is Fate.KEPT else Fate.KEPT

    @property
    def missing(self) -> str:
        """What this machine lacks to run the row, and how to get it; empty where nothing."""
        needed = {**self.programs, **(_CHROMIUM if self.need is Need.BROWSER else {})}
        lacking = {names: package for names, package in needed.items() if not _is_here(names)}
        packages = " ".join(sorted(set(lacking.values())))
        reasons = [f"needs {', '.join(lacking)}: on Debian, apt install {packages}"] if lacking else []
        stamp = Path(self.built) / ".ready"
        if self.built and not (BUILD / stamp).exists():
            reasons.append(f"needs build/{self.built}: make build/{stamp}")
        return "; ".join(reasons)

    @property
    def kept_by(self) -> str:
        """The source that keeps the server today; empty where none does."""
        return self.signal or self.wrong_signal if self.expected is Fate.KEPT else ""
