"""Which processes of a terminal are work; in doubt each is.

A process is work unless it is on the list of programs that are not, or waits for its
terminal's input, or only waits for such a one. CPU decides nothing: a silent wait for a
database is work. It knows no terminal and remembers nothing.
"""

from __future__ import annotations

import re

from hubcull_server_ext.signals.processes import Process, ProcessTable

NOT_WORK = (
    "sleep", "tail", "watch", "top", "htop", "btop", "atop", "nvtop", "less", "more", "most", "man",
    "vi", "vim", "vim.basic", "vim.tiny", "view", "nvim", "nano", "emacs", "mc", "nvidia-smi",
    "tmux", "screen",
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
_MULTICALL = frozenset({"busybox", "coreutils", "toybox"})
_PAGING = frozenset({"git", "gh", "systemctl", "journalctl"})
"""Programs that hand their output to a pager and wait until it is closed."""


class Judge:
    """Tells work from what is not; in doubt it is work.

    Args:
        table: the processes, as last read.
        not_work: names of programs that are never work.

    """

    def __init__(self, table: ProcessTable, not_work: frozenset[str]) -> None:
        self.table = table
        self._not_work = not_work

    def is_work(self, process: Process) -> bool:
        """Whether a process of a terminal counts as work."""
        if process.at_rest or self._listed(process) or self.table.waits_for_terminal(process):
            return False
        return not self._only_waits_for_rest(process)

    def label(self, process: Process) -> str:
        """Return the program's name where it is a public one, else ``program``: scripts are private."""
        name = _program(self.table.executable(process) or "")
        return name if name in _PUBLIC_NAMES else "program"

    def _listed(self, process: Process) -> bool:
        executable = self.table.executable(process)
        if executable is None or executable in _MULTICALL:
            return process.name in self._not_work
        if executable in self._not_work:
            return True
        # A script calls itself as it likes: a "watch" that runs in python is not the watch we know.
        return process.name in self._not_work and _program(executable) not in _INTERPRETERS | _SHELLS

    def _only_waits_for_rest(self, process: Process) -> bool:
        """Whether it is a nested prompt or a pager's parent, and everything it waits for is no work."""
        name = _program(self.table.executable(process) or "")
        if name in _SHELLS:
            if not self.table.interactive(process):
                return False
        elif name not in _PAGING:
            return False
        if not self.table.waits_for_child(process):
            return False
        children = self.table.children(process)
        return bool(children) and not any(self.is_work(child) for child in children)


def _program(executable: str) -> str:
    """Return a program's name without its version: ``python3.11`` is python."""
    return re.sub(r"[-.]?\d[\d.]*$", "", executable)
