"""How reports name what people may name: as jupyter_server numbers it, or by a number of our own."""

from __future__ import annotations

import re
import secrets
from hashlib import blake2s

_NUMBERED = re.compile(r"[0-9]{1,3}")
"""The names that jupyter_server gives to terminals: 1, 2, ..."""
_KEY = secrets.token_bytes(16)
"""Of this run of the server alone, so that nobody can tell a name by trying likely ones."""


def terminal_source(name: str) -> str:
    """Return how reports name a terminal: always the same while the server runs, and never a given name."""
    if _NUMBERED.fullmatch(name):
        return f"terminal:{name}"
    return "terminal:named-" + blake2s(name.encode("utf-8", "replace"), key=_KEY, digest_size=4).hexdigest()
