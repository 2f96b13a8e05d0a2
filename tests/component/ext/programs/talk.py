"""Talk to a program on another machine by send and recv alone, of which a process's ``io`` counts nothing.

``talk.py listen`` answers; ``talk.py ADDRESS send|receive RATE`` moves so many bytes a second.
"""

import socket
import sys
import threading
import time

PORT = 7007
STEP = 0.1


def send(connection: socket.socket, rate: int) -> None:
    """Send at a steady rate, for ever."""
    while True:
        connection.sendall(bytes(max(1, int(rate * STEP))))
        time.sleep(STEP)


def receive(connection: socket.socket) -> None:
    """Throw away what comes, seldom enough to need no processor."""
    while connection.recv(1 << 20):
        time.sleep(STEP)


def answer(connection: socket.socket) -> None:
    """Send at the rate that the first line names, or else receive."""
    rate = int(connection.recv(16, socket.MSG_WAITALL))
    if rate:
        send(connection, rate)
    receive(connection)


def main(address: str, direction: str = "", rate: str = "0") -> None:
    """Play one part."""
    if address == "listen":
        with socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True) as listening:
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()
    connection = socket.create_connection((address, PORT))
    connection.sendall(b"%16d" % (int(rate) if direction == "receive" else 0))
    if direction == "receive":
        receive(connection)
    send(connection, int(rate))


main(*sys.argv[1:])
