"""When GPUs are asked about, and what the server's processes used of them.

Nothing is asked, and the library is not even loaded, but while one of the server's processes has a
device open: so no machine's devices are woken, or kept awake, for servers that use none. What can
not be told counts for nothing.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from hubcull_server_ext.signals.belonging import is_contained
from hubcull_server_ext.signals.gpu_use import COMPUTES, LAUNCHES, Numbers, Reading, attribute
from hubcull_server_ext.signals.nvml import LIBRARY, Nvml, NvmlError
from hubcull_server_ext.signals.proc_files import ProcessFiles
from hubcull_server_ext.signals.process import Process
from hubcull_server_ext.signals.usage import Identity
from hubcull_server_ext.snapshot import SourceError, UnavailableError

RETRY = 600.0
"""Seconds after a failure in which nothing is asked again."""
_LIMIT = 5.0
"""Seconds after which an answer is waited for no longer."""
_TICKS = os.sysconf("SC_CLK_TCK")

_T = TypeVar("_T")


class GpuCounter:
    """Counts use of NVIDIA's GPUs; a `usage.Counter`.

    Args:
        files: what the processes have open.
        alone: whether nobody but this server is in its container, asked at each look.
        numbered_apart: whether process numbers are a container's own; found out where None.
        library: the name of NVML's library.
        devices: where the devices' files are.
        limit: seconds for all answers of a look.

    """

    def __init__(
        self,
        files: ProcessFiles,
        alone: Callable[[], bool],
        numbered_apart: bool | None = None,
        library: str = LIBRARY,
        devices: Path = Path("/dev"),
        limit: float = _LIMIT,
    ) -> None:
        self._files, self._alone = files, alone
        self._apart = is_contained() if numbered_apart is None else numbered_apart
        self._library, self._prefix, self._limit = library, f"{devices}/nvidia", limit
        self._nvml: Nvml | None = None
        self._hangs: threading.Thread | None = None
        self._read_at: float | None = None
        self._not_before = float("-inf")
        self._trouble: str | None = None
        self._failed: frozenset[int] = frozenset()
        self._translates = False
        self._open: dict[Identity, tuple[int, frozenset[int]]] = {}
        self._totals: dict[Identity, float] = {}

    def read(self, processes: Sequence[Process], now: float) -> Mapping[Identity, float]:
        """Return how much each process has used; one unit is `COMPUTES` device seconds."""
        before = {identity: used for identity, (used, _) in self._open.items()}
        self._open = self._opened(processes)
        holders = [process for process in processes if self._open.get(process.identity, (0, ()))[1]]
        readings = self._ask(bool(holders), now)
        if readings is not None:
            span = 0.0 if self._read_at is None else now - self._read_at
            self._totals = {p.identity: self._totals.get(p.identity, 0.0) for p in processes}
            for reading in readings:
                self._count(reading, holders, before, span)
        self._read_at = None if readings is None else now
        return dict(self._totals)

    def check(self) -> None:
        """Say whether there is a device, and whether what is open of them is known.

        Raises:
            UnavailableError: without a device of NVIDIA's.
            SourceError: after the library failed, until it answers or no process has a device open.

        """
        if not self._is_there():
            raise UnavailableError("no NVIDIA GPU here")
        if self._trouble is not None:
            raise SourceError(f"the driver can not be asked: {self._trouble}")

    @property
    def remark(self) -> str | None:
        """Which devices failed and are not counted while the others are, until nobody has one open."""
        if not self._failed:
            return None
        return f"not counted, as the driver fails for it: GPU {', '.join(map(str, sorted(self._failed)))}"

    def _is_there(self) -> bool:
        return os.path.exists(f"{self._prefix}ctl")  # noqa: PTH110 - a Path takes longer

    def _opened(self, processes: Sequence[Process]) -> dict[Identity, tuple[int, frozenset[int]]]:
        """Return what each has used of a processor (ticks), and which devices it has open.

        Who has used nothing has opened none: the driver's libraries take far more than a tick to load.
        """
        if not self._is_there():
            return {}
        found = {}
        for process in processes:
            used, devices = self._open.get(process.identity, (-1, frozenset[int]()))
            if process.used != used:
                names = self._files.opened(process, self._prefix)
                devices = frozenset(int(name) for name in names if name.isdecimal())
            found[process.identity] = process.used, devices
        return found

    def _ask(self, is_held: bool, now: float) -> list[Reading] | None:
        """Return what the library says, None where it says nothing or is not to be asked."""
        if self._hangs is not None and self._hangs.is_alive():
            return None
        self._hangs = None
        try:
            if is_held and now >= self._not_before:
                readings, self._failed = self._within_limit(self._readings)
                self._trouble = None
                return readings
            if not is_held:
                self._trouble, self._failed = None, frozenset()
                if self._nvml is not None:
                    self._within_limit(self._close)
        except (OSError, NvmlError, TimeoutError) as error:
            self._not_before, self._trouble = now + RETRY, type(error).__name__
            if self._hangs is None:
                with suppress(TimeoutError):
                    self._within_limit(self._close)
        return None

    def _readings(self) -> tuple[list[Reading], frozenset[int]]:
        """Return what was used of each device, and the numbers of those that failed."""
        if self._nvml is None:
            self._nvml = Nvml(self._library)
        return self._nvml.read(), frozenset(self._nvml.failed)

    def _close(self) -> None:
        nvml, self._nvml = self._nvml, None
        if nvml is not None:
            nvml.close()

    def _within_limit(self, call: Callable[[], _T]) -> _T:
        """Return what a call returns, or raise what it raises; one that hangs keeps nobody from ending.

        Raises:
            TimeoutError: after the time limit; until then the call has a thread of its own.

        """
        answers: queue.SimpleQueue[tuple[_T | None, Exception | None]] = queue.SimpleQueue()

        def answer() -> None:
            try:
                answers.put((call(), None))
            except Exception as error:
                answers.put((None, error))

        thread = threading.Thread(target=answer, name="hubcull-gpu", daemon=True)
        thread.start()
        try:
            result, error = answers.get(timeout=self._limit)
        except queue.Empty:
            self._hangs = thread
            raise TimeoutError from None
        if error is not None:
            raise error
        return result  # type: ignore[return-value]  # None only where _T is

    def _count(
        self, reading: Reading, processes: Sequence[Process], before: Mapping[Identity, int], span: float
    ) -> None:
        """Add what was used of one device in so many seconds."""
        least = max(1.0, LAUNCHES * span * _TICKS)
        holders = [p for p in processes if reading.device in self._open[p.identity][1]]
        launches = {p.pid: p.used - before.get(p.identity, p.used) > least for p in holders}
        # One match proves that the driver translates numbers into ours; what it leaves is then another's.
        self._translates |= not reading.whole and not launches.keys().isdisjoint(reading.used)
        shares = attribute(reading, launches, self._numbers())
        for process in holders:
            self._totals[process.identity] += shares.get(process.pid, 0.0) * span / COMPUTES

    def _numbers(self) -> Numbers:
        if not self._apart:
            return Numbers.MACHINE
        return Numbers.ALONE if self._alone() and not self._translates else Numbers.SHARED
