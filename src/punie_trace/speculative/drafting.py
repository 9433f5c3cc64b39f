"""What a drafter is: it guesses the next tokens, and is told which came. Values and the protocol only.

A drafter never decides what is emitted, so a bad one costs time and nothing else. It may raise: the engine then goes on
without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol, TypeAlias

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

Kind: TypeAlias = Literal["model", "ngram", "suffix", "hybrid"]
KINDS: tuple[Kind, ...] = ("model", "ngram", "suffix", "hybrid")


class KnownSampler(Protocol):
    """A sampler whose distribution can be computed, which rejection sampling needs (see `sampling`)."""

    def __call__(self, logprobs: mx.array) -> mx.array:
        """Draw one token for each row of log-probabilities (..., V)."""
        ...

    def probabilities(self, logprobs: mx.array) -> mx.array:
        """What it draws from: (..., V), adding up to one."""
        ...


@dataclass(frozen=True, slots=True)
class Proposal:
    """A guess at the next tokens.

    `probabilities` (k, V) is what each token was drawn from, None where the drafter always proposes the same (a point
    mass). `confidence` holds one number in 0..1 for each token: the drafter's own view, not calibrated. `matched` is
    the length of the repeated text the guess rests on (0: no text), `matches` that behind each token, 1 where it has
    gone on in several ways. `seconds_best` are (index, token): what the drafter would have said else at that index, for
    draft trees.

    The engine adds, for each token, the kind of the drafter it came from (`origins`), and how many a model `computed`
    for it, those that were cut off later included.
    """

    tokens: tuple[int, ...] = ()
    probabilities: NDArray[np.floating] | None = None
    confidence: tuple[float, ...] = ()
    matched: int = 0
    seconds_best: tuple[tuple[int, int], ...] = ()
    origins: tuple[str, ...] = ()
    matches: tuple[int, ...] = ()
    computed: int = 0

    def first(self, k: int) -> Proposal:
        """The same guess, no longer than k tokens."""
        if len(self.tokens) <= k:
            return self
        return Proposal(
            self.tokens[:k],
            None if self.probabilities is None else self.probabilities[:k],
            self.confidence[:k],
            self.matched,
            tuple(pair for pair in self.seconds_best if pair[0] < k),
            self.origins[:k],
            self.matches[:k],
            self.computed,
        )

    @property
    def origin(self) -> str:
        """The kind of the drafter of all tokens; 'hybrid' where there were several."""
        kinds = set(self.origins)
        return kinds.pop() if len(kinds) == 1 else "hybrid"

    def of(self, kind: str, free: bool) -> Proposal:
        """The same guess, with its origin: a drafter of this kind."""
        length = len(self.tokens)
        return replace(self, origins=(kind,) * length, matches=self.behind(free), computed=0 if free else length)

    def behind(self, free: bool) -> tuple[int, ...]:
        """`matches`, filled in where the drafter did not: each token that stands makes a repetition one longer."""
        length = len(self.tokens)
        if not free:
            return (0,) * length
        first = max(1, self.matched)
        return self.matches or tuple(range(first, first + length))


NOTHING = Proposal()


class Drafted(NamedTuple):
    """A draft and what came before it: who led, how many were asked for, proposed, and read first by a model."""

    proposal: Proposal
    drafter: str
    k: int
    proposed: int
    lag: int


class Drafter(Protocol):
    """Guesses tokens. One request at a time: `begin`, then `propose` and `commit` in turn, then `end`.

    `context` is always the whole text so far, prompt and emitted tokens; between `begin` and `end` it only grows. A
    drafter keeps whatever it knows across requests, and finds out by itself what of it still holds.
    """

    @property
    def kind(self) -> Kind:
        """Which of the four it is."""
        ...

    @property
    def free(self) -> bool:
        """Whether proposing costs next to nothing, so that it may be asked before it is known whether it is wanted."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes it holds now: weights, caches, stores."""
        ...

    def members(self) -> tuple[Drafter, ...]:
        """The drafters it consists of; itself alone, unless it is a hybrid."""
        ...

    def begin(self, context: Sequence[int]) -> None:
        """A new request starts with this text."""
        ...

    def prepare(self, context: Sequence[int]) -> None:
        """Read all of the context but its last token now, since proposals will be wanted."""
        ...

    def lag(self, context: Sequence[int]) -> int:
        """Tokens of the context it has yet to read before it can propose, the last one not counted."""
        ...

    def room(self, context: Sequence[int]) -> int:
        """How many tokens it could propose before its own context runs out."""
        ...

    def propose(
        self,
        context: Sequence[int],
        k: int,
        *,
        after: Sequence[int] = (),
        sampler: KnownSampler | None = None,
        alternatives: bool = False,
    ) -> Proposal:
        """At most k tokens to follow the context. Fewer, or none, where it has no idea.

        `after` are tokens drafted already, assumed to follow the context. With `sampler` a drafter that has
        probabilities draws from them through it; otherwise it proposes what it holds most likely. `alternatives` asks
        for `seconds_best`.
        """
        ...

    def commit(self, emitted: Sequence[int]) -> None:
        """These tokens were emitted after the context of the last call."""
        ...

    def end(self, context: Sequence[int], prompt_length: int) -> None:
        """The request is over; the first `prompt_length` tokens of the context were its prompt."""
        ...
