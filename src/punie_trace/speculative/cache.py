"""The target's KV cache as a transaction: what it holds, whether it can be cut back, and cutting it back.

Works on the lists that `mlx_lm.models.cache.make_prompt_cache` makes. It never copies keys or values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mlx_lm.models.cache import ConcatenateKVCache, KVCache, QuantizedKVCache, RotatingKVCache

_TOKENS = "punie_trace_tokens"


class CacheEntry(Protocol):
    """One layer's cache."""

    offset: int

    def is_trimmable(self) -> bool:
        """Whether its end can be cut off."""
        ...

    def trim(self, n: int) -> int:
        """Cut n tokens off its end."""
        ...


def refusal(cache: Sequence[CacheEntry]) -> str | None:
    """Why nothing can be drafted on this cache, or None where it can.

    Only caches that grow in place and keep every token can be cut back to what they were, exactly: a rotating cache
    overwrites, a quantized one rounds rows differently from one at a time, and a recurrent state has no rows.
    """
    for entry in cache:
        if isinstance(entry, RotatingKVCache):
            return f"its cache rotates (it keeps {entry.max_size} tokens) and cannot be cut back once it wraps"
        if isinstance(entry, QuantizedKVCache):
            return f"its cache is quantized (to {entry.bits} bits), so drafted and plain decoding need not agree"
        if not isinstance(entry, KVCache | ConcatenateKVCache):
            return f"its cache ({type(entry).__name__}) is not one of keys and values that can be cut back"
        if not entry.is_trimmable():
            return f"its cache ({type(entry).__name__}) cannot be cut back"
    return None if cache else "it has no cache"


def length_of(cache: Sequence[CacheEntry]) -> int:
    """Tokens in the cache (its first layer's offset; 0 where a layer keeps no count)."""
    return int(getattr(cache[0], "offset", 0)) if cache else 0


def trim_to(cache: Sequence[CacheEntry], length: int) -> None:
    """Cut every layer back to `length` tokens; a layer that is no longer than that is left alone."""
    for entry in cache:
        excess = entry.offset - length
        if excess > 0:
            entry.trim(excess)
            if isinstance(entry, ConcatenateKVCache):  # counts less, and would hand the rows out all the same
                entry.state = tuple(part[..., :length, :] for part in entry.keys_and_values())


def remember_tokens(cache: Sequence[CacheEntry], tokens: Sequence[int]) -> None:
    """Note on the cache itself which tokens it holds, so that the note travels with copies of it."""
    if cache:
        setattr(cache[0], _TOKENS, tuple(tokens))


def remembered_tokens(cache: Sequence[CacheEntry]) -> list[int] | None:
    """The tokens of a cache as last noted, cut to its length; None where that is not known."""
    noted = getattr(cache[0], _TOKENS, None) if cache else None
    if noted is None or len(noted) < length_of(cache):
        return None
    return list(noted[: length_of(cache)])
