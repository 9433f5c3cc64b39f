"""mlx_lm's store of prompt caches, which keeps and gives out only caches whose key is exactly what they have read.

mlx_lm trusts whoever stores: with a draft model it stores caches that lack the last token of their key, and gives out
caches that have read the whole prompt, with nothing left to decode from. Here the cache itself is asked.
"""

from __future__ import annotations

from typing import Any

from punie_trace.serving.decoding import cached_length
from punie_trace.serving.mlx_lm_adapter import LRUPromptCache, can_trim_prompt_cache, trim_prompt_cache


class ExactPromptCaches(LRUPromptCache):
    """Keys are (model and salt, tokens read). While `keeps` is False nothing is stored."""

    keeps = True

    def forget(self) -> None:
        """Let go of every cache."""
        self.trim_to(n_sequences=0)

    def fetch_nearest_cache(self, model: Any, tokens: list[int]) -> tuple[list[Any] | None, list[int]]:
        """A copy of the nearest cache and the tokens that it has not read, one at least; (None, tokens) for none."""
        cache, rest = super().fetch_nearest_cache(model, tokens)
        if cache is not None and not rest and tokens:
            if not can_trim_prompt_cache(cache) or trim_prompt_cache(cache, 1) != 1:
                return None, tokens
            rest = tokens[-1:]
        if cache is not None and cached_length(cache) not in (None, len(tokens) - len(rest)):
            return None, tokens
        return cache, rest

    def insert_cache(
        self, model: Any, tokens: list[int], prompt_cache: list[Any], *, cache_type: str = "assistant"
    ) -> None:
        """Keep `prompt_cache` under those of `tokens` that it has read; leave it where that cannot be made true.

        Where nothing in it counts, `tokens` are believed: mlx_lm's plain decoding reads each token that it gives out.
        """
        if not self.keeps:
            return
        length = cached_length(prompt_cache)
        if length is not None and length > len(tokens):
            extra = length - len(tokens)
            if not can_trim_prompt_cache(prompt_cache) or trim_prompt_cache(prompt_cache, extra) != extra:
                return
            length = len(tokens)
        read = tokens if length is None else tokens[:length]
        if read:
            super().insert_cache(model, read, prompt_cache, cache_type=cache_type)
