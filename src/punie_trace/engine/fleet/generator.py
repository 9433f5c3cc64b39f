"""One load generator: a process that drives its share of a run and writes its part, as its runner tells it.

    python -m punie_trace.engine.fleet.generator FD

Messages go both ways over the socket FD, pickled by `multiprocessing.connection`; the runner's end is the end of the
process. What is measured is written here before any of it is told. Signs of life carry only what a display and the
limits of the run need.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import anyio

from punie_trace.driver.precise_loop import new_event_loop
from punie_trace.engine.fleet.clock_identity import clock_id
from punie_trace.engine.fleet.messages import (
    Assignment,
    Begin,
    ConfigurationLost,
    Finish,
    Finished,
    Go,
    Hello,
    Ping,
    Pong,
    StageOrder,
    StopStage,
    Trouble,
)
from punie_trace.engine.fleet.part import Part
from punie_trace.engine.fleet.preparation import prepare
from punie_trace.engine.machine import read_versions
from punie_trace.engine.unexpected import first_error, in_words
from punie_trace.spans.clock import Clock
from punie_trace.user_code import import_from

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


def main(descriptor: int) -> None:
    """Serve one runner until it has finished, or is gone."""
    # The runner's end is told by the connection, and closes the part in order; the launcher kills what takes longer.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import_from([Path.cwd()])
    with Connection(descriptor) as connection:
        line = Line(connection)
        line.send(Hello(socket.gethostname(), os.getpid(), clock_id(), line.clock, read_versions()))
        anyio.run(partial(_serve, line), backend_options={"loop_factory": new_event_loop})
        line.close()


async def _serve(line: Line) -> None:
    """Take messages as they come. A stage runs beside that, so that it can be ended."""
    inbox: asyncio.Queue[object] = asyncio.Queue()
    line.listen(partial(_hand_over, asyncio.get_running_loop(), inbox))
    part: Part | None = None
    assignment: Assignment | None = None
    try:
        async with anyio.create_task_group() as tasks:
            while (message := await inbox.get()) is not EOF:
                match message:
                    case Assignment():
                        assignment = message
                        line.clock = message.clock or line.clock
                        line.send(prepare(message))
                    case Begin() if assignment is not None:
                        part = await Part.begin(assignment, message, line.clock, line.send)
                    case StageOrder() if part is not None:
                        tasks.start_soon(part.run, message)
                    case Go() if part is not None:
                        part.go(message.at_ns)
                    case StopStage() if part is not None:
                        part.stop(message.reason, early=message.early)
                    case ConfigurationLost() if part is not None:
                        part.lose(message.configuration, message.reason)
                    case Finish():
                        if part is not None:
                            part.status = message.status
                        break
            tasks.cancel_scope.cancel()
    except* Exception as group:
        error = first_error(group)
        folder = part.folder if part is not None else Path.cwd()
        line.send(Trouble(str(in_words(error, folder) if part is not None else error)))
        if part is not None:
            part.status = "ended-early"
    finally:
        if part is not None:
            part.close()
    line.send(Finished())


def _hand_over(loop: asyncio.AbstractEventLoop, inbox: asyncio.Queue[object], message: object) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody listens any more
        loop.call_soon_threadsafe(inbox.put_nowait, message)


if __name__ == "__main__":
    main(int(sys.argv[1]))
