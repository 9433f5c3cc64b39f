"""Who decodes a request: the interface that the server knows, and plain decoding by mlx_lm behind it.

A decoder works on the target's prompt cache in place, and leaves it holding what it read of the prompt and of its own
answer, however it ends; the server asks the cache how much that is. It runs in the thread that generates and in no
other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import mlx.core as mx
from mlx import nn
from mlx_lm.generate import GenerationResponse, stream_generate
from mlx_lm.tokenizer_utils import TokenizerWrapper

from punie_trace.speculative.cache import forget_tokens, leaves_of, noted_length
from punie_trace.speculative.request import Speculation
from punie_trace.speculative.rounds import GenerationRecord

Sampler = Callable[[mx.array], mx.array]
LogitsProcessor = Callable[[mx.array, mx.array], mx.array]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn: `processors` change the logits first, in their order."""

    sampler: Sampler
    processors: Sequence[LogitsProcessor] = ()


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """One generation. `prompt` is what of the prompt is not in `cache` yet: one token at least."""

    prompt: Sequence[int]
    context: Sequence[int]
    """The whole prompt, for drafters that look things up in it."""
    cache: list[Any]
    max_tokens: int
    sampling: Sampling
    progress: Callable[[int, int], None]
    prefill_step: int
    speculation: Speculation


class Decoder(Protocol):
    """Makes the tokens of one request at a time."""

    def decode(self, request: DecodeRequest) -> Iterator[GenerationResponse]:
        """The answer, token by token; may be closed after any."""
        ...

    def record(self) -> GenerationRecord | None:
        """What the speculation of the generation that ended last did; None where there was none."""
        ...

    @property
    def fallback(self) -> str | None:
        """Why that generation drafted nothing, or no more; None where all went as asked."""
        ...


@dataclass(slots=True)
class PlainDecoder:
    """mlx_lm's own decoding, one token after another. `reason` is why it stands in for drafts, None if they are off."""

    model: nn.Module
    tokenizer: TokenizerWrapper
    stream: mx.Stream
    kv_bits: int | None = None
    kv_group_size: int = 64
    quantized_kv_start: int = 0
    reason: str | None = None

    def decode(self, request: DecodeRequest) -> Iterator[GenerationResponse]:
        """As `mlx_lm.stream_generate` without a draft model; processors see the cached part of the text too."""
        cached = request.context[: len(request.context) - len(request.prompt)]
        forget_tokens(request.cache)
        return stream_generate(
            self.model,
            self.tokenizer,
            list(request.prompt),
            request.max_tokens,
            stream=self.stream,
            sampler=request.sampling.sampler,
            logits_processors=shown_before(cached, request.sampling.processors),
            prompt_cache=request.cache,
            prompt_progress_callback=request.progress,
            prefill_step_size=request.prefill_step,
            kv_bits=self.kv_bits,
            kv_group_size=self.kv_group_size,
            quantized_kv_start=self.quantized_kv_start,
        )

    def record(self) -> GenerationRecord | None:
        """Nothing was drafted."""
        return None

    @property
    def fallback(self) -> str | None:
        """Why it stands in for a decoder that drafts."""
        return self.reason


def shown_before(cached: Sequence[int], processors: Sequence[LogitsProcessor]) -> list[LogitsProcessor]:
    """The same processors, shown `cached` before the tokens that they are given.

    mlx_lm shows those of a single request only what was not in its prompt cache (and those of a batch everything), so a
    repetition penalty would act otherwise on a warm cache than on a cold one.
    """
    if not cached:
        return list(processors)
    before = mx.array(list(cached))

    def continued(processor: LogitsProcessor) -> LogitsProcessor:
        return lambda tokens, logits: processor(mx.concatenate([before, tokens]), logits)

    return [continued(processor) for processor in processors]


def cached_length(cache: Sequence[Any]) -> int | None:
    """How many tokens `cache` has read: the least that a layer counts, or where none counts what our decoder noted on
    it; None where that is not known.
    """
    leaves = [leaf for leaf in leaves_of(cache) if isinstance(getattr(leaf, "offset", None), int)]
    counted = [leaf.offset for leaf in leaves if not leaf.empty()] or [leaf.offset for leaf in leaves]
    return min(counted) if counted else noted_length(cache)
