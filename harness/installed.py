"""`python -m harness.installed FOLDER`: a new environment with a Hub, then what a page says, for one machine.

The commands run in a copy of the checkout, so that nothing is taken but what belongs to it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.pages import ROOT, block

PAGE = "one-machine.md"
HUB = ("jupyterhub>=4", "jupyter_server>=2", "ipykernel")
"""What an operator has before hubcull comes."""
CHECKOUT = (
    "hubcull_hub",
    "hubcull_server_ext",
    "jupyter-config",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
)
_PIP_QUIET = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_QUIET": "1"}


def in_environment(environment: Path, commands: str, folder: Path, **variables: str) -> str:
    """Run shell commands with an environment's programs first in the path; return what they print.

    Raises:
        subprocess.CalledProcessError: when one of them fails; what it said is on our standard error.

    """
    path = os.pathsep.join([str(environment / "bin"), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        ["sh", "-e", "-c", commands],  # noqa: S607
        cwd=folder,
        env={**os.environ, "PATH": path, **variables},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def install(environment: Path) -> None:
    """Make the environment anew, with a Hub, and follow the page in it."""
    shutil.rmtree(environment, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    hub = " ".join(f"'{each}'" for each in HUB)
    with tempfile.TemporaryDirectory(prefix="hubcull-checkout-") as folder:
        checkout = Path(folder)
        for name in CHECKOUT:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, checkout / name)
        for commands in (
            f"python3 -m pip install {hub}",
            block(PAGE, "wheel"),
            block(PAGE, "hub-side"),
            block(PAGE, "user-side"),
        ):
            in_environment(environment, commands, checkout, **_PIP_QUIET)


if __name__ == "__main__":
    install(Path(sys.argv[1]).absolute())
