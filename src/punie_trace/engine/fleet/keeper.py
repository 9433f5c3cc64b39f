"""Keeps one server on a node of a cluster: start, readiness, identity, memory, stop, as on the runner's machine.

    python -m punie_trace.engine.fleet.keeper FD

It listens at the node's own address where the configuration names none, so that generators elsewhere reach it. It ends
with the runner, and with it the server.
"""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import anyio

from punie_trace.engine.fleet.clock_identity import clock_id
from punie_trace.engine.fleet.line import EOF, Line
from punie_trace.engine.fleet.messages import (
    CloseServer,
    OpenServer,
    ServerClosed,
    ServerFailed,
    ServerMemory,
    ServerOpened,
    ServerState,
)
from punie_trace.engine.unexpected import first_error
from punie_trace.errors import PunieTraceError
from punie_trace.servers.config import ServerConfig, Startable
from punie_trace.servers.kinds import UrlConfig
from punie_trace.servers.server import Server, open_server

LOOK_S = 0.5


def main(descriptor: int) -> None:
    """Serve one runner until it closes the server, or is gone."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the runner's end closes the connection, and that the server
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Connection(descriptor) as connection:
        line = Line(connection)
        anyio.run(partial(_serve, line))
        line.close()


async def _serve(line: Line) -> None:
    inbox = line.inbox()
    order = await inbox.get()
    if not isinstance(order, OpenServer):
        return
    try:
        async with AsyncExitStack() as stack:
            log = Path(order.folder) / f"{order.name}.log"
            context = open_server(
                listening_here(order.config),
                log_path=log,
                timeouts=order.timeouts,
                on_state=lambda text: line.send(ServerState(text)),
                hidden=order.hidden,
            )
            server = await stack.enter_async_context(context)
            line.send(ServerOpened(replace(server, process=None, sampler=None), clock_id()))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_look, server, line)
                while (message := await inbox.get()) is not EOF and not isinstance(message, CloseServer):
                    pass
                tasks.cancel_scope.cancel()
    except* Exception as group:
        error = first_error(group)
        code = error.exit_code if isinstance(error, PunieTraceError) else 4
        line.send(ServerFailed(str(error) or type(error).__name__, "", code))
    line.send(ServerClosed())


async def _look(server: Server, line: Line) -> None:
    """Tell of its memory, and once that it has died."""
    while (failure := server.failure()) is None:
        if (reading := server.memory()) is not None:
            line.send(ServerMemory(reading))
        await anyio.sleep(LOOK_S)
    line.send(ServerFailed(failure, server.log_tail()))


def listening_here(config: ServerConfig) -> Startable:
    """The configuration for this node: at its own address, where none was given."""
    if isinstance(config, UrlConfig):
        raise TypeError("a server that already runs is placed nowhere")
    changes: dict[str, object] = {"node": None}
    if "host" not in config.model_fields_set:
        changes["host"] = own_address()
    return config.model_copy(update=changes)


def own_address() -> str:
    """The address by which other hosts reach this one; loopback's where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        try:
            found.connect(("192.0.2.1", 9))  # nothing is sent: it only chooses the way (an address for documentation)
            return str(found.getsockname()[0])
        except OSError:
            return "127.0.0.1"


if __name__ == "__main__":
    main(int(sys.argv[1]))
