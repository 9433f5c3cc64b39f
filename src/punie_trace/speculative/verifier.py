"""One forward pass of the target over a draft, and the verdict on it. It extends the cache and never cuts it back.

Three ways, all lossless (theory in `rules`): by match with the target's own choice, greedy or sampled; by match row by
row, where logits processors are there (each is called once for every token that is emitted, in order, as in plain
decoding, so that one with a state of its own is not misled); and as a block by rejection, where the sampler's
distribution and the draft's are known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from punie_trace.errors import ModelError
from punie_trace.speculative.arrays import doubles, integers
from punie_trace.speculative.drafting import Draft, KnownSampler
from punie_trace.speculative.rules import by_block, by_match, walk_tree
from punie_trace.speculative.target_cache import TargetCache
from punie_trace.speculative.tree import DraftTree, keep_path, verify_tree

Sampler = Callable[[mx.array], mx.array]
LogitsProcessor = Callable[[mx.array, mx.array], mx.array]


@dataclass(frozen=True, slots=True)
class Verified:
    """What a round emits: `tokens`, the last of which is the target's own; `logprobs` (len, V) has a row for each.

    `accepted` counts the draft tokens among them, all but the last.
    """

    tokens: tuple[int, ...]
    logprobs: mx.array
    accepted: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """One plain step that may still be computing: token (1,), logprobs (1, V), and whether those are not numbers."""

    token: mx.array
    logprobs: mx.array
    broken: mx.array

    def result(self) -> int:
        """The token. Raises `ModelError` where the logits were not numbers."""
        mx.eval(self.token, self.broken)
        _refuse_broken(self.broken)
        return integers(self.token)[0]


class Verifier:
    """The target with its sampler and processors, for one generation.

    `history` are the tokens that processors are shown before those that are fed (all of the text but its last token).
    """

    def __init__(
        self,
        target: TargetCache,
        *,
        sampler: Sampler | None,
        processors: Sequence[LogitsProcessor],
        history: Sequence[int],
        random: np.random.Generator,
    ) -> None:
        self._target = target
        self._sampler = sampler or _argmax
        self._processors = tuple(processors)
        self._history = mx.array(list(history), mx.uint32) if processors else None
        self._random = random
        self.known: KnownSampler | None = None
        if not processors and sampler is not None and hasattr(sampler, "probabilities"):
            self.known = sampler  # ty: ignore[invalid-assignment]

    @property
    def deterministic_rows(self) -> bool:
        """Whether rows can be judged without each other: what a tree needs."""
        return not self._processors and self.known is None

    def step(self, token: mx.array) -> Ahead:
        """Feed one token (1,) and choose the next; nothing is waited for."""
        logits = self._target.feed(token)
        logits = self._processed(token, logits)
        logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
        ahead = Ahead(self._sampler(logprobs), logprobs, mx.isnan(logprobs[:, 0]))
        mx.async_eval(ahead.token, ahead.broken)
        return ahead

    def linear(self, last: int, draft: Draft) -> Verified:
        """Feed the last emitted token and a draft; the cache then holds them all, whatever was accepted."""
        ids = draft.ids
        fed = mx.array([last, *ids], mx.uint32)
        logits = self._target.feed(fed)
        if self._processors:
            return self._row_by_row(fed, logits, ids)
        logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
        broken = mx.isnan(logprobs[:, 0])
        if self.known is not None:
            chances = self.known.probabilities(logprobs)
            mx.eval(chances, broken)
            _refuse_broken(broken)
            wanted, given = doubles(chances), draft.distributions()
            if given is not None:
                wanted, given = _alike(wanted, given), _alike(given, wanted)[None]
            verdict = by_block(wanted[None], given, np.array([ids], dtype=np.int64), self._random)
        else:
            drawn = self._sampler(logprobs)
            mx.eval(drawn, broken)
            _refuse_broken(broken)
            verdict = by_match(np.array([integers(drawn)]), np.array([ids], dtype=np.int64))
        accepted, following = verdict.first()
        return Verified((*ids[:accepted], following), logprobs, accepted)

    def tree(self, tree: DraftTree) -> Verified:
        """Feed a draft tree; the cache then holds the rows of the accepted path, in order, and no others."""
        entries, before = self._target.entries, self._target.held
        logits = verify_tree(self._target.model, entries, tree)
        logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
        drawn = self._sampler(logprobs)
        broken = mx.isnan(logprobs[:, 0])
        mx.eval(drawn, broken)
        _refuse_broken(broken)
        choice = integers(drawn)
        path = walk_tree(list(tree.parents), list(tree.tokens), choice)
        keep_path(entries, before, path)
        self._target.held = before + len(path)
        tokens = (*(tree.tokens[row] for row in path[1:]), choice[path[-1]])
        return Verified(tokens, logprobs[mx.array(path)], len(path) - 1)

    def _row_by_row(self, fed: mx.array, logits: mx.array, draft: tuple[int, ...]) -> Verified:
        tokens: list[int] = []
        rows: list[mx.array] = []
        for at in range(len(draft) + 1):
            row = self._processed(fed[at : at + 1], logits[at : at + 1])
            row = row - mx.logsumexp(row, axis=-1, keepdims=True)
            drawn, broken = self._sampler(row), mx.isnan(row[:, 0])
            mx.eval(drawn, broken)
            _refuse_broken(broken)
            tokens += integers(drawn)
            rows.append(row)
            if at < len(draft) and tokens[at] != draft[at]:
                break
        return Verified(tuple(tokens), mx.concatenate(rows), len(tokens) - 1)

    def _processed(self, token: mx.array, logits: mx.array) -> mx.array:
        if self._history is None:
            return logits
        self._history = mx.concatenate([self._history, token])
        for processor in self._processors:
            logits = processor(self._history, logits)
        return logits


def _argmax(logprobs: mx.array) -> mx.array:
    return mx.argmax(logprobs, axis=-1)


def _alike(rows: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.floating]:
    """Rows (n, V) made as wide as the others: an id that one of two models lacks has no chance there."""
    missing = others.shape[-1] - rows.shape[-1]
    return np.pad(rows, ((0, 0), (0, missing))) if missing > 0 else np.asarray(rows)


def _refuse_broken(broken: mx.array) -> None:
    if any(integers(broken)):
        raise ModelError(
            "the target model's logits are not numbers (NaN or infinite), so no next token can be chosen; "
            "check its weights, and any logits processor of this request"
        )
