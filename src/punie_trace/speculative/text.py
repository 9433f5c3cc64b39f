"""The text of one generation as it grows: prompt and emitted tokens, and whether it is within a tool call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

Progress: TypeAlias = Callable[[int, int], None]
"""Hears of prefill as mlx-lm has it: tokens processed, and how many there are."""


class Marks(NamedTuple):
    """The texts that open and close a tool call, as tokens; empty where the tokenizer knows none."""

    opening: tuple[int, ...] = ()
    closing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptText:
    """What a generation begins with: `tokens` are to be read, `known` are those that the cache holds already.

    `known` may be shorter than the cache where its tokens are not known: drafters then see a shorter text. `step`
    tokens are read at once, and `progress` hears of them.
    """

    tokens: Sequence[int]
    known: Sequence[int] = ()
    step: int = 2048
    progress: Progress | None = None

    def report(self, processed: int) -> None:
        """So many of the tokens were read."""
        if self.progress is not None:
            self.progress(processed, len(self.tokens))


class GeneratedText:
    """All tokens so far. `prompt_end` of them are prompt, `emitted` follow it; `inside` says whether a tool call is
    open at the end.
    """

    def __init__(self, prompt: PromptText, marks: Marks) -> None:
        self.tokens = [*prompt.known, *prompt.tokens]
        self.prompt_end = len(self.tokens)
        self.inside = False
        self._marks = marks

    @property
    def emitted(self) -> int:
        """Tokens after the prompt."""
        return len(self.tokens) - self.prompt_end

    def append(self, token: int) -> None:
        """One more was emitted."""
        self.tokens.append(token)
        marks = self._marks.closing if self.inside else self._marks.opening
        if marks and token == marks[-1] and tuple(self.tokens[-len(marks) :]) == marks:
            self.inside = not self.inside
