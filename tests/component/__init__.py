"""Parts against real sockets and files, with the rest of the world made up."""
