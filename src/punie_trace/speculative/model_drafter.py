"""A small language model as drafter, with KV caches of its own that it brings into line with the text by itself.

It reads a context only when it is asked to propose, so a request in which it is never asked costs nothing; `lag` says
what it would have to read. What it has read survives from one request to the next, as far as their texts begin alike,
for a few conversations that take turns (`draft_caches`).

Where one more token is expected to be asked for, its step is begun before the last one's token is known to Python, so
that the next step is described while this one is computed. A step that nobody asks for then is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache

from punie_trace.errors import ModelError
from punie_trace.speculative.arrays import doubles, integers, numbers
from punie_trace.speculative.cache import length_of, trim_refusal
from punie_trace.speculative.draft_caches import DraftCaches
from punie_trace.speculative.drafting import EMPTY, Draft, Drafter, DraftToken, KnownSampler
from punie_trace.speculative.memory import Memory
from punie_trace.speculative.registry import without_draft_model

_LEAST_LIMIT = 1 << 20
_AT_ONCE = 64  # tokens read together with the one that is proposed after


class ModelDrafter:
    """Proposes what a draft model says.

    `prefill_step` tokens are read at once. Its caches take `cache_limit` bytes together (`cache_measure` unless told):
    when they hold more, texts that are not in use go; the one in use may exceed it. Of `vocabulary` ids only the first
    may be proposed (models of one family pad their outputs to different sizes); None for all that the model has.
    Whether its ids mean the same as the target's is not checked here: `make_drafter` does. Raises `ModelError` where
    the model's cache cannot be cut back, and when its logits are not numbers.
    """

    name = "model"
    free = False

    def __init__(
        self,
        model: nn.Module,
        *,
        vocabulary: int | None = None,
        cache_limit: int | None = None,
        prefill_step: int = 2048,
    ) -> None:
        self.model = model
        self.vocabulary = vocabulary
        self.prefill_step = prefill_step
        self._weights = weights_of(model)
        self._caches = DraftCaches(
            partial(make_prompt_cache, model),
            cache_measure(model) if cache_limit is None else cache_limit,
        )
        if reason := trim_refusal(self._cache):
            raise ModelError(
                f"this draft model cannot be used: {reason}; name another with --draft-model, or take the drafter "
                f"{without_draft_model()}, which need no model"
            )
        self._layer_bytes = 0
        self._expected = False  # one more token than the next call asks for
        self._begun: mx.array | None = None  # logits (1, V) after all that its cache holds
        self._memory: Memory = "server"
        self._salt = ""
        self._agreed = 0  # how much of what it has read is known to be the context's
        arguments = getattr(model, "args", None)
        self._longest = int(getattr(arguments, "max_position_embeddings", 0) or 1 << 30)
        self._known = int(getattr(arguments, "vocab_size", 0) or 1 << 30)

    @property
    def nbytes(self) -> int:
        """Bytes of its weights and of its caches."""
        return self._weights + self._caches.nbytes

    @property
    def _cache(self) -> list:
        return self._caches.current.cache

    @property
    def _read(self) -> list[int]:
        """What the cache in use holds."""
        return self._caches.current.tokens

    def members(self) -> tuple[Drafter, ...]:
        """Itself."""
        return (self,)

    def use_memory(self, memory: Memory, salt: str = "") -> None:
        """Which of its caches the next request may go on from."""
        self._memory, self._salt = memory, salt

    def forget(self, salt: str | None = None) -> None:
        """Drop the caches of one salt, or with None all."""
        self._caches.forget(salt)
        self._agreed = 0
        self._begun = None

    def begin(self, context: Sequence[int]) -> None:
        """Finds which of its caches fits the new text, and how far."""
        self._begun, self._expected = None, False
        self._caches.turn_to(context, self._memory, self._salt)
        self._agreed = 0
        self._agree(context)

    def prepare(self, context: Sequence[int]) -> None:
        """Reads all but the last token."""
        if len(context) > 1:
            self._agree(context)
            self._cut_to(self._agreed)
            self._read_up_to(context, len(context) - 1)

    def lag(self, context: Sequence[int]) -> int:
        """Tokens to read before it can propose."""
        self._agree(context)
        return max(0, len(context) - 1 - self._agreed)

    def room(self, context: Sequence[int]) -> int:
        """Positions left that the model was made for."""
        return max(0, self._longest - len(context))

    def commit(self, emitted: Sequence[int]) -> None:
        """Nothing to do: the context tells."""

    def end(self, context: Sequence[int], prompt_length: int) -> None:
        """Keeps what it has read of the text, as far as there is room."""
        self._begun = None
        self._caches.shrink()

    def go_ahead(self) -> None:
        """One more token than the next call asks for is likely to be asked for."""
        self._expected = True

    def propose(
        self,
        context: Sequence[int],
        k: int,
        *,
        after: Sequence[int] = (),
        sampler: KnownSampler | None = None,
        alternatives: bool = False,
    ) -> Draft:
        """The model's own continuation, token by token."""
        room, expected = self.room(context) - len(after), self._expected
        k, self._expected = min(k, room), False
        if k < 1:
            return EMPTY
        logits = self._catch_up(context, after)
        steps = min(k + expected, room)
        tokens: list[DraftToken] = []
        rows: list[mx.array] = []
        while len(tokens) < k:
            token, sure = self._chosen(logits, sampler, rows)
            mx.async_eval(token, sure)
            following = None
            if len(tokens) + 1 < steps:
                following = self._logits(token[:, None])
                mx.async_eval(following)
            [chosen], [chance] = integers(token), numbers(sure)
            if following is not None:
                self._read.append(chosen)
            if not 0.0 <= chance <= 1.0001:
                raise ModelError("the draft model's logits are not numbers (NaN or infinite); check its weights")
            runner_up = None
            if alternatives:
                others = mx.where(mx.arange(logits.shape[-1]) == token, -mx.inf, logits)
                runner_up = integers(mx.argmax(others, axis=-1))[0]
            tokens.append(DraftToken(chosen, self.name, chance, runner_up=runner_up))
            if following is not None:
                logits = following
        self._begun = logits if steps > k else None
        if self._cache[0].nbytes != self._layer_bytes:  # it grew, in steps
            self._layer_bytes = self._cache[0].nbytes
            self._caches.shrink()
        if rows:
            drawn_from = doubles(mx.concatenate(rows))
            tokens = [token._replace(distribution=row) for token, row in zip(tokens, drawn_from, strict=True)]
        return Draft(tuple(tokens), len(tokens))

    @staticmethod
    def _chosen(logits: mx.array, sampler: KnownSampler | None, rows: list[mx.array]) -> tuple[mx.array, mx.array]:
        """The proposed token (1,) and its probability (1,); what it was drawn from goes to `rows`."""
        total = mx.logsumexp(logits, axis=-1)
        if sampler is None:
            return mx.argmax(logits, axis=-1), mx.exp(mx.max(logits, axis=-1) - total)
        chances = sampler.probabilities(logits - total[:, None])
        rows.append(chances)
        token = mx.random.categorical(mx.log(chances))
        return token, mx.take_along_axis(chances, token[:, None], axis=-1)[:, 0]

    def _agree(self, context: Sequence[int]) -> None:
        """Move the mark up to which cache and context agree. The last token of the context is always read anew."""
        read, limit = self._read, min(len(self._read), len(context) - 1)
        at = min(self._agreed, limit)
        while at < limit and read[at] == context[at]:
            at += 1
        self._agreed = at

    def _catch_up(self, context: Sequence[int], after: Sequence[int]) -> mx.array:
        """Read what is new; the logits (1, V) after the context and the tokens drafted after it."""
        self._agree(context)
        length, read = len(context), self._read
        begun, self._begun = self._begun, None
        held = self._agreed
        if after and held == length - 1 and len(read) >= length and read[held] == context[held]:
            held += 1  # a draft is being carried on: what the cache holds of it need not be read again
            while held < min(len(read), length + len(after) - 1) and read[held] == after[held - length]:
                held += 1
            if begun is not None and held + 1 == len(read) == length + len(after) and read[held] == after[-1]:
                self._agreed = length
                return begun
        self._cut_to(held)
        if length - held > _AT_ONCE:
            self._read_up_to(context, length - 1)
        held = len(self._read)
        rest = [*context[held:], *after[max(0, held - length) :]]
        logits = self._logits(self._row(rest))
        self._read.extend(rest)
        self._agreed = length
        return logits

    def _row(self, tokens: Sequence[int]) -> mx.array:
        """Tokens as the model takes them, (1, n); for an id beyond its vocabulary another stands in."""
        return mx.array([[token if token < self._known else 0 for token in tokens]], mx.uint32)

    def _logits(self, tokens: mx.array) -> mx.array:
        """Feed tokens (1, n); what may follow them, (1, V)."""
        return self.model(tokens, cache=self._cache)[:, -1, : self.vocabulary]

    def _cut_to(self, held: int) -> None:
        """Cut cache and text read to `held` tokens."""
        if len(self._read) != held or length_of(self._cache) != held:
            self._caches.cut(held)

    def _read_up_to(self, context: Sequence[int], end: int) -> None:
        """Read without asking for logits, in steps."""
        while self._agreed < end:
            part = list(context[self._agreed : min(end, self._agreed + self.prefill_step)])
            self.model(self._row(part), cache=self._cache)
            mx.eval([entry.state for entry in self._cache])
            self._read.extend(part)
            self._agreed += len(part)
        self._caches.shrink()


def weights_of(model: nn.Module) -> int:
    """Bytes of a model's weights."""
    return sum(leaf.nbytes for _, leaf in tree_flatten(model.parameters()) if isinstance(leaf, mx.array))


def cache_measure(model: nn.Module) -> int:
    """Bytes for all caches of a draft model unless told: a quarter of its weights, and 1 MiB at least."""
    return max(_LEAST_LIMIT, weights_of(model) // 4)
