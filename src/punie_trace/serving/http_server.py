"""The listening socket: a thread for each connection, as in mlx_lm's server, but never more of them than allowed."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from contextlib import suppress
from http.server import ThreadingHTTPServer
from typing import Any

BACKLOG = 128  # mlx_lm's five is less than a burst of one agent's parallel requests
_FULL = (
    b"HTTP/1.0 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n\r\n"
    b'{"error": "too many connections; come again"}'
)
_log = logging.getLogger(__name__)


class BoundedServer(ThreadingHTTPServer):
    """Threads end with the process; a connection beyond `most` is told to come again."""

    request_queue_size = BACKLOG
    daemon_threads = True

    def __init__(self, host: str, port: int, handler: Any, most: int) -> None:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = infos[0][0]
        self._places = threading.BoundedSemaphore(most)
        super().__init__((host, port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, where there is a place for one."""
        if not self._places.acquire(blocking=False):
            with suppress(OSError):
                request.sendall(_FULL)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The thread of one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A connection broke: a line in the log, no traceback on the terminal."""
        _log.info("A connection ended early: %s", sys.exc_info()[1])
