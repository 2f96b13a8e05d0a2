"""Pure functions and single objects: no sockets, no files, no real time."""
