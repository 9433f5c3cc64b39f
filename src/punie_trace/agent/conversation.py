"""What a function that asks is given of the conversation so far, and where it keeps what it needs beside the texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Conversation:
    """One conversation, from the first turn of a query to its last. Each query has one of its own.

    A function `ask(question, endpoint, conversation)` reads the turns before in `messages`, which are added to once a
    turn is answered; a framework whose history holds more than texts (calls and their results) keeps it in `state`.
    """

    messages: list[dict[str, str]] = field(default_factory=list)
    """What user and assistant said in the turns before, as chat messages: {'role': ..., 'content': ...}."""
    state: dict[str, Any] = field(default_factory=dict)
    """The function's own: kept from turn to turn, read by nobody else."""

    def add(self, question: str, answer: str) -> None:
        """Note what was said in a turn that is over."""
        self.messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
