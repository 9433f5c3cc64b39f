"""One request on its way through the server: what it asked for, when each step was over, and what came of it.

The handler's thread makes it and closes it; the thread that generates stamps it. It holds times and counts, and no text
of the prompt or of the answer. Times are `time.monotonic_ns()`.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from opentelemetry.context import Context

from punie_trace.speculative.request import OFF, Speculation
from punie_trace.speculative.rounds import GenerationRecord, RoundRecord

Outcome = Literal["done", "refused", "failed", "client_gone"]


@dataclass(slots=True, eq=False)
class Call:
    """A request that was let in. Steps that it never reached are None."""

    arrived_ns: int
    """When its head had been read."""
    operation: Literal["chat", "text_completion"] = "chat"
    model: str = ""
    speculation: Speculation = OFF
    timings: bool = False
    """Whether the answer shall say how long each step took."""
    cache_salt: str | None = None
    """Prompt caches are shared only by requests with the same one."""
    parent: Context = field(default_factory=Context)
    """The context of the caller's span, empty where none came."""
    connection: socket.socket | None = None

    tokenizing_ns: int | None = field(default=None, init=False)
    tokenized_ns: int | None = field(default=None, init=False)
    queued_ns: int | None = field(default=None, init=False)
    taken_ns: int | None = field(default=None, init=False)
    """When the thread that generates took it up."""
    first_token_ns: int | None = field(default=None, init=False)
    last_token_ns: int | None = field(default=None, init=False)
    done_ns: int | None = field(default=None, init=False)
    """When the last byte of the answer was handed to the system."""

    prompt_tokens: int | None = field(default=None, init=False)
    cached_tokens: int | None = field(default=None, init=False)
    output_tokens: int = field(default=0, init=False)
    finish_reason: str | None = field(default=None, init=False)
    batched: bool = field(default=False, init=False)
    """Whether it was decoded in mlx_lm's batch, together with others and without drafts."""
    record: GenerationRecord | None = field(default=None, init=False)
    """What speculation did, round by round; None where it was off."""
    fallback: str | None = field(default=None, init=False)
    """Why nothing, or no more, was drafted though it was asked for."""
    outcome: Outcome = field(default="done", init=False)
    status: int = field(default=200, init=False)
    error: str | None = field(default=None, init=False)
    stopped: bool = field(default=False, init=False)
    """Whether it ends at its next token: nobody waits for it any more, or the server ends."""
    ending: bool = field(default=False, init=False)
    """Whether that is because the server ends."""

    @property
    def prefill_ns(self) -> int | None:
        """When reading the prompt began: once it was taken up and tokenized, in whichever order."""
        if self.taken_ns is None or self.tokenized_ns is None:
            return None
        return max(self.taken_ns, self.tokenized_ns)

    @property
    def decoding_ns(self) -> int | None:
        """When decoding began: with drafts once the prompt was read, since the first round may give many tokens, and
        may take long; else at the first token, which mlx_lm's decoding computes with the prompt's end.
        """
        if self.record is None or self.first_token_ns is None or self.prefill_ns is None:
            return self.first_token_ns
        return min(self.first_token_ns, self.prefill_ns + self.record.prefill_ns)

    @property
    def drafting(self) -> Sequence[RoundRecord]:
        """The rounds in which anything was drafted: one without a draft is a plain step."""
        return [one for one in self.record.rounds if one.drafted > 0] if self.record is not None else []

    @property
    def drafters(self) -> str | None:
        """Who drafted, in the order of their first round."""
        return ",".join(dict.fromkeys(name for one in self.drafting for name in one.origins or (one.drafter,))) or None

    @property
    def mean_k(self) -> float | None:
        """Tokens drafted a round, over the rounds that drafted; None without any."""
        rounds = self.drafting
        return sum(one.drafted for one in rounds) / len(rounds) if rounds else None

    def fail(self, outcome: Outcome, status: int, error: str) -> None:
        """Note what went wrong; the first word counts."""
        if self.outcome == "done":
            self.outcome, self.status, self.error = outcome, status, error

    def stop(self) -> None:
        """End it at its next token, because the server ends."""
        self.ending = self.stopped = True

    def abandoned(self) -> bool:
        """Whether nobody waits for the answer any more: the client closed its connection, or the server stops.

        Asks the system without waiting, in about 2 us; a client that only sends more is still there.
        """
        if self.stopped:
            return True
        if self.connection is None:
            return False
        try:
            poll = select.poll()
            poll.register(self.connection.fileno(), select.POLLIN | select.POLLHUP)
            if not poll.poll(0):
                return False
            self.stopped = not self.connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):  # closed on our side, because a write to it failed
            self.stopped = True
        return self.stopped


def now_ns() -> int:
    """The clock of all stamps."""
    return time.monotonic_ns()
