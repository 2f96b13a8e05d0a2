"""hubcull's jupyter_server extension: what really happens in a user's server.

Importing this package loads nothing heavy, so that the service can share ``wire``.
"""

from __future__ import annotations

__version__ = "0.1.0"


def _jupyter_server_extension_points() -> list[dict[str, object]]:
    """Name the extension to jupyter_server (its convention, jupyter_server >= 2.0)."""
    from hubcull_server_ext.app import HubcullExtension  # noqa: PLC0415 - jupyter_server is heavy

    return [{"module": "hubcull_server_ext", "app": HubcullExtension}]
