"""The decoder that drafts: `speculative`'s, in the form in which the server asks its decoders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from mlx import nn
from mlx_lm.generate import GenerationResponse
from mlx_lm.tokenizer_utils import TokenizerWrapper

from punie_trace.errors import ModelError
from punie_trace.serving.decoding import DecodeRequest
from punie_trace.speculative.decoder import SpeculativeDecoder
from punie_trace.speculative.make import Vocabulary, make_drafter
from punie_trace.speculative.rounds import GenerationRecord


class DraftingDecoder:
    """One for the models that are loaded: all requests share its stores, its costs as measured, and its draft model.

    `without_model` is why the draft model cannot be used (other tokens, no memory for it); the drafters that need none
    are still there then. None where it can, or where there is none.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: TokenizerWrapper,
        draft: nn.Module | None,
        draft_tokenizer: TokenizerWrapper | None,
        max_memory: int | None,
    ) -> None:
        self.without_model: str | None = None
        # mlx_lm's wrapper hands everything on to the tokenizer in it.
        ours, theirs = cast("Vocabulary", tokenizer), cast("Vocabulary | None", draft_tokenizer)
        try:
            drafter = make_drafter(
                "hybrid",
                target_tokenizer=ours,
                draft_model=draft,
                draft_tokenizer=theirs,
                max_memory=max_memory,
            )
        except ModelError as error:
            self.without_model = f"draft: {error}"
            drafter = make_drafter("suffix", target_tokenizer=ours, max_memory=max_memory)
        self._decoder = SpeculativeDecoder(model, tokenizer, drafter, draft_memory_limit=max_memory)

    def decode(self, request: DecodeRequest) -> Iterator[GenerationResponse]:
        """The target's own tokens, several at a time where drafts stand."""
        return self._decoder.stream_generate(
            request.prompt,
            max_tokens=request.max_tokens,
            sampler=request.sampling.sampler,
            logits_processors=request.sampling.processors,
            prompt_cache=request.cache,
            cached_tokens=request.context[: len(request.context) - len(request.prompt)],
            prompt_progress_callback=request.progress,
            prefill_step_size=request.prefill_step,
            speculation=request.speculation,
        )

    def forget(self) -> None:
        """Have all drafters forget what earlier requests taught them."""
        self._decoder.forget()

    def record(self) -> GenerationRecord | None:
        """All rounds of the generation that ended last."""
        return self._decoder.last_generation

    @property
    def fallback(self) -> str | None:
        """Why that generation drafted nothing, or no more."""
        record = self._decoder.last_generation
        return record.fallback if record is not None else None
