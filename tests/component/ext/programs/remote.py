"""Wait for the terminal and for a connection alike, as ssh does."""

import select
import socket
import sys

with (
    socket.create_server(("127.0.0.1", 0)) as server,
    socket.create_connection(server.getsockname()) as there,
):
    select.select([sys.stdin, there], [], [])
