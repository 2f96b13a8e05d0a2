"""The service's parts against a real loopback socket, a real file, and a made-up Hub."""
