"""One load generator: a process that drives its share of a run and writes its part, as its runner tells it.

    python -m punie_trace.engine.fleet.generator FD

Messages go both ways over the socket FD, pickled by `multiprocessing.connection`; the runner's end is the end of the
process. What is measured is written here before any of it is told. Signs of life carry only what a display and the
limits of the run need.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import anyio

from punie_trace.driver.precise_loop import new_event_loop
from punie_trace.engine.fleet.clock_identity import clock_id
from punie_trace.engine.fleet.line import EOF, Line
from punie_trace.engine.fleet.messages import (
    Assignment,
    Begin,
    ConfigurationLost,
    Finish,
    Finished,
    Go,
    Hello,
    StageOrder,
    StopStage,
    Trouble,
)
from punie_trace.engine.fleet.part import Part
from punie_trace.engine.fleet.preparation import prepare
from punie_trace.engine.machine import read_versions
from punie_trace.engine.unexpected import first_error, in_words
from punie_trace.user_code import import_from


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
    inbox = line.inbox()
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
        line.send(Trouble(str(in_words(error, folder, part.writer.secrets) if part is not None else error)))
        if part is not None:
            part.status = "ended-early"
    finally:
        if part is not None:
            part.close()
    line.send(Finished())


if __name__ == "__main__":
    main(int(sys.argv[1]))
