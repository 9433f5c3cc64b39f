"""Keys are what caches have read, whatever whoever stores them says."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx_lm.models.cache import ArraysCache, KVCache

from punie_trace.serving.decoding import cached_length
from punie_trace.serving.prompt_caches import ExactPromptCaches


def cache_of(tokens: int) -> list[KVCache]:
    layers = [KVCache(), KVCache()]
    for layer in layers:
        layer.update_and_fetch(mx.zeros((1, 1, tokens, 4)), mx.zeros((1, 1, tokens, 4)))
    return layers


@pytest.mark.parametrize(("read", "said"), [(5, 5), (4, 5), (6, 5)])
def test_a_cache_is_found_under_what_it_has_read(read: int, said: int) -> None:
    caches = ExactPromptCaches(4)
    caches.insert_cache("m", list(range(said)), cache_of(read))
    asked = list(range(20))
    cache, rest = caches.fetch_nearest_cache("m", asked)
    assert cache is not None
    assert cached_length(cache) == len(asked) - len(rest) == min(read, said)


def test_a_prompt_that_was_read_whole_leaves_its_last_token_to_read() -> None:
    caches = ExactPromptCaches(4)
    caches.insert_cache("m", [1, 2, 3], cache_of(3))
    cache, rest = caches.fetch_nearest_cache("m", [1, 2, 3])
    assert cache is not None
    assert (cached_length(cache), rest) == (2, [3])


def test_what_cannot_be_cut_back_is_not_kept_or_not_given_out() -> None:
    caches = ExactPromptCaches(4)
    caches.insert_cache("m", [1, 2, 3], [ArraysCache(2)])
    assert caches.fetch_nearest_cache("m", [1, 2, 3]) == (None, [1, 2, 3])
    caches.insert_cache("m", [], cache_of(0))
    assert len(caches) == 1
