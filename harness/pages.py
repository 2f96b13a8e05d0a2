"""The blocks of the pages in `docs/install`, as an operator would copy them: by page and name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs" / "install").glob("*.md"))


def named_blocks(page: str) -> dict[str, str]:
    """Return a page's named blocks: a fence says its language and, behind it, the block's name."""
    text = (ROOT / "docs" / "install" / page).read_text("utf-8")
    found = re.findall(r"^```\w+ (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    named = dict(found)
    if len(named) < len(found):
        raise ValueError(f"{page} has two blocks of one name")
    return named


def block(page: str, name: str) -> str:
    """Return one block."""
    return named_blocks(page)[name]


def hub_config(text: str) -> Config:
    """Return what a piece of `jupyterhub_config.py` says, beside a configuration that says nothing else."""
    config = Config()
    config.JupyterHub.services = []
    config.JupyterHub.load_roles = []
    config.Spawner.environment = {}
    run(text, config)
    return config


def run(text: str, config: Config) -> dict[str, Any]:
    """Execute a piece of `jupyterhub_config.py` on a configuration; return the names it defined."""
    names: dict[str, Any] = {"c": config}
    exec(compile(text, "jupyterhub_config.py", "exec"), names)  # noqa: S102 - our own pages
    return names
