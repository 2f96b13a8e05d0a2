"""``python -m jupyterhub_idle_culler``: hubcull's command line."""

from __future__ import annotations

import sys

from hubcull_hub.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], default="serve"))
