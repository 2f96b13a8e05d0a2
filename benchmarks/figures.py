"""A measured figure, the machine it was measured on, and how both are written down."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

PACKAGES = ("hubcull", "aiohttp", "jupyter_server", "tornado", "SQLAlchemy")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure with its aim.

    ``ratio_to`` names what the figure is a ratio or a difference to, None for a plain quantity. ``met`` is
    None where no aim was set. ``details`` are further numbers, each with its unit in its name.
    """

    name: str
    figure: float
    unit: str
    ratio_to: str | None = None
    aim: str | None = None
    met: bool | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def machine() -> dict[str, Any]:
    """Return what a reader must know to compare these figures with others; ``load`` is of the last minute."""
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{package.lower(): version(package) for package in PACKAGES},
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "load": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def write(path: Path, figures: Sequence[Figure], where: Mapping[str, Any]) -> None:
    """Write the figures as a JSON list, each with the machine's description."""
    rows = []
    for figure in figures:
        row = asdict(figure)
        details = row.pop("details")
        rows.append({**row, **details, "machine": dict(where)})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=2) + "\n")


def show(figures: Sequence[Figure], where: Mapping[str, Any]) -> None:
    """Print the figures as a table, and their details below it."""
    console = Console(width=110)
    table = Table("figure", "value", "of", "aim", "met", title="hubcull benchmarks")
    table.columns[0].no_wrap = True
    for one in figures:
        met = {True: "yes", False: "NO", None: "-"}[one.met]
        table.add_row(one.name, f"{one.figure:.4g} {one.unit}", one.ratio_to or "-", one.aim or "-", met)
    console.print(table)
    for one in figures:
        details = ", ".join(f"{name} {_plain(value)}" for name, value in one.details.items())
        console.print(f"[bold]{one.name}[/bold]: {details}", highlight=False)
    console.print("; ".join(f"{name} {value}" for name, value in where.items()), highlight=False)


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
