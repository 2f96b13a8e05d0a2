"""Whether a document that is saved was changed by somebody: pages save by themselves, too; pure.

It keeps digests, and neither names nor contents.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import Any

_MOST_DOCUMENTS = 200
_LARGEST = 4 << 20
"""Bytes of a body beyond which it is not read: what was changed in it is not known, and counts."""
_BY_MACHINES = frozenset({"execution", "ExecuteTime"})
"""What front ends write into a cell's metadata when it runs."""


class Saves:
    """Remembers what was last saved of each document."""

    def __init__(self) -> None:
        self._digests: dict[str, bytes] = {}

    def changed(self, path: str, body: bytes) -> bool:
        """Take note of a save; return whether it differs from the last one in what people write.

        Args:
            path: of the request; it names the document.
            body: of the request.

        """
        key, digest = hashlib.blake2b(path.encode()).hexdigest(), _digest(body)
        before = self._digests.pop(key, None)
        self._digests[key] = digest
        while len(self._digests) > _MOST_DOCUMENTS:
            del self._digests[next(iter(self._digests))]
        return digest != before


def _digest(body: bytes) -> bytes:
    """Return a digest of what people write: of a notebook its cells, without what kernels put into them."""
    if len(body) <= _LARGEST:
        with suppress(ValueError, LookupError, TypeError, AttributeError, RecursionError):
            model = json.loads(body)
            if model.get("type") == "notebook":
                content = {
                    **model["content"],
                    "cells": [_written(cell) for cell in model["content"]["cells"]],
                }
                metadata = {**content.pop("metadata", {})}
                metadata.pop("widgets", None)
                metadata.pop("kernelspec", None)
                metadata.pop("language_info", None)
                body = json.dumps([content, metadata], sort_keys=True).encode()
    return hashlib.blake2b(body).digest()


def _written(cell: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in cell.items() if key not in {"outputs", "execution_count"}}
    metadata = kept.get("metadata") or {}
    return {**kept, "metadata": {k: v for k, v in metadata.items() if k not in _BY_MACHINES}}
