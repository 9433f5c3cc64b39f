"""The script of a `ScriptedServer`: plain values, readable from JSON. What plays it is `server`.

A `Script` has rules and replies; a `Reply` has steps, each with the time to wait before it. Nothing here waits, sends
or looks at a clock.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Seconds = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Step(_Value):
    delay_s: Seconds = 0.0
    """Waited before the step. Delays count from when the request's last byte was read and do not drift."""


class Text(_Step):
    """A chunk of the answer's text."""

    do: Literal["text"] = "text"
    text: str


class Reasoning(_Step):
    """A chunk of the model's thinking, in mlx_lm's `reasoning` key."""

    do: Literal["reasoning"] = "reasoning"
    text: str


class ToolCall(_Step):
    """A tool call, its arguments streamed in `pieces` chunks. `arguments` as a text goes out as it is, valid or not."""

    do: Literal["tool_call"] = "tool_call"
    name: str
    arguments: dict[str, JsonValue] | str = Field(default_factory=dict)
    pieces: Annotated[int, Field(ge=1)] = 1
    gap_s: Seconds = 0.0
    """Between two pieces."""


class Keepalive(_Step):
    """The comment that mlx_lm sends during prefill: ': keepalive done/total'. Streaming only."""

    do: Literal["keepalive"] = "keepalive"
    done: int
    total: int


class Raw(_Step):
    """Bytes of the stream as they are, such as a malformed chunk: 'data: {\\n\\n'. `times` sends them repeatedly."""

    do: Literal["raw"] = "raw"
    data: str
    times: Annotated[int, Field(ge=1)] = 1


class Cut(_Step):
    """Close the connection here, in the middle of the answer."""

    do: Literal["cut"] = "cut"


class Hang(_Step):
    """Send nothing more, and keep the connection open until the client or the server closes it."""

    do: Literal["hang"] = "hang"


class Die(_Step):
    """End the whole process here, at once. Only for a server that runs as a program."""

    do: Literal["die"] = "die"
    code: int = 3


Step = Annotated[Text | Reasoning | ToolCall | Keepalive | Raw | Cut | Hang | Die, Field(discriminator="do")]


class Usage(_Value):
    """Token counts as the server reports them."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None = None


class Reply(_Value):
    """One answer. Without steps it is empty; a `status` other than 200 sends only `error`, a `body` only itself."""

    steps: tuple[Step, ...] = ()
    finish_reason: str | None = None
    """None: 'tool_calls' where a step calls a tool, else 'stop'. 'tool_calls' without a call is an unparsed one."""
    usage: Usage | None = None
    """None: ten tokens for each message asked, one for each chunk sent."""
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    """Keys beside `choices` in the last chunk, or in the whole answer: what servers tell of themselves (`timings`)."""
    status: Annotated[int, Field(ge=200, le=599)] = 200
    error: str = "scripted error"
    body: str | None = None
    """Sent as it is in place of everything else, such as the page of a proxy's login."""
    content_type: str | None = None
    """None: 'text/event-stream' for a stream, else 'application/json'."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Added to the answer's own."""
    gzip: bool = False
    """Send `body` compressed, with the header that says so."""
    delay_s: Seconds = 0.0
    """Waited before anything of it is sent, the head included."""
    model: str | None = None
    """The model named in the answer; None echoes the request's, as mlx_lm does, and '' leaves the key out."""
    fingerprint: str | None = None
    """None: the script's."""

    @property
    def reason(self) -> str:
        """The finish reason that goes out."""
        called = any(isinstance(step, ToolCall) for step in self.steps)
        return self.finish_reason or ("tool_calls" if called else "stop")


class Rule(_Value):
    """A reply for all requests that fit: whose last user message holds `contains`, at `turn` of its conversation.

    The turn counts the tool-calling rounds since that message: 0 for the question, 1 once tools have answered.
    """

    contains: str = ""
    turn: int | None = None
    reply: Reply


class Script(_Value):
    """All that a scripted server does. Rules come first and are never used up; then `replies`, one a request, in order.

    A request with `max_tokens` (or `max_completion_tokens`) 1 is a readiness probe: it gets `probe`, and uses up none.
    """

    rules: tuple[Rule, ...] = ()
    replies: tuple[Reply, ...] = ()
    after_last: Literal["repeat", "error"] = "repeat"
    """What follows the last reply: the first one again, or status 500."""
    probe: Reply = Reply(steps=(Text(text="."),), finish_reason="length")
    """What a readiness probe gets."""
    models: tuple[str, ...] = ("fake-model",)
    """What /v1/models lists."""
    pages: dict[str, Reply] = Field(default_factory=dict)
    """Replies to GET by path, such as '/v1/models' or '/metrics', in place of the server's own."""
    fingerprint: str = "fake-1"
    """What answers call themselves in `system_fingerprint`; '' leaves the key out."""

    jitter: Share = 0.0
    """Each delay is multiplied by a factor drawn evenly from 1 - jitter to 1 + jitter."""
    fail_share: Share = 0.0
    """Of the requests, answered with status 500 when the first step would be due."""
    cut_share: Share = 0.0
    """Of the requests, cut off after half of their chunks."""
    seed: int = 0
    """Of all that is drawn."""

    keep_alive: bool = False
    """False: HTTP/1.0 and a connection for each request, as mlx_lm has it. True: HTTP/1.1 in chunks, kept open."""
    head_at_once: bool = True
    """Send the head of a stream when the request was read, and not with its first chunk."""
    keep_bodies: bool = True
    """Keep each request's body and headers in its record. Without them a long measurement takes less memory."""

    startup: Literal["ready", "exit", "deaf", "mute", "error"] = "ready"
    """`exit`: end with `exit_code` instead of listening. `deaf`: never listen. `mute`: listen, never answer. `error`:
    500 to all. The first two are only for a server that runs as a program."""
    load_s: Seconds = 0.0
    """Before the process listens, or exits."""
    exit_code: int = 1
    says: str = ""
    """Printed at start, for the log."""
    ignores_term: bool = False
    """SIGTERM does nothing. Only for a server that runs as a program."""

    @property
    def needs_process(self) -> bool:
        """Whether it does what only a process of its own can do."""
        replies = (*self.replies, *(rule.reply for rule in self.rules))
        dies = any(isinstance(step, Die) for reply in replies for step in reply.steps)
        return dies or self.ignores_term or self.startup in {"exit", "deaf"}
