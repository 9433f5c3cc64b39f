"""What the scripted fake server is told to do: plain values, readable from JSON. What does it is `fake`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Seconds = Annotated[float, Field(ge=0)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Step(_Value):
    delay_s: Seconds = 0.0
    """Waited before the step."""


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
    """Bytes of the stream as they are, such as a malformed chunk: 'data: {\\n\\n'."""

    do: Literal["raw"] = "raw"
    data: str


class Cut(_Step):
    """Close the connection here, in the middle of the answer."""

    do: Literal["cut"] = "cut"


class Hang(_Step):
    """Say nothing more, and keep the connection open until the server is closed."""

    do: Literal["hang"] = "hang"


class Die(_Step):
    """End the whole process here, at once. Only for a fake that runs as a program."""

    do: Literal["die"] = "die"
    code: int = 3


Step = Annotated[Text | Reasoning | ToolCall | Keepalive | Raw | Cut | Hang | Die, Field(discriminator="do")]


class Usage(_Value):
    """Token counts as the server reports them."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None = None


class Reply(_Value):
    """One answer. Without steps it is empty; a `status` other than 200 sends only `error`."""

    steps: tuple[Step, ...] = ()
    finish_reason: str | None = None
    """None: 'tool_calls' where a step calls a tool, else 'stop'. 'tool_calls' without a call is an unparsed one."""
    usage: Usage | None = None
    """None: ten tokens for each message asked, one for each chunk sent."""
    status: Annotated[int, Field(ge=200, le=599)] = 200
    error: str = "scripted error"
    model: str | None = None
    """The model named in the answer; None echoes the request's, as mlx_lm does."""
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
    """All that a fake server does. Rules come first and are never used up; then `replies`, one a request, in order.

    A request with `max_tokens` 1 is a readiness probe: it gets one token and uses up nothing.
    """

    rules: tuple[Rule, ...] = ()
    replies: tuple[Reply, ...] = ()
    after_last: Literal["repeat", "error"] = "repeat"
    """What follows the last reply: the first one again, or status 500."""
    models: tuple[str, ...] = ("fake-model",)
    """What /v1/models lists."""
    fingerprint: str = "fake-1"
    startup: Literal["ready", "exit", "deaf", "mute", "error"] = "ready"
    """`exit`: end with `exit_code` instead of listening. `deaf`: never listen. `mute`: listen, never answer. `error`:
    500 to all. The first two are only for a fake that runs as a program."""
    load_s: Seconds = 0.0
    """Before the process listens, or exits."""
    exit_code: int = 1
    says: str = ""
    """Printed at start, for the log."""
    ignores_term: bool = False
    """SIGTERM does nothing. Only for a fake that runs as a program."""

    @property
    def needs_process(self) -> bool:
        """Whether it does what only a process of its own can do."""
        replies = (*self.replies, *(rule.reply for rule in self.rules))
        dies = any(isinstance(step, Die) for reply in replies for step in reply.steps)
        return dies or self.ignores_term or self.startup in {"exit", "deaf"}
