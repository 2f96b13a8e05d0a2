"""Do what is named, with next to no use of a processor but for ``compute``, and with a thread beside.

``search`` reads much of /proc, ``write FILE`` a megabyte a second to a file, ``start COMMAND...`` has a child
do it.
"""

import subprocess
import sys
import threading
import time
from pathlib import Path

what, rest = sys.argv[2], sys.argv[3:]
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
while True:
    if what == "search":
        Path("/proc/self/environ").read_bytes()
        time.sleep(0.2)
    elif what == "write":
        Path(rest[0]).write_bytes(bytes(200_000))
        time.sleep(0.2)
    elif what == "start":
        subprocess.run(rest, check=True)
    else:
        sum(range(10_000))
