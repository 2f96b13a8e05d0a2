"""How many servers are started and acted in at once, over all batches, whichever process plays them."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Semaphore

AT_ONCE = 3
"""A start keeps a core busy for two seconds. More at once, and a situation takes so long to make that its
server is idle for the whole timeout meanwhile."""


class Pace:
    """Turns, each a lock on one of a few files in a folder that all batches share."""

    def __init__(self, folder: Path, at_once: int = AT_ONCE) -> None:
        self._files = [folder / f"turn-{number}" for number in range(at_once)]
        self._own = Semaphore(at_once)  # of the twenty threads of a process these few look at the files

    @contextmanager
    def turn(self, every: float = 0.2) -> Iterator[None]:
        """Wait for a turn, looking every so many seconds, and have it while the block runs."""
        with self._own:
            while True:
                for file in self._files:
                    with file.open("w") as held:
                        try:
                            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        except BlockingIOError:
                            continue
                        yield
                        return
                time.sleep(every)
