"""The environments in which a test Hub can run, one for each major version of JupyterHub.

`HUBCULL_HUB` names one by that number. The Hub, its servers with their kernels, and the service run there;
the tests themselves and the proxy do not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

VARIABLE = "HUBCULL_HUB"
NEWEST, OLDER = "6", ("4", "5")
"""The newest Hub is in the environment of the tests; each older one has its own, made by `make`."""

_MADE = Path(__file__).resolve().parent.parent / "build" / "hubs"
_ASK = """
import json, platform, sys
from importlib.metadata import version
found = {name: version(name) for name in sys.argv[1:]}
print(json.dumps({**found, "Python": platform.python_version()}))
"""


def chosen_hub() -> str:
    """Return the major version of JupyterHub that is asked for, the newest if none is.

    Raises:
        ValueError: for one that there is no environment for.

    """
    asked = os.environ.get(VARIABLE) or NEWEST
    if asked not in (NEWEST, *OLDER):
        raise ValueError(f"{VARIABLE}={asked}: choose {', '.join(OLDER)} or {NEWEST}")
    return asked


def hub_bin() -> Path:
    """Return the folder with the programs of the chosen environment.

    Raises:
        FileNotFoundError: when it is not made yet.

    """
    chosen = chosen_hub()
    if chosen == NEWEST:
        return Path(sys.executable).parent
    if not (_MADE / chosen / ".ready").exists():
        raise FileNotFoundError(
            f"no environment for JupyterHub {chosen}; `make build/hubs/{chosen}/.ready` makes it"
        )
    return _MADE / chosen / "bin"


def installed(folder: Path, *packages: str) -> dict[str, str]:
    """Return the versions of Python and these packages, as the Python in ``folder`` finds them.

    Raises:
        subprocess.CalledProcessError: when one of them is not installed.

    """
    command = [str(folder / "python"), "-I", "-c", _ASK, *packages]
    told: dict[str, str] = json.loads(subprocess.check_output(command, timeout=60))
    return told
