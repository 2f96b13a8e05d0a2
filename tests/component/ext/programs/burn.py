"""Use a processor for ever; from a thread with "thread"."""

import sys
import threading


def compute() -> None:
    """Use a processor for ever."""
    while True:
        sum(range(10_000))


if "thread" in sys.argv:
    threading.Thread(target=compute).start()
else:
    compute()
