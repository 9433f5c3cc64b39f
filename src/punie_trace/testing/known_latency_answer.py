"""An answer of the server of known latency: what it is set to be, its bytes with the waits between them, and its truth.

The bytes are made before they are needed, by the scripted server's own rules (`fake_answer`). Nothing here waits,
sends or looks at a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from punie_trace.testing.fake_answer import Answer, JsonObject, ReceivedRequest
from punie_trace.testing.fake_script import Reply, Script, Seconds, Text, ToolCall

Share = Annotated[float, Field(ge=0, le=1)]
Piece = tuple[float, bytes]
"""(seconds to wait before it, bytes)"""


class KnownLatency(BaseModel):
    """What every answer does. Times count from when the request's last byte was read; delays are drift-free."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_s: Seconds = 0.05
    """To the first chunk."""
    between_s: Seconds = 0.01
    """From one chunk to the next."""
    jitter: Share = 0.0
    """Each delay is multiplied by a factor drawn evenly from 1 - jitter to 1 + jitter."""
    chunks: Annotated[int, Field(ge=1)] = 16
    """Chunks with text; the reason of the end, the usage and the end mark follow the last one at once."""
    tool: str | None = None
    """Call this tool first; the text follows once it has answered."""
    tool_arguments: dict[str, JsonValue] = {}
    fail_share: Share = 0.0
    """Of the requests, answered with status 500 when the first chunk would be due."""
    cut_share: Share = 0.0
    """Of the requests, cut off after half of their chunks."""
    seed: int = 0
    models: tuple[str, ...] = ("known-latency",)


@dataclass(slots=True)
class Truth:
    """One request and what became of it. Times in ns of `time.monotonic_ns`, which all processes of a machine share."""

    id: int
    traceparent: str | None
    """The request's header of that name, which ties it to the client's span."""
    head_ns: int
    """When the head had been read."""
    body_ns: int
    """When the last byte of the body had been read: the delays count from here."""
    kind: str = "text"
    """'text', 'tool', 'failed', 'cut', 'whole' (no stream was asked for), or 'probe'."""
    written_ns: list[int] = field(default_factory=list)
    """When each chunk was handed to the network, just before the call; what followed the last one at once included."""
    done_ns: int | None = None
    """When the last byte had been; None where the client went away."""


class _Recorder:
    """A stage that keeps what is played on it."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self._waited = 0.0
        self._head = b""
        self._chunked = False

    def start(self, status: int, content_type: str, length: int | None) -> None:
        """Keep the head for the first bytes: a real server sends it with them."""
        self._chunked = length is None
        self._head = head(status, content_type, length)

    def write(self, data: bytes) -> None:
        """Keep bytes, framed as HTTP wants them."""
        framed = b"%x\r\n%s\r\n" % (len(data), data) if self._chunked else data
        self.pieces.append((self._waited, self._head + framed))
        self._waited, self._head = 0.0, b""

    def pause(self, seconds: float | None) -> None:
        """Keep a wait."""
        self._waited += seconds or 0.0

    def end(self) -> None:
        """Nothing follows."""
        if self._chunked:
            waited, data = self.pieces[-1]
            self.pieces[-1] = (waited, data + b"0\r\n\r\n")


def rendered(known: KnownLatency, kind: str, model: str, stream: bool, usage: bool) -> tuple[Piece, ...]:
    """The bytes of an answer, played once by the scripted server's own rules."""
    if kind == "probe":
        reply = Reply(steps=(Text(text="."),), finish_reason="length")
    elif kind == "failed":
        reply = Reply(status=500, error="failed, as this server was told to")
    elif kind == "tool":
        call = ToolCall(name=known.tool or "", arguments=known.tool_arguments, delay_s=known.first_s)
        reply = Reply(steps=(call,))
    else:
        delays = (known.first_s, *(known.between_s for _ in range(known.chunks - 1)))
        reply = Reply(steps=tuple(Text(text=f"word{n} ", delay_s=delay) for n, delay in enumerate(delays)))
    recorder = _Recorder()
    body: JsonObject = {"model": model, "stream": stream, "stream_options": {"include_usage": usage}, "messages": []}
    if kind == "failed":
        recorder.pause(known.first_s)
    Answer(recorder, Script(fingerprint="known-1"), ReceivedRequest(body, 0, kind == "probe", {}), reply).send()
    if kind == "cut":
        return tuple(recorder.pieces[: max(1, known.chunks // 2)])
    recorder.end()
    return tuple(recorder.pieces)


def head(status: int, content_type: str, length: int | None) -> bytes:
    """The head of an HTTP answer, its blank line included; with `length` None the body comes in chunks."""
    reason = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}.get(status, "Status")
    size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    return f"HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\n{size}\r\n\r\n".encode("ascii")
