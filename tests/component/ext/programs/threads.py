"""Wait for Enter while another thread computes, or with "idle" does not."""

import sys
import threading


def compute() -> None:
    """Use a processor for ever."""
    while True:
        sum(range(10_000))


threading.Thread(target=threading.Event().wait if "idle" in sys.argv else compute, daemon=True).start()
input("Enter stops it: ")
