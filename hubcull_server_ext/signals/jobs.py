"""Which processes of a terminal are work; in doubt each is.

A process is work unless it is on the list of programs that are not, or waits for its
terminal's input, or only waits for one that does, or only shows what one on the list says. A
silent wait for a database is work: the use of a processor only ever makes work of what seems to
wait. It knows no terminal and remembers nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from hubcull_server_ext.signals.pipelines import MULTICALL, only_shows
from hubcull_server_ext.signals.process import Process
from hubcull_server_ext.signals.processes import ProcessTable

NOT_WORK = (
    "sleep", "tail", "watch", "top", "htop", "btop", "atop", "nvtop", "less", "man",
    "vi", "vim", "vim.basic", "vim.tiny", "nvim", "nano", "emacs", "nvidia-smi",
    "journalctl", "tmux", "screen",
)  # fmt: skip
"""Programs that are no work by their name: they wait, show or edit, and may stay open for days."""

_SHELLS = frozenset({"sh", "ash", "bash", "dash", "fish", "ksh", "mksh", "tcsh", "csh", "zsh"})
_INTERPRETERS = frozenset(
    {"python", "R", "julia", "node", "java", "perl", "ruby", "php", "lua", "octave", "pypy"}
)
_TOOLS = frozenset(
    {
        "awk", "aws", "cargo", "cc", "clang", "cmake", "conda", "cp", "curl", "dask", "docker",
        "dvc", "ffmpeg", "find", "g++", "gcc", "gfortran", "git", "go", "grep", "gunzip", "gzip",
        "jupyter", "kubectl", "ld", "make", "mamba", "micromamba", "mpirun", "mv", "mysql", "ninja",
        "npm", "pip", "psql", "quarto", "rclone", "rm", "rsync", "rustc", "scp", "sed", "sftp",
        "sort", "sqlite3", "ssh", "sudo", "tar", "time", "unzip", "uv", "wget", "xz", "yarn", "zip",
        "zstd",
    }
)  # fmt: skip
# Any other program's name may be that of somebody's own script, which is theirs to tell.
_PUBLIC_NAMES = _SHELLS | _INTERPRETERS | _TOOLS
_PAGING = frozenset({"git", "gh", "systemctl", "journalctl"})
"""Programs that hand their output to a pager and wait until it is closed."""


class Judge:
    """Tells work from what is not; in doubt it is work.

    Args:
        table: the processes, as last read.
        not_work: names of programs that are never work.
        otherwise: what tells whether one is work where the system does not say what it waits for; without
            it, it is.

    """

    def __init__(
        self,
        table: ProcessTable,
        not_work: frozenset[str],
        otherwise: Callable[[Process], bool] | None = None,
    ) -> None:
        self.table = table
        self._not_work = not_work
        self._otherwise = otherwise

    def is_work(self, process: Process) -> bool:
        """Whether a process of a terminal counts as work."""
        if process.at_rest or self.listed(process) or only_shows(self.table, process, self.listed):
            return False
        if self._otherwise is not None and not self.table.wait_is_told(process):
            return self._otherwise(process)
        if self._waits_for_a_person(process):
            return False
        return not self._only_waits_for_rest(process)

    def first_is_work(self, process: Process, wraps: bool) -> bool:
        """Whether the process that a terminal began with counts by itself, beside those it waits for.

        A prompt that waits for its children does not, nor does one that ``wraps`` the prompt, such as a
        start script. Where the system does not tell what a prompt waits for, one that sleeps is idle.
        """
        prompt = self.is_prompt(process)
        if (prompt or wraps) and self.table.waits_for_child(process) and self.table.children(process):
            return False
        if prompt and process.state != "R" and not self.table.wait_is_told(process):
            return False
        return self.is_work(process)

    def is_prompt(self, process: Process) -> bool:
        """Whether a process is a shell that reads commands from its terminal."""
        return self._is_shell(process) and self.table.interactive(process)

    def _is_shell(self, process: Process) -> bool:
        return _program(self.table.executable(process) or "") in _SHELLS

    def _waits_for_a_person(self, process: Process, asked: frozenset[int] = frozenset()) -> bool:
        """Whether it waits for its terminal, itself or by others, and no other thread of it computes.

        By its children, as a script or ``psql`` does whose pager is open; by who reads the pipe that it has
        filled, as what goes into a pager does. ``asked`` are those before it: a pipe may lead back to them.
        """
        if process.pid in asked or (process.threads > 1 and self.table.computes(process)):
            return False
        if self.table.waits_for_terminal(process):
            return True
        waits = self.table.waits_for_child(process)
        others = self.table.children(process) if waits else self.table.readers(process)
        asked |= {process.pid}
        return bool(others) and all(self._waits_for_a_person(other, asked) for other in others)

    def label(self, process: Process) -> str:
        """Return the program's name where it is a public one, else ``program``: scripts are private."""
        name = _program(self.table.executable(process) or "")
        return name if name in _PUBLIC_NAMES else "program"

    def listed(self, process: Process) -> bool:
        """Whether it is one of the programs that are never work."""
        executable = self.table.executable(process)
        if executable is None or executable in MULTICALL:
            return process.name in self._not_work
        if executable in self._not_work:
            return True
        # A script calls itself as it likes: a "watch" that runs in python is not the watch we know.
        return process.name in self._not_work and _program(executable) not in _INTERPRETERS | _SHELLS

    def _only_waits_for_rest(self, process: Process) -> bool:
        """Whether it is a nested prompt or a pager's parent, and everything it waits for is no work."""
        if self._is_shell(process):
            if not self.table.interactive(process):
                return False
        elif _program(self.table.executable(process) or "") not in _PAGING:
            return False
        if not self.table.waits_for_child(process):
            return False
        children = self.table.children(process)
        return bool(children) and not any(self.is_work(child) for child in children)


def _program(executable: str) -> str:
    """Return a program's name without its version: ``python3.11`` is python."""
    return re.sub(r"[-.]?\d[\d.]*$", "", executable)
