"""Ports on loopback for the Hubs of many processes at once: what one took, no other is given.

They lie below the range from which the operating system serves those who ask for any port, and for
outgoing connections, so neither a kernel nor a client takes one while its Hub is being restarted.
Between processes, a block of ports is reserved by its first port in UDP, which nobody here speaks: the
system gives it up with the process, however that ends.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator

_FIRST, _END, _BLOCK = 20_000, 32_000, 100
_reservations: list[socket.socket] = []
_taking = threading.Lock()


def free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens, reserved for this process, each given once.

    Raises:
        OSError: when there is none left.

    """
    with _taking:
        return [next(_ports) for _ in range(count)]


def _free_ports() -> Iterator[int]:
    blocks = list(range(_FIRST, _END, _BLOCK))
    random.shuffle(blocks)
    for block in blocks:
        if _reserve(block):
            yield from filter(_is_free, range(block, block + _BLOCK))
    raise OSError(f"all ports from {_FIRST} to {_END - 1} are taken")


def _reserve(block: int) -> bool:
    reservation = socket.socket(type=socket.SOCK_DGRAM)
    try:
        reservation.bind(("127.0.0.1", block))
    except OSError:
        reservation.close()
        return False
    _reservations.append(reservation)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


_ports = _free_ports()
