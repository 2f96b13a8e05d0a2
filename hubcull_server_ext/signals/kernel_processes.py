"""The processes of kernels, and since when each has nothing in flight.

It knows where a kernel's manager keeps its process's number, and nothing of messages.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from hubcull_server_ext.signals.kernel_signals import source_name


class KernelProcess(NamedTuple):
    """One kernel's process: ``source`` is how reports name the kernel.

    ``free_since``: monotonic seconds since which nothing is in flight, None while something is.
    """

    pid: int
    source: str
    free_since: float | None


class KernelManagers(Protocol):
    """What we use of jupyter_server's MappingKernelManager."""

    def list_kernel_ids(self) -> list[str]:
        """Return the ids of the running kernels."""

    def get_kernel(self, kernel_id: str) -> Any:
        """Return one kernel's manager."""


def process_of(manager: Any) -> int | None:
    """Return the number of a kernel's process, which may be another machine's; None where nobody says."""
    pid = getattr(getattr(manager, "provisioner", None), "pid", None)
    return pid if isinstance(pid, int) else None


def kernel_processes(
    managers: KernelManagers, free_since: Callable[[str], float | None]
) -> list[KernelProcess]:
    """Return the kernels of which a process's number is known, which may be one of another machine.

    Args:
        managers: jupyter_server's kernel manager.
        free_since: tells since when a kernel, by its id, has nothing in flight; None while it has.

    """
    found = []
    for kernel_id in managers.list_kernel_ids():
        pid = None
        with suppress(Exception):  # it may be gone meanwhile, or be of another make
            pid = process_of(managers.get_kernel(kernel_id))
        if pid is not None:
            found.append(KernelProcess(pid, source_name(kernel_id), free_since(kernel_id)))
    return found
