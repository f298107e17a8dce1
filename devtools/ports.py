"""Finds out which TCP ports on the loopback address are free. The answer may be outdated a moment later."""

import secrets
import socket
import sys

LOOPBACK = "127.0.0.1"


def listening(port: int) -> bool:
    """Whether a program accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def busy_reason(port: int) -> str:
    """The reason why no program can listen on the port, in the system's words; empty if the port is free."""
    if listening(port):  # on macOS, bind succeeds even if another program listens on all addresses
        return "it is in use"
    with socket.socket() as probe:
        if sys.platform != "win32":  # on Windows, the option would also allow a port that is in use
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore connections in TIME_WAIT
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def free_ports(count: int) -> list[int]:
    """Return `count` different free ports.

    They are chosen at random below the range of ephemeral ports. The system would soon give a port of that range to
    another program.
    """
    free: set[int] = set()
    while len(free) < count:
        port = 15_000 + secrets.randbelow(17_000)
        if not busy_reason(port):
            free.add(port)
    return list(free)
