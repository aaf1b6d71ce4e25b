"""Ports on loopback that nobody has. Not among those that the kernel gives to connections: one of these is gone before it is used."""
import os
import socket
import threading

FIRST, COUNT, STEP = 12000, 20000, 37
_at = os.getpid() * 101 % COUNT  # programs beside each other start apart
_one = threading.Lock()


def _is_free(port):
    try:
        socket.create_server(("127.0.0.1", port)).close()
        return True
    except OSError:
        return False


def free_ports(count):
    global _at
    ports = []
    with _one:
        for _ in range(COUNT):
            if len(ports) == count:
                return ports
            _at = (_at + STEP) % COUNT
            if _is_free(FIRST + _at):
                ports.append(FIRST + _at)
    raise RuntimeError(f"no {count} free ports from {FIRST} on")
