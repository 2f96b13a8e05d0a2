"""hubcull's service: takes the reports of user servers, decides, and stops what is idle."""

from __future__ import annotations

__version__ = "0.1.0"
