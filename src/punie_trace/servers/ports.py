"""Ports: a free one, whether one is in use and by whom, and whether a process of ours is the one that listens.

Nothing here starts or ends anything. What the operating system does not tell (another user's sockets) is never guessed.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from contextlib import suppress

import psutil

_WILDCARDS = {"", "0.0.0.0", "::"}  # noqa: S104 - recognised here, never bound
_handed_out: set[int] = set()


def free_port(host: str) -> int:
    """A port that was free a moment ago and that this process has not handed out before. Raises OSError."""
    for _ in range(50):
        with _bound(host, 0) as sock:
            port: int = sock.getsockname()[1]
        if port not in _handed_out:
            break
    _handed_out.add(port)
    return port


def in_use(host: str, port: int) -> bool:
    """Whether somebody holds `port`: a listener answers there, or it cannot be bound. Raises OSError for a bad host."""
    if accepts(host, port):
        return True
    try:
        with _bound(host, port):
            return False
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return True
        raise


def accepts(host: str, port: int) -> bool:
    """Whether a TCP connection to `port` is accepted within half a second."""
    with suppress(OSError), socket.create_connection((reachable(host), port), timeout=0.5):
        return True
    return False


def reachable(host: str) -> str:
    """The address to connect to for a server that binds `host`."""
    if host in _WILDCARDS:
        return "::1" if host == "::" else "127.0.0.1"
    return host


def owner(port: int) -> str | None:
    """'pid 123 (program)' of whoever listens on `port`; None where the system does not tell."""
    with suppress(psutil.Error, OSError, RuntimeError):
        for connection in psutil.net_connections("tcp"):
            if _listens(connection, port) and connection.pid:
                return f"pid {connection.pid} ({psutil.Process(connection.pid).name()})"
    return None


def processes_are_hidden() -> bool:
    """Whether the system does not even show us our own process (a container without /proc)."""
    try:
        psutil.Process().create_time()
    except (psutil.Error, OSError):
        return True
    return False


def listener(processes: Iterable[psutil.Process], port: int) -> psutil.Process | None:
    """Which of `processes` listens on `port`. Raises psutil.AccessDenied where none does that the system shows us."""
    hidden: psutil.AccessDenied | None = None
    for process in processes:
        try:
            if any(_listens(connection, port) for connection in process.net_connections("tcp")):
                return process
        except psutil.AccessDenied as error:
            hidden = error
        except (psutil.Error, OSError):
            continue  # it ended while we looked
    if hidden is not None:
        raise hidden
    return None


def _listens(connection: object, port: int) -> bool:
    address = getattr(connection, "laddr", None)
    return getattr(connection, "status", "") == psutil.CONN_LISTEN and getattr(address, "port", None) == port


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, protocol)
    try:
        # As servers do it: a port whose last connections are still in TIME_WAIT counts as free.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock
