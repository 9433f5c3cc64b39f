"""The process in which evaluators run: what they do, raise or never finish is theirs, and no query's time.

    python -m punie_trace.suite.evaluator_process FD

Messages go both ways over the socket FD, pickled by `multiprocessing.connection`: a `Setup`, answered by `Ready` or a
text that says what is wrong; then each `Request` by a tuple of `Evaluation`. The end of the socket is the end of the
process.
"""

from __future__ import annotations

import asyncio
import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from punie_trace.errors import PunieTraceError
from punie_trace.suite.evaluator_messages import Ready, Request, Setup
from punie_trace.user_code import import_from

_NICENESS = 10


def main(descriptor: int) -> None:
    """Serve one connection until it ends."""
    os.nice(_NICENESS)  # what is measured meanwhile goes first
    with Connection(descriptor) as connection:
        try:
            _serve(connection)
        except (EOFError, OSError):
            return


def _serve(connection: Connection) -> None:
    setup: Setup = connection.recv()
    import_from(map(Path, setup.folders))
    try:
        from punie_trace.suite.evaluators import make_evaluators

        cases = make_evaluators(setup.dataset, setup.references, setup.name)
    except PunieTraceError as error:
        connection.send(str(error))
        return
    connection.send(Ready(tuple(case.limits() for case in cases)))
    with asyncio.Runner() as runner:  # one loop for all, as clients of a judge's model hold on to theirs
        while True:
            request: Request = connection.recv()
            connection.send(runner.run(cases[request.case].run(request.number, request.finished)))


if __name__ == "__main__":
    main(int(sys.argv[1]))
