"""What a cache of mlx-lm's holds, whether its end can be cut off, and cutting it off.

Works on the lists that `mlx_lm.models.cache.make_prompt_cache` makes. It never copies keys or values. How a target's
cache is brought back to what was accepted, of whatever kind it is, is `target_cache`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from mlx_lm.models.cache import (
    ArraysCache,
    CacheList,
    ChunkedKVCache,
    ConcatenateKVCache,
    KVCache,
    QuantizedKVCache,
    RotatingKVCache,
)

_TOKENS = "punie_trace_tokens"
_KNOWN = (KVCache, ConcatenateKVCache, RotatingKVCache, ChunkedKVCache, ArraysCache)
_REPLACING = {("mlx_lm.models.deepseek_v41", "LayerCache")}
_UNEQUAL_ROWS = {
    "plamo3": "its sliding layers let rows that are processed together see one token more than single ones"
}


class CacheEntry(Protocol):
    """One layer's cache."""

    offset: int

    def is_trimmable(self) -> bool:
        """Whether its end can be cut off."""
        ...

    def trim(self, n: int) -> int:
        """Cut n tokens off its end."""
        ...


def leaves_of(cache: Sequence[Any]) -> list[Any]:
    """The caches in a cache: those of a layer that has several are listed one by one."""
    found: list[Any] = []
    for entry in cache:
        found += leaves_of(entry.caches) if isinstance(entry, CacheList) else [entry]
    return found


def replaces(entry: Any) -> bool:
    """Whether all that a cache of a model's own holds is replaced in each pass, and never written to."""
    return (type(entry).__module__, type(entry).__name__) in _REPLACING


def model_refusal(model: Any) -> str | None:
    """Why nothing can be drafted for this target, whatever its cache, or None where it can."""
    return _UNEQUAL_ROWS.get(str(getattr(model, "model_type", "")))


def refusal(cache: Sequence[Any]) -> str | None:
    """Why nothing can be drafted for a target with this cache, or None where it can.

    Verification needs rows that are processed together to leave what single ones would, and a way back to any of them:
    see `target_cache` for the kinds that have one. A quantized cache rounds rows differently from one at a time.
    """
    lengths: set[int] = set()
    for entry in leaves_of(cache):
        if isinstance(entry, RotatingKVCache) and entry.keep:
            return (
                f"its cache rotates (it keeps {entry.max_size} tokens) and holds on to the first {entry.keep}, which "
                "rows that are verified together do not see"
            )
        if isinstance(entry, QuantizedKVCache):
            return f"its cache is quantized (to {entry.bits} bits), so drafted and plain decoding need not agree"
        if type(entry) not in _KNOWN and not replaces(entry):
            return f"its cache ({type(entry).__name__}) is of a kind that is not known"
        if hasattr(entry, "offset") and not entry.empty():
            lengths.add(int(entry.offset))
    if len(lengths) > 1:
        return f"the layers of its cache disagree in length ({min(lengths)} to {max(lengths)} tokens)"
    return None if cache else "it has no cache"


def trim_refusal(cache: Sequence[Any]) -> str | None:
    """Why a cache cannot be cut back to any length, as a draft model's must be, or None where it can.

    Only caches that grow in place and keep every token can: a rotating one overwrites, and a recurrent state has no
    rows.
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


def counts_tokens(cache: Sequence[Any]) -> bool:
    """Whether some layer keeps count of its tokens; recurrent ones do not."""
    return any(hasattr(entry, "offset") for entry in leaves_of(cache))


def length_of(cache: Sequence[Any]) -> int:
    """Tokens in the cache: the most that a layer counts. Where none counts, as many as were noted on it."""
    counted = [int(entry.offset) for entry in leaves_of(cache) if hasattr(entry, "offset")]
    if counted:
        return max(counted)
    return noted_length(cache) or 0


def trim_to(cache: Sequence[CacheEntry], length: int) -> None:
    """Cut every layer back to `length` tokens; a layer that is no longer than that is left alone."""
    for entry in cache:
        excess = entry.offset - length
        if excess > 0:
            entry.trim(excess)
            if isinstance(entry, ConcatenateKVCache):  # counts less, and would hand the rows out all the same
                entry.state = tuple(part[..., :length, :] for part in entry.keys_and_values())


def remember_tokens(cache: Sequence[Any], tokens: Sequence[int]) -> None:
    """Note on the cache itself which tokens it holds, so that the note travels with copies of it."""
    if cache:
        setattr(cache[0], _TOKENS, tuple(tokens))


def noted_length(cache: Sequence[Any]) -> int | None:
    """How many tokens were noted on the cache; None where nothing was, as for one that another decoder has filled."""
    noted = getattr(cache[0], _TOKENS, None) if cache else None
    return None if noted is None else len(noted)


def forget_tokens(cache: Sequence[Any]) -> None:
    """Take the note away, since the cache is about to read what is not noted."""
    if cache and hasattr(cache[0], _TOKENS):
        delattr(cache[0], _TOKENS)


def remembered_tokens(cache: Sequence[Any]) -> list[int] | None:
    """The tokens of a cache as last noted, cut to its length; None where that is not known."""
    noted = getattr(cache[0], _TOKENS, None) if cache else None
    if noted is None or len(noted) < length_of(cache):
        return None
    return list(noted[: length_of(cache)])
