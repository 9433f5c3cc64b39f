"""`serve`: mlx_lm's flags and ours become a server that listens, answers, and ends without leaving anything behind.

The main thread listens, one thread generates, and each connection has a thread of its own.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Final, NoReturn

import mlx.core as mx

from punie_trace.errors import ConfigurationError, ServerError
from punie_trace.serving import mlx_lm_adapter
from punie_trace.serving.access import access
from punie_trace.serving.admission import Admission
from punie_trace.serving.generator import TracedGenerator
from punie_trace.serving.handler import TracedHandler
from punie_trace.serving.http_server import BoundedServer
from punie_trace.serving.models import ServedModels
from punie_trace.serving.prompt_caches import ExactPromptCaches
from punie_trace.serving.server_spans import server_resource
from punie_trace.serving.span_buffer import SpanBuffer
from punie_trace.serving.speculation import server_default
from punie_trace.serving.state import ServerState
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.otlp_sender import connect
from punie_trace.spans.provider import ClockTracerProvider
from punie_trace.speculative.request import Memory

SPARE_CONNECTIONS: Final = 64
"""Connections beyond the requests that may be open: for health, metrics, spans, and for saying 'come again'."""
SILENT_CONNECTIONS: Final = 256
"""Connections whose request has not come yet."""
_JOIN_S: Final = 5.0
_NO_ORIGINS: Final = "--allowed-origins="
"""Stands before the flags that were given, one of which may say otherwise: mlx_lm's own default is every origin."""
_NO_LIMIT: Final = 1 << 63
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator allows beyond the least: names of the server beside loopback's, and models that requests may
    have it load ('*' for any)."""

    hosts: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What `punie-trace serve` takes beyond mlx_lm's flags. Sizes in bytes."""

    drafter: str | None = None
    adaptive: bool = False
    memory: Memory = "conversation"
    max_draft_memory: int | None = None
    otlp: str = "auto"
    max_requests: int = 256
    max_body_bytes: int = 16 << 20
    allowed: Allowed = field(default_factory=Allowed)


def serve(arguments: Sequence[str], options: ServeOptions) -> NoReturn:
    """Serve until told to end (SIGINT, SIGTERM or SIGHUP), then end the process with 0.

    `arguments` are flags of `mlx_lm.server`. Raises `ConfigurationError` for what cannot be, `ServerError` where the
    port or the model cannot be had.
    """
    host, port, args = read_flags(arguments)
    with running(host, port, args, options) as (server, failure), _signals(server):
        server.serve_forever(poll_interval=0.1)
    if failure:
        raise ServerError(f"the model cannot be served: {failure[0]}")
    # All is written and closed. The interpreter's own end is left out: it would wait for a thread in the middle of a
    # long step, and mlx aborts a process (SIGABRT) where a thread that computed has not let go of its streams.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def read_flags(arguments: Sequence[str]) -> tuple[str, int, argparse.Namespace]:
    """Host, port and all flags as mlx_lm's own parser reads them. Ends the process with its usage where it does not."""
    host, port, args = mlx_lm_adapter.read_flags([_NO_ORIGINS, *arguments], "punie-trace serve")
    if mx.distributed.init().size() > 1:
        raise ConfigurationError("serve runs on one machine; start it without mlx.launch")
    return host, port, args


@contextmanager
def running(
    host: str, port: int, args: argparse.Namespace, options: ServeOptions
) -> Generator[tuple[BoundedServer, list[str]]]:
    """A server that is bound and loads its model; its owner calls `serve_forever`. All of it is gone afterwards.

    The list fills with one text where the thread that generates dies; then the server has been told to end.
    """
    sender = connect(options.otlp)
    clock = Clock.start()
    spans = SpanBuffer()
    provider = ClockTracerProvider(clock, server_resource(f"{os.getpid()}"))
    provider.add_sink(spans)
    if sender is not None:
        provider.add_sink(sender)
        _log.info("Spans go to %s", sender.endpoint)
    failure: list[str] = []
    opened: list[BoundedServer] = []
    bound = threading.Event()

    def died(why: str) -> None:
        failure.append(why)
        if bound.wait(_JOIN_S) and opened:
            opened[0].shutdown()

    draft_model = args.draft_model
    default = server_default(
        drafter=options.drafter,
        adaptive=options.adaptive,
        num_draft_tokens=args.num_draft_tokens,
        has_draft_model=draft_model is not None,
        memory=options.memory,
    )
    models = ServedModels(args, options.max_draft_memory, options.allowed.models)
    caches = ExactPromptCaches(args.prompt_cache_size, args.prompt_cache_bytes or _NO_LIMIT)
    try:
        server = _bind(host, port, options)
    except OSError as error:
        raise ServerError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port"
        ) from error
    generator = TracedGenerator(models, caches, Admission(options.max_requests), died)
    state = ServerState(
        generator,
        default,
        clock,
        provider.get_tracer(names.SERVER_SERVICE),
        spans,
        options.max_body_bytes,
        access(host, options.allowed.hosts, filter(None, args.allowed_origins)),
    )
    server.RequestHandlerClass = partial(TracedHandler, state)
    opened.append(server)
    bound.set()
    try:
        yield server, failure
    finally:
        generator.stop_all()
        server.server_close()
        generator.wait(_JOIN_S)
        server.wait_until_idle(_JOIN_S)
        if sender is not None:
            sender.close()


def _bind(host: str, port: int, options: ServeOptions) -> BoundedServer:
    return BoundedServer(host, port, TracedHandler, options.max_requests + SPARE_CONNECTIONS, SILENT_CONNECTIONS)


@contextmanager
def _signals(server: BoundedServer) -> Generator[None]:
    """SIGINT, SIGTERM and a closed terminal end the server; a second one ends the process at once."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        signal.signal(number, signal.SIG_DFL)
        # `shutdown` waits for the loop that this very thread runs.
        threading.Thread(target=server.shutdown, daemon=True).start()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(ValueError):
                signal.signal(number, handler)


def parse_size(text: str) -> int:
    """Bytes of '200MB', '1.5 GB' or '4096'. Raises `ConfigurationError`."""
    units = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
    digits = text.strip().rstrip("BGIKMbgikm ")
    unit = text.strip()[len(digits) :].strip().upper()
    try:
        size = int(float(digits) * units[unit])
    except (ValueError, KeyError, OverflowError):
        size = 0
    if size <= 0:
        raise ConfigurationError(f"{text!r} is no size; write it like 200MB or 1.5GB")
    return size
