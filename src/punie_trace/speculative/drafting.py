"""What a draft is, and what a drafter is: it guesses the next tokens, and hears which came. Values and protocols only.

A drafter never decides what is emitted, so a bad one costs time and nothing else. It may raise: the engine then goes on
without it. One of your own is a subclass of `FreeDrafter` with `propose`, and a call of `registry.register_drafter`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from punie_trace.speculative.memory import Memory
from punie_trace.speculative.rules import point_mass


class KnownSampler(Protocol):
    """A sampler whose distribution can be computed, which rejection sampling needs (see `sampling`)."""

    def __call__(self, logprobs: mx.array) -> mx.array:
        """Draw one token for each row of log-probabilities (..., V)."""
        ...

    def probabilities(self, logprobs: mx.array) -> mx.array:
        """What it draws from: (..., V), adding up to one."""
        ...


class DraftToken(NamedTuple):
    """One guess. A named tuple, which is cheaper to make than a frozen dataclass: a round makes up to 64.

    `origin` is the name of the drafter. `confidence` in 0..1 is the drafter's own view, not calibrated. `matched` is
    the length in tokens of the repeated text behind it: 0 where there is none (a model's guess), 1 where that text has
    gone on in several ways. `distribution` (V,) is what it was drawn from, None where the drafter always proposes the
    same (a point mass). `runner_up` is the id that the drafter would have proposed otherwise, for draft trees.
    """

    id: int
    origin: str
    confidence: float = 1.0
    matched: int = 0
    distribution: NDArray[np.floating] | None = None
    runner_up: int | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """Guesses at the next tokens, in order. `computed` counts the model's, those that were cut off later included."""

    tokens: tuple[DraftToken, ...] = ()
    computed: int = 0

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids alone."""
        return tuple([token.id for token in self.tokens])

    @property
    def matched(self) -> int:
        """The length of the repeated text behind the first token."""
        return self.tokens[0].matched if self.tokens else 0

    @property
    def origins(self) -> tuple[str, ...]:
        """The name of each token's drafter."""
        return tuple([token.origin for token in self.tokens])

    @property
    def origin(self) -> str:
        """The name of the drafter of all tokens; 'hybrid' where there were several, or none."""
        names = {token.origin for token in self.tokens}
        return names.pop() if len(names) == 1 else "hybrid"

    def first(self, k: int) -> Draft:
        """The same draft, no longer than k tokens."""
        return self if len(self.tokens) <= k else Draft(self.tokens[:k], self.computed)

    def distributions(self) -> NDArray[np.floating] | None:
        """What each token was drawn from, (k, V); None where every token is a point mass."""
        width = max((len(token.distribution) for token in self.tokens if token.distribution is not None), default=0)
        if not width:
            return None
        rows = point_mass(np.array([self.ids], dtype=np.int64), max(width, 1 + max(self.ids)))[0]
        for row, token in zip(rows, self.tokens, strict=True):
            if token.distribution is not None:
                row[:] = 0.0
                row[: len(token.distribution)] = token.distribution
        return rows


EMPTY = Draft()


class Drafter(Protocol):
    """Guesses tokens. One request at a time: `begin`, then `propose` and `commit` in turn, then `end`.

    `context` is always the whole text so far, prompt and emitted tokens; between `begin` and `end` it only grows. A
    drafter keeps whatever it knows across requests, and finds out by itself what of it still holds.
    """

    @property
    def name(self) -> str:
        """What it is registered as; the `origin` of its tokens."""
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

    def use_memory(self, memory: Memory, salt: str = "") -> None:
        """What the next request may know of earlier ones (`request.Speculation`)."""
        ...

    def forget(self, salt: str | None = None) -> None:
        """Keep nothing of earlier requests of this salt, or with None of any."""
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
    ) -> Draft:
        """At most k tokens to follow the context. Fewer, or none, where it has no idea.

        `after` are tokens drafted already, assumed to follow the context. With `sampler` a drafter that has
        probabilities draws from them through it; otherwise it proposes what it holds most likely. `alternatives` asks
        for runners-up.
        """
        ...

    def commit(self, emitted: Sequence[int]) -> None:
        """These tokens were emitted after the context of the last call."""
        ...

    def end(self, context: Sequence[int], prompt_length: int) -> None:
        """The request is over; the first `prompt_length` tokens of the context were its prompt."""
        ...


@runtime_checkable
class GoesAhead(Protocol):
    """A drafter that can compute a token more while what it proposed is looked at. It need not be able to."""

    def go_ahead(self) -> None:
        """Said before `propose`: one more token than that call asks for is likely to be asked for right after it."""
        ...


class FreeDrafter:
    """A drafter that runs no model, without its guesses: subclass it, give it a `name`, and write `propose`.

    What it hears of a request it ignores; override what yours needs.
    """

    name = ""
    free = True

    @property
    def nbytes(self) -> int:
        """Nothing that would count."""
        return 0

    def members(self) -> tuple[Drafter, ...]:
        """Itself."""
        return (self,)

    def use_memory(self, memory: Memory, salt: str = "") -> None:
        """Nothing is known of earlier requests anyway."""

    def forget(self, salt: str | None = None) -> None:
        """Nothing to forget."""

    def begin(self, context: Sequence[int]) -> None:
        """Nothing to do."""

    def prepare(self, context: Sequence[int]) -> None:
        """Nothing to read ahead."""

    def lag(self, context: Sequence[int]) -> int:
        """Nothing to read first."""
        return 0

    def room(self, context: Sequence[int]) -> int:
        """No limit of its own."""
        return 1 << 30

    def propose(
        self,
        context: Sequence[int],
        k: int,
        *,
        after: Sequence[int] = (),
        sampler: KnownSampler | None = None,
        alternatives: bool = False,
    ) -> Draft:
        """No idea."""
        return EMPTY

    def commit(self, emitted: Sequence[int]) -> None:
        """Nothing to do."""

    def end(self, context: Sequence[int], prompt_length: int) -> None:
        """Nothing to keep."""


def repetitions(draft: Draft) -> tuple[int, ...]:
    """`matched` of each token of a free drafter's draft. Where the drafter gave none, the draft counts as a repetition
    that grows by one with each token.
    """
    return tuple([token.matched or at for at, token in enumerate(draft.tokens, start=1)])
