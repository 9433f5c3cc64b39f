"""The line from a process that a runner started back to it: what comes and what goes, by threads of their own."""

from __future__ import annotations

import asyncio
import pickle
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection

from punie_trace.engine.fleet.messages import Ping, Pong
from punie_trace.spans.clock import Clock

EOF = None
"""In place of a message: there are no more."""


class Line:
    """The connection to the runner: what comes is read by a thread, what goes is sent by another.

    So neither waits for the event loop, nor the loop for them; a question for the clock is answered by the reader.
    """

    def __init__(self, connection: Connection) -> None:
        self.clock = Clock.start()
        self._connection = connection
        self._sending = threading.Lock()
        self._outgoing: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send_all, name="sender", daemon=True)
        self._sender.start()

    def send(self, message: object) -> None:
        """Send it soon, in order. Never waits, never raises."""
        self._outgoing.put(message)

    def listen(self, heard: Callable[[object], None]) -> None:
        """Call `heard` from another thread with each message, and with `EOF` at their end."""
        threading.Thread(target=self._read_all, args=(heard,), name="reader", daemon=True).start()

    def close(self) -> None:
        """Send what is left, in bounded time."""
        self._outgoing.put(EOF)
        self._sender.join(5)

    def _send_all(self) -> None:
        with suppress(OSError):
            while (message := self._outgoing.get()) is not EOF:
                self._send(message)

    def _send(self, message: object) -> None:
        data = pickle.dumps(message)
        with self._sending:
            self._connection.send_bytes(data)

    def _read_all(self, heard: Callable[[object], None]) -> None:
        try:
            while True:
                message = self._connection.recv()
                if isinstance(message, Ping):
                    self._send(Pong(message.number, self.clock.now_ns()))
                else:
                    heard(message)
        except (EOFError, OSError):
            heard(EOF)

    def inbox(self) -> asyncio.Queue[object]:
        """Every message from now on, `EOF` at last, for the event loop that runs."""
        messages: asyncio.Queue[object] = asyncio.Queue()
        self.listen(partial(_hand_over, asyncio.get_running_loop(), messages))
        return messages


def _hand_over(loop: asyncio.AbstractEventLoop, messages: asyncio.Queue[object], message: object) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody listens any more
        loop.call_soon_threadsafe(messages.put_nowait, message)
