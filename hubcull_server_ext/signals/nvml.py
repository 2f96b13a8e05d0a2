"""How NVIDIA's management library (NVML) is asked about the use of GPUs, by ctypes.

It ships with the driver, so nothing has to be installed. What is called here only reads; CUDA is
not touched. NVML promises to be thread-safe, and nothing about the time that a call takes, so
whoever asks needs a time limit. An answer that is not given is not known, and never "idle".
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hubcull_server_ext.signals.gpu_use import Reading

LIBRARY = "libnvidia-ml.so.1"
_SUCCESS = 0
_NOT_SUPPORTED = 3
_NO_PERMISSION = 4
_NOT_FOUND = 6
_INSUFFICIENT_SIZE = 7
_UNASKABLE = {_NOT_SUPPORTED, _NO_PERMISSION}
_TRIES = 4
_SLACK = 16
"""More entries than the library has just asked for: processes come to be between two calls."""
_MOST_ENTRIES = 1 << 16
_ALL = 100
"""Hundredths in a whole. Some drivers fill entries of ended processes with anything."""

_uint, _ulonglong = ctypes.c_uint, ctypes.c_ulonglong


class NvmlError(Exception):
    """The library, or a device, can not be asked."""


class _UnaskableError(NvmlError):
    """A device does not answer a question, to this user or at all."""


class _Sample(ctypes.Structure):
    """``nvmlProcessUtilizationSample_t``: hundredths of a device's time since the time that was asked for."""

    _fields_ = (
        ("pid", _uint),
        ("timeStamp", _ulonglong),
        ("smUtil", _uint),
        ("memUtil", _uint),
        ("encUtil", _uint),
        ("decUtil", _uint),
    )


class _Rates(ctypes.Structure):
    """``nvmlUtilization_t``: hundredths of the last second or less."""

    _fields_ = (("gpu", _uint), ("memory", _uint))


class _ProcessInfo(ctypes.Structure):
    """``nvmlProcessInfo_v2_t``, which versions 2 and 3 of the function fill."""

    _fields_ = (
        ("pid", _uint),
        ("usedGpuMemory", _ulonglong),
        ("gpuInstanceId", _uint),
        ("computeInstanceId", _uint),
    )


@dataclass
class _Device:
    """A device, and up to when (microseconds, the driver's clock) its samples have been read."""

    handle: ctypes.c_void_p
    minor: int
    seen: int = 0


class Nvml:
    """The library, opened until `close`.

    Raises:
        OSError: where there is no library.
        NvmlError: where no device can be asked.

    """

    def __init__(self, library: str = LIBRARY) -> None:
        self._library = ctypes.CDLL(library)
        self._call("nvmlInit_v2")
        self._devices: list[_Device] = []
        self.failed: set[int] = set()
        """The numbers of the devices that are not asked, as they failed; not of those that refuse us."""
        try:
            self._devices = self._find()
        finally:
            if not self._devices:
                self.close()
        if not self._devices:
            raise NvmlError("no device")

    def close(self) -> None:
        """Let go of the devices."""
        with suppress(NvmlError):
            self._call("nvmlShutdown")

    def read(self) -> list[Reading]:
        """Return what was used of each device since the last reading, of those that can tell.

        A device that fails is not asked again.

        Raises:
            NvmlError: when all have failed.

        """
        readings, failed = [], []
        for device in self._devices:
            try:
                readings.append(self._read(device))
            except _UnaskableError:
                continue
            except NvmlError:
                failed.append(device)
        self._devices = [device for device in self._devices if device not in failed]
        self.failed.update(device.minor for device in failed)
        if not self._devices:
            raise NvmlError("no device is left")
        return readings

    def _find(self) -> list[_Device]:
        count = _uint(0)
        self._call("nvmlDeviceGetCount_v2", ctypes.byref(count))
        found = []
        for index in range(count.value):
            handle, minor = ctypes.c_void_p(), _uint()
            try:
                self._call("nvmlDeviceGetHandleByIndex_v2", _uint(index), ctypes.byref(handle))
                self._call("nvmlDeviceGetMinorNumber", handle, ctypes.byref(minor))
                found.append(_Device(handle, minor.value))
            except _UnaskableError:  # another's
                continue
            except NvmlError:
                self.failed.add(index)
        return found

    def _read(self, device: _Device) -> Reading:
        try:
            return Reading(device.minor, self._by_process(device))
        except _UnaskableError:
            pids = self._computing(device)
            rates = _Rates()
            self._call("nvmlDeviceGetUtilizationRates", device.handle, ctypes.byref(rates))
            share = rates.gpu / _ALL
            if share > 1:
                raise _UnaskableError("no use is known") from None
            return Reading(device.minor, dict.fromkeys(pids, share) if share else {}, whole=True)

    def _by_process(self, device: _Device) -> dict[int, float]:
        """Return which share of a device each process used since the last reading."""
        since = _ulonglong(device.seen)
        used: dict[int, float] = {}
        for sample in self._entries("nvmlDeviceGetProcessUtilization", device, _Sample, since):
            most = max(sample.smUtil, sample.memUtil, sample.encUtil, sample.decUtil)
            if sample.pid and most <= _ALL and sample.timeStamp > since.value:
                device.seen = max(device.seen, sample.timeStamp)
                used[sample.pid] = max(used.get(sample.pid, 0.0), most / _ALL)
        return {pid: share for pid, share in used.items() if share}

    def _computing(self, device: _Device) -> set[int]:
        """Return which processes have something to compute with on a device."""
        name = "nvmlDeviceGetComputeRunningProcesses_v"
        version = "3" if hasattr(self._library, name + "3") else "2"
        return {entry.pid for entry in self._entries(name + version, device, _ProcessInfo)}

    def _entries(self, name: str, device: _Device, entry: type[Any], *rest: Any) -> list[Any]:
        """Call a function that fills a list, as often as the list turns out to be too short.

        The two functions have the list and its length the other way round.
        """
        length, entries = _uint(0), None
        for _ in range(_TRIES):
            places = (entries, ctypes.byref(length))
            arguments = places if entry is _Sample else places[::-1]
            result = self._result(name, device.handle, *arguments, *rest)
            if result == _NOT_FOUND:
                return []
            if result == _SUCCESS and (entries is not None or not length.value):
                return [] if entries is None else list(entries[: length.value])
            if result not in {_SUCCESS, _INSUFFICIENT_SIZE}:
                _check(name, result)
            length.value = min(length.value, _MOST_ENTRIES) + _SLACK
            entries = (entry * length.value)()
        raise NvmlError(f"{name}: no end of entries")

    def _call(self, name: str, *arguments: Any) -> None:
        _check(name, self._result(name, *arguments))

    def _result(self, name: str, *arguments: Any) -> int:
        """Call a function by its name; every one of them returns a code."""
        function = getattr(self._library, name, None)
        if function is None:
            raise _UnaskableError(f"{name} is missing")
        function.restype = ctypes.c_int
        return int(function(*arguments))


def _check(name: str, result: int) -> None:
    if result in _UNASKABLE:
        raise _UnaskableError(f"{name}: {result}")
    if result != _SUCCESS:
        raise NvmlError(f"{name}: {result}")
