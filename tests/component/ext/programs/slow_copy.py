"""Write a megabyte a second to a file, with next to no use of a processor."""

import sys
import time
from pathlib import Path

with Path(sys.argv[1]).open("wb", buffering=0) as file:
    while True:
        file.seek(0)
        file.write(bytes(500_000))
        time.sleep(0.5)
