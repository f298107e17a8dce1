"""Which TCP ports of this machine's loopback are free, at the moment of asking."""

import secrets
import socket
import sys

LOOPBACK = "127.0.0.1"


def listening(port: int) -> bool:
    """Whether somebody answers on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def why_not_free(port: int) -> str:
    """Why nobody can listen on the port, in the system's words; empty when it is free."""
    if listening(port):  # macOS lets one bind beside a listener on all addresses
        return "it is in use"
    with socket.socket() as probe:
        if sys.platform != "win32":  # there the option means something else
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger do not count
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def free_ports(count: int) -> list[int]:
    """So many different free ports.

    Picked at random, below those that systems hand out: what was handed out and let go is soon handed out again.
    """
    found: set[int] = set()
    while len(found) < count:
        port = 15_000 + secrets.randbelow(17_000)
        if not why_not_free(port):
            found.add(port)
    return list(found)
