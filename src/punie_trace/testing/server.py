"""`ScriptedServer`: an OpenAI-compatible server that does what a script says, and writes down when it really did.

To try an agent without a model, to see what it makes of a server's faults, and to measure a client's timing error:

    with scripted_server(Script(replies=(Reply(steps=(Text(text="hello"),)),))) as server:
        ...  # ask server.base_url; then server.requests says what came, and when each chunk went out

`async with` does the same. It is real HTTP on loopback, in a thread and an event loop of its own, so that blocking code
can ask it too. To measure to fractions of a millisecond give it a process: `python -m punie_trace.testing`. It runs no
model and checks no request.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import anyio

from punie_trace.driver.precise_loop import new_event_loop
from punie_trace.errors import ConfigurationError
from punie_trace.testing.asked import Asked, Form, JsonObject, asked_of, rule_fits
from punie_trace.testing.connection import Connection, Kind, Received, RequestRecord, parse_object
from punie_trace.testing.known_latency import KnownLatency
from punie_trace.testing.rendering import Playback, Rendering, render_json, render_page
from punie_trace.testing.responses_rendering import ResponsesRendering
from punie_trace.testing.script import Reply, Script

_OFF_SCRIPT: Final = Reply(status=500, error="the script has no reply left")
_STARTUP_ERROR: Final = Reply(status=500, error="scripted error")
_KEPT_PLAYBACKS: Final = 256
_FORMS: Final[dict[str, Form]] = {
    "/v1/chat/completions": "chat",
    "/chat/completions": "chat",
    "/v1/responses": "responses",
    "/responses": "responses",
}
_RENDERINGS: Final[dict[Form, type[Rendering]]] = {"chat": Rendering, "responses": ResponsesRendering}


class ScriptedServer:
    """A server that follows a script, from `start` (or `with`) to `close`.

    `requests` holds a record of each completion request in the order in which they came, `probes` those that only asked
    whether it is ready, and `truth` all that are over, in the order in which they ended. Where `on_over` is given it
    gets each record when its answer has ended, and none of the three is kept.
    """

    def __init__(
        self,
        script: Script | KnownLatency,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        on_over: Callable[[RequestRecord], None] | None = None,
    ) -> None:
        self.script = script.script() if isinstance(script, KnownLatency) else script
        self.host = host
        self.port = port
        """The port that it listens on, once it has started; 0 takes a free one."""
        self.requests: list[RequestRecord] = []
        self.probes: list[RequestRecord] = []
        self.truth: list[RequestRecord] = []
        self.connections = 0
        """How many were opened so far."""
        self._tls = tls
        self._on_over = on_over
        self._random = random.Random(self.script.seed)
        self._ids = 0
        self._used = 0
        self._open: set[Connection] = set()
        self._playbacks: dict[tuple[int, Asked], Playback] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """'http://host:port/v1'."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}/v1"

    def start(self) -> None:
        """Answer from now on, in a thread of its own.

        Raises OSError where the port cannot be had, ConfigurationError for a script that needs a process of its own.
        """
        if self.script.needs_process:
            msg = "this script ends or hardens its own process: start it as a program, python -m punie_trace.testing"
            raise ConfigurationError(msg)
        listening = threading.Event()
        problems: list[OSError] = []

        async def serve() -> None:
            try:
                await self._listen()
            except OSError as error:
                problems.append(error)
                return
            finally:
                listening.set()
            await self._until_stopped()

        def work() -> None:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(serve())

        self._thread = threading.Thread(target=work, name="scripted-server", daemon=True)
        self._thread.start()
        listening.wait()
        if problems:
            raise problems[0]

    def close(self) -> None:
        """Stop listening and cut what is open; it has ended when this returns."""
        if self._loop is not None and self._stopping is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread is not None:
            self._thread.join()

    async def serve_until(self, stop: asyncio.Event) -> None:
        """Answer in the running event loop until `stop` is set. Raises OSError where the port cannot be had."""
        await self._listen()
        self._stopping = stop
        await self._until_stopped()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.close)

    # What a connection asks (`connection.Player`); all in the server's own loop.

    def opened(self, connection: Connection) -> None:
        """Note a connection."""
        self.connections += 1
        self._open.add(connection)

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open.discard(connection)

    def varied(self, seconds: float) -> float:
        """A delay with its jitter."""
        jitter = self.script.jitter
        return seconds * self._random.uniform(1 - jitter, 1 + jitter) if jitter else seconds

    def over(self, record: RequestRecord) -> None:
        """An answer has ended."""
        if self._on_over is not None:
            self._on_over(record)
        else:
            self.truth.append(record)

    def answer(self, request: Received) -> tuple[Playback, RequestRecord | None] | None:
        """What a request gets."""
        if self.script.startup == "mute":
            return None
        if self.script.startup == "error":
            return render_page(self.script, _STARTUP_ERROR), None
        if request.method == "GET":
            return self._page(request.path), None
        form = _FORMS.get(request.path)
        if request.method != "POST" or form is None:
            return render_json(self.script, 404, {"error": "not found"}), None
        body = parse_object(request.body)
        if body is None:
            return render_json(self.script, 400, {"error": "the body is not a JSON object"}), None
        return self._completion(request, body, form)

    def _page(self, path: str) -> Playback:
        script = self.script
        if path in script.pages:
            return render_page(script, script.pages[path])
        if path == "/health":
            return render_json(script, 200, {"status": "ok"})
        if path in {"/v1/models", "/models"}:
            return render_json(
                script, 200, {"object": "list", "data": [{"id": name, "object": "model"} for name in script.models]}
            )
        return render_json(script, 404, {"error": "not found"})

    def _completion(self, request: Received, body: JsonObject, form: Form) -> tuple[Playback, RequestRecord]:
        self._ids += 1
        record = RequestRecord(self._ids, request.header(b"traceparent"), request.head_ns, request.body_ns)
        if self.script.keep_bodies:
            record.body, record.headers = body, request.headers()
        probe = 1 in (body.get("max_tokens"), body.get("max_completion_tokens"))
        asked = asked_of(body, self.script.models[-1], form)
        playback, record.kind = self._probe(asked) if probe else self._chosen(body, asked)
        if self._on_over is None:
            (self.probes if probe else self.requests).append(record)
        return playback, record

    def _probe(self, asked: Asked) -> tuple[Playback, Kind]:
        return self._played(self.script.probe, asked), "probe"

    def _chosen(self, body: JsonObject, asked: Asked) -> tuple[Playback, Kind]:
        reply = self._reply(body)
        if self.script.fail_share and self._random.random() < self.script.fail_share:
            first_s = reply.steps[0].delay_s if reply.steps else 0.0
            failed = Reply(status=500, error="failed, as the script has it", delay_s=first_s)
            return Rendering(self.script, failed, asked).page(), "failed"
        playback = self._played(reply, asked)
        if self.script.cut_share and self._random.random() < self.script.cut_share:
            return playback.cut_short(), "cut"
        if playback.ending == "cut":
            return playback, "cut"
        if reply.status != 200:
            return playback, "failed"
        if playback.calls:
            return playback, "tool"
        return playback, "text" if asked.stream else "whole"

    def _reply(self, body: JsonObject) -> Reply:
        for rule in self.script.rules:
            if rule_fits(rule, body):
                return rule.reply
        replies = self.script.replies
        if not replies or (self._used >= len(replies) and self.script.after_last == "error"):
            return _OFF_SCRIPT
        self._used += 1
        return replies[(self._used - 1) % len(replies)]

    def _played(self, reply: Reply, asked: Asked) -> Playback:
        """The bytes of a reply, made once for each kind of request."""
        key = (id(reply), asked)  # the script keeps its replies, so the id is not used again
        playback = self._playbacks.get(key)
        if playback is None:
            if len(self._playbacks) >= _KEPT_PLAYBACKS:  # whoever names a new model each time shall not fill the memory
                self._playbacks.clear()
            playback = self._playbacks[key] = _RENDERINGS[asked.form](self.script, reply, asked).play()
        return playback

    async def _listen(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        keep_alive = self.script.keep_alive
        self._server = await self._loop.create_server(
            lambda: Connection(self, keep_alive=keep_alive), self.host, self.port, backlog=1024, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _until_stopped(self) -> None:
        assert self._stopping is not None
        try:
            await self._stopping.wait()
        finally:
            self._server.close()
            for connection in tuple(self._open):
                connection.abort()
            await asyncio.sleep(0)  # the transports close in the next turn of the loop


def scripted_server(
    script: Script | KnownLatency | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> ScriptedServer:
    """A `ScriptedServer` for `with` or `async with`; without a script every answer is 'ok'."""
    return ScriptedServer(OK_SCRIPT if script is None else script, host=host, port=port, tls=tls)


OK_SCRIPT: Final = Script.model_validate({"replies": [{"steps": [{"do": "text", "text": "ok"}]}]})
