"""A server of known latency: it streams at set times, and writes down when it really did. Public API.

It is what a client's timing error is measured against (`bench/accuracy.py`, or any other client of OpenAI's API). In
process: ``async with known_latency_server(KnownLatency(first_s=0.05)) as server`` gives its `base_url` and its
`truth`. As a program, on a core of its own, for kind `command`:
``python -m punie_trace.testing.known_latency --port {port} --first-ms 50 --truth FILE.jsonl``.

It shares its answers with the scripted server (`fake`), but keeps connections open and answers them all in one thread,
from bytes that were made before: a thousand requests a second cost it less than one core. It runs no model and checks
no request.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final, NoReturn

from pydantic import ValidationError

from punie_trace.driver.precise_loop import new_event_loop
from punie_trace.testing.fake_answer import JsonObject
from punie_trace.testing.known_latency_answer import KnownLatency, Piece, Truth, rendered
from punie_trace.testing.known_latency_connection import Connection

__all__ = ["KnownLatency", "KnownLatencyServer", "Truth", "known_latency_server", "main"]

_KNOWN_BODIES: Final = 64


class KnownLatencyServer:
    """A running server. Made by `known_latency_server`, or by `main` for a process of its own."""

    def __init__(self, settings: KnownLatency, on_truth: Callable[[Truth], None] | None = None) -> None:
        self.settings = settings
        self.truth: list[Truth] = []
        """Every request that is over, where nobody else takes them."""
        self.connections = 0
        """How many were opened so far."""
        self.address = ("", 0)
        self._take = on_truth or self.truth.append
        self._random = random.Random(settings.seed)
        self._ids = 0
        self._server: asyncio.Server | None = None
        self._open: set[Connection] = set()
        self._known: dict[tuple[str, str, bool, bool], tuple[Piece, ...]] = {}

    @property
    def base_url(self) -> str:
        """'http://host:port/v1'."""
        return f"http://{self.address[0]}:{self.address[1]}/v1"

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen from now on, in the running event loop."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)
        self.address = self._server.sockets[0].getsockname()[:2]

    def close(self) -> None:
        """Stop listening, and cut what is open."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._open):
            connection.abort()

    def opened(self, connection: Connection) -> None:
        """Note a connection."""
        self.connections += 1
        self._open.add(connection)

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open.discard(connection)

    def decide(self, body: JsonObject, traceparent: str | None, head_ns: int, body_ns: int) -> Truth:
        """What a request gets."""
        self._ids += 1
        truth = Truth(self._ids, traceparent, head_ns, body_ns)
        settings = self.settings
        if 1 in (body.get("max_tokens"), body.get("max_completion_tokens")):
            truth.kind = "probe"
        elif settings.fail_share and self._random.random() < settings.fail_share:
            truth.kind = "failed"
        elif settings.cut_share and self._random.random() < settings.cut_share:
            truth.kind = "cut"
        elif settings.tool is not None and not _tool_answered(body):
            truth.kind = "tool"
        elif body.get("stream") is not True:
            truth.kind = "whole"
        return truth

    def varied(self, seconds: float) -> float:
        """A delay with its jitter."""
        jitter = self.settings.jitter
        return seconds * self._random.uniform(1 - jitter, 1 + jitter) if jitter else seconds

    def pieces(self, kind: str, model: str, stream: bool, usage: bool) -> tuple[Piece, ...]:
        """The bytes of an answer with the waits between them, made once for each kind of request."""
        key = (kind, model, stream, usage)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _KNOWN_BODIES:  # whoever names a new model each time shall not fill the memory
                self._known.clear()
            known = self._known[key] = rendered(self.settings, *key)
        return known

    def finished(self, truth: Truth) -> None:
        """A request is over."""
        self._take(truth)


@asynccontextmanager
async def known_latency_server(
    settings: KnownLatency | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncGenerator[KnownLatencyServer, None]:
    """A server in this event loop (asyncio), closed on the way out. To measure, give it a process: it takes a core."""
    server = KnownLatencyServer(settings or KnownLatency())
    await server.start(host, port)
    try:
        yield server
    finally:
        server.close()
        await asyncio.sleep(0)  # the transports close in the next turn of the loop


def _tool_answered(body: JsonObject) -> bool:
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, dict) and last.get("role") == "tool"


async def _serve(server: KnownLatencyServer, host: str, port: int, flush: Callable[[], object]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await server.start(host, port)
    gc.freeze()  # what was imported is no garbage, and looking at it again would be a pause
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.5)
        flush()
    server.close()
    await asyncio.sleep(0)
    flush()


def main() -> NoReturn:
    """Run as a program, until TERM."""
    parser = argparse.ArgumentParser(
        prog="python -m punie_trace.testing.known_latency", description="A server that streams at set times."
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--first-ms", type=float, default=50.0, help="to the first chunk")
    parser.add_argument("--between-ms", type=float, default=10.0, help="from one chunk to the next")
    parser.add_argument("--jitter", type=float, default=0.0, help="share by which each delay varies, 0 to 1")
    parser.add_argument("--chunks", type=int, default=16, help="chunks with text in each answer")
    parser.add_argument("--tool", help="call this tool before the answer")
    parser.add_argument("--tool-arguments", default="{}", help="its arguments, as JSON")
    parser.add_argument("--fail", type=float, default=0.0, help="share of requests that get status 500")
    parser.add_argument("--cut", type=float, default=0.0, help="share of requests cut off in the middle")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--truth", type=Path, help="append each request's times to this file, a JSON object a line")
    given = parser.parse_args()
    try:
        settings = KnownLatency(
            first_s=given.first_ms / 1e3,
            between_s=given.between_ms / 1e3,
            jitter=given.jitter,
            chunks=given.chunks,
            tool=given.tool,
            tool_arguments=json.loads(given.tool_arguments),
            fail_share=given.fail,
            cut_share=given.cut,
            seed=given.seed,
        )
        truth = given.truth.open("a", encoding="ascii") if given.truth is not None else None
    except ValidationError as error:
        parser.error("; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors(include_url=False)))
    except (ValueError, OSError) as error:
        parser.error(str(error))

    def write(one: Truth) -> None:
        if truth is not None:
            truth.write(json.dumps(asdict(one), separators=(",", ":")) + "\n")

    def flush() -> None:
        if truth is not None:
            truth.flush()

    server = KnownLatencyServer(settings, write)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(server, given.host, given.port, flush))
    sys.exit(0)


if __name__ == "__main__":
    main()
