"""`KnownLatency`: the script of a server that streams at set times, to measure a client's timing error against.

It makes a `Script`; the server that plays it is the scripted server, which writes down when it really did.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from punie_trace.testing.script import Reply, Rule, Script, Seconds, Share, Text, ToolCall


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

    def script(self) -> Script:
        """The same as a script: connections are kept, and a stream's head leaves with its first chunk."""
        rules = ()
        if self.tool is not None:
            call = ToolCall(name=self.tool, arguments=self.tool_arguments, delay_s=self.first_s)
            rules = (Rule(turn=0, reply=Reply(steps=(call,))),)
        delays = (self.first_s, *(self.between_s for _ in range(self.chunks - 1)))
        answer = Reply(steps=tuple(Text(text=f"word{n} ", delay_s=delay) for n, delay in enumerate(delays)))
        return Script(
            rules=rules,
            replies=(answer,),
            jitter=self.jitter,
            fail_share=self.fail_share,
            cut_share=self.cut_share,
            seed=self.seed,
            models=self.models,
            fingerprint="known-1",
            keep_alive=True,
            head_at_once=False,
            keep_bodies=False,
        )
