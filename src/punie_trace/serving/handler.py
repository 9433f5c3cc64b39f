"""One HTTP request: its body is bounded and checked, its call traced, and whatever goes wrong is answered in words.

The answer's form, streamed or whole, is mlx_lm's (`mlx_lm_adapter.CompletionHandler`). Errors have the form
`{"error": "text"}`, with the status that says whose mistake it was.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, urlsplit

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from punie_trace.serving.access import check_local
from punie_trace.serving.call import Call, now_ns
from punie_trace.serving.generator import TracedGenerator
from punie_trace.serving.http_server import BoundedServer
from punie_trace.serving.mlx_lm_adapter import DEFAULT_MODEL, CompletionHandler
from punie_trace.serving.refusal import ClientGoneError, GenerationError, RefusedError
from punie_trace.serving.request_body import CHAT_PATHS, TEXT_PATHS, Body, check_body, parse_body
from punie_trace.serving.speculation import requested
from punie_trace.serving.state import MOST_BODY_BYTES, ServerState
from punie_trace.serving.timings import timings
from punie_trace.spans import names
from punie_trace.spans.codec import to_line

HEAD_S: Final = 15.0
"""The longest that a connection may be silent before its request's head is there."""
CLIENT_S: Final = 60.0
"""The longest that a client may take to send the next piece of its body, or to read the next piece of an answer."""
FORGET_S: Final = 30.0
"""The longest wait for a request that is being decoded alone, before its server can forget."""
_SPANS_WAIT_S: Final = 2.0
_DRAIN_S: Final = 1.0
_DRAIN_BYTES: Final = 1 << 20
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
_propagator: Final = TraceContextTextMapPropagator()
_log = logging.getLogger(__name__)


class TracedHandler(CompletionHandler):
    """One connection, which is one request: HTTP/1.0, as mlx_lm has it."""

    response_generator: TracedGenerator
    server_version = "punie-trace"
    timeout = HEAD_S

    def __init__(self, state: ServerState, *args: Any, **kwargs: Any) -> None:
        self.state = state
        self.call: Call | None = None
        self._streaming = False
        self._arrived_ns = 0
        self._path = self._query = ""
        super().__init__(state.generator, *args, system_fingerprint=state.fingerprint, **kwargs)

    def do_GET(self) -> None:  # noqa: N802
        """Health, metrics, identity, spans, and the model that is served."""
        self._answer_by(
            {
                "/health": self._health,
                "/metrics": self._metrics,
                "/identity": self._identity,
                "/spans": self._spans,
                "/v1/models": self.handle_models_request,
            }
        )

    def do_POST(self) -> None:  # noqa: N802
        """A completion, if it is let in; or to forget."""
        self._answer_by({**dict.fromkeys((*CHAT_PATHS, *TEXT_PATHS), self._completion), "/forget": self._forget})

    def do_OPTIONS(self) -> None:  # noqa: N802
        """What a browser asks before it lets a page ask."""
        self._answer_by({}, anything=lambda: self._answer(204, "", "text/plain"))

    def _answer_by(self, answers: dict[str, Callable[[], None]], anything: Callable[[], None] | None = None) -> None:
        """Answer what stands for the path, for those who may ask; whatever is wrong with the request is said."""
        self._arrived_ns = now_ns()
        self.connection.settimeout(CLIENT_S)
        try:
            url = self._url()
            for host in (*self.headers.get_all("Host", []), *([url.netloc] if url.netloc else [])):
                self.state.access.check(host, None)
            self.state.access.check(None, self.headers.get("Origin"))
            self._path, self._query = url.path, url.query
            answer = answers.get("/v1/models" if url.path.startswith("/v1/models/") else url.path, anything)
            if answer is None:
                raise RefusedError(404, f"there is nothing at {ascii(url.path)[1:201]} for {self.command}")
            if self.command != "POST":
                self._whole()
            answer()
        except RefusedError as error:
            self.state.metrics.refused(error.status)
            self._answer_error(error.status, str(error))

    def _forget(self) -> None:
        """Empty stores and prompt caches, for whoever asks from this machine."""
        self._whole()
        check_local(self.client_address[0])
        forgotten = self.state.generator.forget(FORGET_S)
        self._answer(
            200 if forgotten.done else 202,
            json.dumps({"forgotten": forgotten.done, "open_requests": forgotten.open}),
            "application/json",
        )

    def _whole(self) -> None:
        """The request is here whole: from now on its connection is no longer a silent one."""
        assert isinstance(self.server, BoundedServer)
        self.server.request_is_whole(self.connection)

    def _url(self) -> SplitResult:
        try:
            return urlsplit(self.path)
        except ValueError as error:
            raise RefusedError(400, f"the address cannot be read: {error}") from None

    def _completion(self) -> None:
        """Read, check and answer a request for text. Raises `RefusedError` for one that is not let in."""
        size = self._body_size()
        if not self.state.bodies.enter(size):
            raise RefusedError(503, f"the bodies of other requests hold {MOST_BODY_BYTES >> 20} MiB; come again")
        try:
            raw = self._read_body(size)
            self._whole()
            self._answer_completion(check_body(parse_body(raw), self._path))
        finally:
            self.state.bodies.leave(size)

    def _answer_completion(self, body: Body) -> None:
        call = self.call = self._open_call(body)
        try:
            self.complete(body, chat=self._path in CHAT_PATHS, call=call)
        except RefusedError as error:
            call.fail("refused", error.status, str(error))
            self._answer_error(error.status, str(error))
        except (ClientGoneError, ConnectionError, TimeoutError) as error:
            call.fail("client_gone", 499, str(error) or type(error).__name__)
            self.close_connection = True
        except Exception as error:
            self._break_off(error)
        finally:
            call.done_ns = now_ns()
            self.state.finish(call)

    def finish_response(self, response: dict[str, Any]) -> None:
        """Add `timings` where they were asked for."""
        if self.call is not None and self.call.timings:
            response["timings"] = timings(self.call)

    def handle_models_request(self) -> None:
        """The model that is served, and no other: what the machine's hub cache holds is nobody's business here."""
        served = self.state.model_name
        listed = [{"id": served, "object": "model", "created": self.created}] if served else []
        self._answer(200, json.dumps({"object": "list", "data": listed}), "application/json")

    def status_of(self, status: int) -> int:
        """What the call itself knows of its failure."""
        call = self.call
        return call.status if call is not None and call.outcome != "done" and status >= 400 else status

    def send_access_headers(self) -> None:
        """Let a page of an origin that is allowed read the answer."""
        origin = self.headers.get("Origin") if self.headers is not None else None
        if origin is not None and self.state.access.readable_by(origin):
            self.send_header("Access-Control-Allow-Origin", origin)
            self.send_header("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
            self.send_header("Access-Control-Allow-Headers", self.headers.get("Access-Control-Request-Headers", "*"))
        self.send_header("Vary", "Origin")

    def stream_begins(self) -> None:
        """Whatever goes wrong from here on is a part of the stream."""
        self._streaming = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server names it so
        """To the log and not to stderr; what the client wrote is made harmless."""
        _log.info("%s %s", self.address_string(), ascii(format % args)[1:-1])

    def _body_size(self) -> int:
        length = self.headers.get("Content-Length")
        if length is None:
            raise RefusedError(411, "Content-Length is required; send the body whole, not in chunks")
        if not re.fullmatch(r"[0-9]{1,18}", length):
            raise RefusedError(400, "Content-Length is no number")
        size, most = int(length), self.state.max_body_bytes
        if size > most:
            raise RefusedError(413, f"the body has {size} bytes, and {most} are the most (--max-body-bytes)")
        return size

    def _read_body(self, size: int) -> bytes:
        try:
            raw = self.rfile.read(size)
        except TimeoutError:
            raise RefusedError(408, f"the body stood still for {CLIENT_S:g} s") from None
        if len(raw) != size:
            raise RefusedError(400, f"the body ended after {len(raw)} of {size} bytes")
        return raw

    def _open_call(self, body: Body) -> Call:
        """Raises `RefusedError`; an open call must be finished."""
        speculation = requested(body, self.state.default, has_draft_model=self.state.has_draft_model)
        salt = body.get("cache_salt")
        call = Call(
            arrived_ns=self._arrived_ns,
            operation="chat" if self._path in CHAT_PATHS else "text_completion",
            model=str(body.get("model", DEFAULT_MODEL)),
            speculation=speculation,
            timings=body.get("timings") is True,
            cache_salt=salt if isinstance(salt, str) else None,
            parent=_propagator.extract(dict(self.headers.items()), context=Context(), getter=_LowerCase()),
            connection=self.connection,
        )
        if not self.state.begin(call, get_current_span(call.parent).get_span_context().trace_id):
            raise RefusedError(
                503, f"{self.state.generator.admission.limit} requests are open already (--max-requests); come again"
            )
        return call

    def _break_off(self, error: Exception) -> None:
        """Say what went wrong, in whatever form the answer has by now."""
        call = self.call
        if call is not None:
            call.fail("failed", 500, f"{type(error).__name__}: {error}")
        # What failed in the thread that generates was logged there, with its traceback.
        level = logging.INFO if call is not None and call.ending else logging.ERROR
        _log.log(level, "A request failed: %s", error, exc_info=None if isinstance(error, GenerationError) else error)
        try:
            if self._streaming:
                self.wfile.write(f"data: {json.dumps({'error': str(error)})}\n\n".encode())
                self.wfile.flush()
            else:
                self._headers_buffer = []  # mlx_lm had begun to say 200, and nothing of it was sent
                self._answer_error(500, str(error))
        except (OSError, ValueError):
            self.close_connection = True

    def _answer_error(self, status: int, message: str) -> None:
        if status in (413, 503):
            self._drain()
        self._answer(
            status, json.dumps({"error": message}), "application/json", {"Retry-After": "1"} if status == 503 else {}
        )

    def _answer(self, status: int, body: str | bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        data = body.encode("utf-8") if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_access_headers()
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _drain(self) -> None:
        """Read some of what the client still sends: closing on it would take the answer from it as well."""
        deadline, left = time.monotonic() + _DRAIN_S, _DRAIN_BYTES
        try:
            self.connection.settimeout(_DRAIN_S / 4)
            while left > 0 and time.monotonic() < deadline and (piece := self.connection.recv(65536)):
                left -= len(piece)
        except OSError:
            pass
        finally:
            self.connection.settimeout(CLIENT_S)

    def _metrics(self) -> None:
        self._answer(200, self.state.metrics_text(), "text/plain; version=0.0.4; charset=utf-8")

    def _identity(self) -> None:
        self._answer(200, json.dumps(self.state.identity()), "application/json")

    def _health(self) -> None:
        healthy = self.state.generator.is_healthy
        self._answer(
            200 if healthy else 503, json.dumps({"status": "ok" if healthy else "unavailable"}), "application/json"
        )

    def _spans(self) -> None:
        trace_id = parse_qs(self._query).get("trace_id", [""])[0]
        if not _TRACE_ID.fullmatch(trace_id):
            raise RefusedError(400, "trace_id must be 32 lower-case hexadecimal digits")
        spans = self.state.spans.take(int(trace_id, 16), _SPANS_WAIT_S)
        clock = self.state.clock
        anchors = f"{clock.anchor_wall_ns},{clock.anchor_monotonic_ns}"
        self._answer(200, b"".join(map(to_line, spans)), "application/x-ndjson", {names.CLOCK_HEADER: anchors})


class _LowerCase(Getter[dict[str, str]]):
    """Header names have no case; the propagator asks for them in lower case."""

    def get(self, carrier: dict[str, str], key: str) -> list[str] | None:
        found = [value for name, value in carrier.items() if name.lower() == key]
        return found or None

    def keys(self, carrier: dict[str, str]) -> list[str]:
        return [name.lower() for name in carrier]
