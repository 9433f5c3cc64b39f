"""A scripted OpenAI-compatible server, for tests and for trying things out without a model. Public API.

In process: ``async with fake_server(Script(replies=(Reply(steps=(Text(text="hello"),)),))) as server`` gives a
`FakeServer` with its `base_url`. As a program, for kind `command`:
``python -m punie_trace.testing.fake --port {port} --script FILE.json [--record FILE.jsonl]``.

Real HTTP on loopback, a connection for each request as mlx_lm has it. It runs no model and checks no request; what it
keeps is its own truth: every request with the times at which it came and at which each chunk went out.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn, TextIO

import anyio
from pydantic import TypeAdapter, ValidationError

from punie_trace.errors import ConfigurationError
from punie_trace.testing.fake_answer import Answer, JsonObject, ReceivedRequest, ScriptedCutError
from punie_trace.testing.fake_script import (
    Cut,
    Die,
    Hang,
    Keepalive,
    Raw,
    Reasoning,
    Reply,
    Rule,
    Script,
    Step,
    Text,
    ToolCall,
    Usage,
)

__all__ = [
    "Cut",
    "Die",
    "FakeServer",
    "Hang",
    "Keepalive",
    "Raw",
    "Reasoning",
    "ReceivedRequest",
    "Reply",
    "Rule",
    "Script",
    "Step",
    "Text",
    "ToolCall",
    "Usage",
    "fake_server",
]

_BODY: TypeAdapter[JsonObject] = TypeAdapter(JsonObject)
_PROBE_REPLY = Reply(steps=(Text(text="."),), finish_reason="length")
_OFF_SCRIPT = Reply(status=500, error="the script has no reply left")


class FakeServer:
    """A running fake. Made by `fake_server`; `requests` and `probes` hold the truth so far."""

    def __init__(self, script: Script, host: str = "127.0.0.1", port: int = 0, record: TextIO | None = None) -> None:
        self.script = script
        self.requests: list[ReceivedRequest] = []
        self.probes: list[ReceivedRequest] = []
        self._record = record
        self._lock = threading.Lock()
        self._used = 0
        self.closing = threading.Event()
        self._http = _Http(self, host, port)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="fake-server", daemon=True)
        self.host: str = host
        self.port: int = self._http.server_address[1]

    @property
    def base_url(self) -> str:
        """'http://host:port/v1'."""
        return f"http://{self.host}:{self.port}/v1"

    def start(self) -> None:
        """Answer from now on, in threads."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering; what hangs or waits is let go."""
        self.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.let_go()
        self._http.server_close()

    def take(self, request: ReceivedRequest) -> Reply:
        """Note a request, and decide what it gets."""
        with self._lock:
            (self.probes if request.probe else self.requests).append(request)
            if request.probe:
                return _PROBE_REPLY
            for rule in self.script.rules:
                if _fits(rule, request.body):
                    return rule.reply
            replies = self.script.replies
            if not replies or (self._used >= len(replies) and self.script.after_last == "error"):
                return _OFF_SCRIPT
            self._used += 1
            return replies[(self._used - 1) % len(replies)]

    def finish(self, request: ReceivedRequest) -> None:
        """Write down what became of a request, where a record is kept."""
        if self._record is not None:
            with self._lock:
                self._record.write(json.dumps(asdict(request)) + "\n")
                self._record.flush()


@asynccontextmanager
async def fake_server(script: Script, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[FakeServer, None]:
    """A fake in this process, closed on the way out. Raises ConfigurationError for what only a program can do."""
    if script.needs_process:
        msg = "this script ends or hardens its own process: start the fake as a program instead (kind 'command')"
        raise ConfigurationError(msg)
    server = FakeServer(script, host, port)
    server.start()
    try:
        yield server
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(server.close)


class _Http(ThreadingHTTPServer):
    daemon_threads = False  # joined on close, so that no thread outlives its test
    request_queue_size = 128

    def __init__(self, fake: FakeServer, host: str, port: int) -> None:
        self.fake = fake
        self.open: set[socket.socket] = set()
        super().__init__((host, port), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """As the base class, noting the connection."""
        connection, address = super().get_request()
        self.open.add(connection)
        return connection, address

    def close_request(self, request: Any) -> None:
        """As the base class, forgetting the connection."""
        self.open.discard(request)
        super().close_request(request)

    def let_go(self) -> None:
        """Wake every thread that waits for its client."""
        for connection in tuple(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of the plan; anything else is shown."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection: `Stage` for its answer."""

    disable_nagle_algorithm = True  # a chunk leaves when the script says so

    def do_GET(self) -> None:
        """Health and models."""
        script = self._fake.script
        self._startup()
        if self.path == "/health":
            self._json(200, {"status": "ok"})
        elif self.path == "/v1/models":
            self._json(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in script.models]})
        else:
            self._json(404, {"error": "not found"})

    def do_POST(self) -> None:
        """Chat completions."""
        received = time.monotonic_ns()
        self._startup()
        try:
            # As mlx_lm reads it: half of a surrogate pair is taken, which pydantic's reader of JSON refuses.
            body = _BODY.validate_python(json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0")))))
        except ValueError:  # pydantic's ValidationError is one
            self._json(400, {"error": "the body is not a JSON object"})
            return
        if self.path not in {"/v1/chat/completions", "/chat/completions"}:
            self._json(404, {"error": "not found"})
            return
        probe = 1 in (body.get("max_tokens"), body.get("max_completion_tokens"))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = ReceivedRequest(body, received, probe, headers)
        reply = self._fake.take(request)
        try:
            Answer(self, self._fake.script, request, reply).send()
            request.done_ns = time.monotonic_ns()
        finally:
            self._fake.finish(request)

    def start(self, status: int, content_type: str, length: int | None) -> None:
        """Send status and headers."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def write(self, data: bytes) -> None:
        """Send bytes; unbuffered."""
        self.wfile.write(data)

    def pause(self, seconds: float | None) -> None:
        """Wait, but not beyond the server's close."""
        if seconds != 0:
            self._fake.closing.wait(seconds)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Nothing: the truth is in `requests`."""

    @property
    def _fake(self) -> FakeServer:
        assert isinstance(self.server, _Http)
        return self.server.fake

    def _startup(self) -> None:
        startup = self._fake.script.startup
        if startup == "mute":
            self.pause(None)
            raise ScriptedCutError
        if startup == "error":
            self._json(500, {"error": "scripted error"})
            raise ScriptedCutError

    def _json(self, status: int, content: JsonObject) -> None:
        payload = json.dumps(content).encode()
        self.start(status, "application/json", len(payload))
        self.write(payload)


def _fits(rule: Rule, body: JsonObject) -> bool:
    messages = body.get("messages")
    said = [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []
    users = [number for number, message in enumerate(said) if message.get("role") == "user"]
    if not users:
        return False
    turn = sum(message.get("role") == "assistant" for message in said[users[-1] :])
    return rule.contains in json.dumps(said[users[-1]].get("content"), ensure_ascii=False) and rule.turn in (None, turn)


def main() -> NoReturn:
    """Run as a program, until TERM."""
    parser = argparse.ArgumentParser(prog="python -m punie_trace.testing.fake", description="A scripted fake server.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--script", type=Path, help="a JSON file with a Script; without it every answer is 'ok'")
    parser.add_argument("--record", type=Path, help="append what was asked and when it was answered, a JSON a line")
    arguments = parser.parse_args()
    script = Script(replies=(Reply(steps=(Text(text="ok"),)),))
    if arguments.script is not None:
        try:
            script = Script.model_validate_json(arguments.script.read_bytes())
        except (OSError, ValidationError) as error:
            parser.error(f"--script {arguments.script}: {error}")
    if script.ignores_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if script.says:
        print(script.says, flush=True)  # noqa: T201 - it is what the script asks for
    time.sleep(script.load_s)
    if script.startup == "exit":
        sys.exit(script.exit_code)
    if script.startup == "deaf":
        threading.Event().wait()
    with suppress(KeyboardInterrupt):
        record = arguments.record.open("a") if arguments.record is not None else None
        FakeServer(script, arguments.host, arguments.port, record).start()
        threading.Event().wait()
    sys.exit(0)


if __name__ == "__main__":
    main()
