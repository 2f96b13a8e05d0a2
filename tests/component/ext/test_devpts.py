"""Laws of terminals hold where they are mounted ``noatime``: tried on such a mount of our own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MOUNT = """
set -e
mount -t devpts -o newinstance,noatime,ptmxmode=0666 devpts "$1"
mount --bind "$1" /dev/pts
mount --bind "$1/ptmx" /dev/ptmx
cat /proc/self/mounts
shift
exec "$@"
"""
LAWS = (
    "tests/unit/ext/test_background.py::test_whether_terminals_have_times_is_found_out_by_trying",
    "tests/component/ext/test_terminals.py::test_input_and_output_are_told_apart",
    "tests/component/ext/test_terminals.py::test_a_key_that_came_by_no_page_is_known_by_its_terminal",
    "tests/component/ext/test_terminals.py::test_closed_terminal_leaves_its_newest_keystroke_and_job",
    "tests/component/ext/test_terminals.py::test_silent_script_in_the_foreground_is_work_until_it_ends",
    "tests/component/ext/test_background.py::test_keystrokes_in_a_terminal_that_another_program_opened",
)
"""What rests on the times of terminals, or would seem to."""


def among_noatime(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command where every terminal is on a mount of its own, ``noatime``; first it lists the mounts."""
    unshare = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid() != 0:
        unshare.append("--map-root-user")
    words = [*unshare, "sh", "-c", MOUNT, "sh", str(folder), *command]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts and namespaces are Linux's")
@pytest.mark.timeout(180)
def test_terminals_mounted_noatime_tell_their_times_all_the_same(tmp_path: Path) -> None:
    """Linux moves the times of a terminal itself: no option of a mount keeps it from that."""
    if among_noatime(tmp_path, "true").returncode != 0:
        pytest.skip("this machine lets nobody mount terminals of their own")
    pytest_here = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={tmp_path}.tests")
    done = among_noatime(tmp_path, *pytest_here, "-q", *LAWS)
    mounts = [line.split() for line in done.stdout.splitlines() if " /dev/pts devpts " in line]
    assert "noatime" in mounts[-1][3].split(","), mounts
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(rf"^{len(LAWS)} passed\b(?!.*(skipped|failed))", done.stdout, re.M), done.stdout[-400:]
