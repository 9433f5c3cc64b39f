"""The listening socket: a thread for each connection, as in mlx_lm's server, but never more of them than allowed.

A connection is *silent* until its request has come whole, and *busy* from then on. Silent ones cost a thread and do
nothing, and anybody can open hundreds. So they are counted apart: more than `most_silent` are not kept (the one that is
silent longest is closed for the new one), none may take longer than `RECEIVE_S` over its request, and they never take
the place of one that is busy.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from contextlib import suppress
from http.server import ThreadingHTTPServer
from typing import Any, Final

BACKLOG: Final = 128  # mlx_lm's five is less than a burst of one agent's parallel requests
GRACE_S: Final = 0.1
"""A connection younger than this is not closed for another: its request is on its way."""
RECEIVE_S: Final = 120.0
"""The longest that a request may take to come whole, body included."""
_FULL: Final = (
    b"HTTP/1.0 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n\r\n"
    b'{"error": "too many connections; come again"}'
)
_log = logging.getLogger(__name__)


class BoundedServer(ThreadingHTTPServer):
    """Threads end with the process.

    `most_busy` requests may be answered at a time, and `most_silent` connections may wait to send one; one that comes
    beyond that is answered 503.
    """

    request_queue_size = BACKLOG
    daemon_threads = True

    def __init__(self, host: str, port: int, handler: Any, most_busy: int, most_silent: int) -> None:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = infos[0][0]
        self._most_busy, self._most_silent = most_busy, most_silent
        self._lock = threading.Condition()
        self._silent: dict[Any, float] = {}  # the oldest first, with the time at which it came
        self._busy: set[Any] = set()
        super().__init__((host, port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, where there is a place for one."""
        with self._lock:
            if len(self._silent) >= self._most_silent:
                self._close_silent(older_than_s=GRACE_S, most=1)
            full = len(self._silent) >= self._most_silent or len(self._busy) >= self._most_busy
            if not full:
                self._silent[request] = time.monotonic()
        if full:
            with suppress(OSError):
                request.sendall(_FULL)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._forget(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The thread of one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._forget(request)

    def request_is_whole(self, request: Any) -> None:
        """Called by the handler once it has read all of a request. Raises `ConnectionError` where it was given up."""
        with self._lock:
            if self._silent.pop(request, None) is None and request not in self._busy:
                raise ConnectionAbortedError("the connection was silent for too long")
            self._busy.add(request)

    def service_actions(self) -> None:
        """Called by the loop that listens, between two waits."""
        super().service_actions()
        with self._lock:
            self._close_silent(older_than_s=RECEIVE_S, most=len(self._silent))

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Close what is silent, and wait until no request is being answered; False where that took too long."""
        with self._lock:
            self._close_silent(older_than_s=0.0, most=len(self._silent))
            return self._lock.wait_for(lambda: not self._busy and not self._silent, timeout_s)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A connection broke: a line in the log, no traceback on the terminal."""
        _log.info("A connection ended early: %s", sys.exc_info()[1])

    def _close_silent(self, *, older_than_s: float, most: int) -> None:
        """Close the oldest silent connections; their threads read an end, and end. To be called with the lock."""
        now = time.monotonic()
        old = [request for request, came in self._silent.items() if now - came >= older_than_s][:most]
        for request in old:
            del self._silent[request]
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def _forget(self, request: Any) -> None:
        with self._lock:
            self._silent.pop(request, None)
            self._busy.discard(request)
            self._lock.notify_all()
