"""The table of `docs/speculative/models.md`: every model type of mlx-lm with a cache of its own, and what drafts on it.

    uv run python -m tests.speculative.models_table

prints it as it should be.
"""

from __future__ import annotations

from mlx_lm.models.cache import ArraysCache, ChunkedKVCache, RotatingKVCache, make_prompt_cache

from punie_trace.speculative.cache import leaves_of, model_refusal, refusal, replaces
from punie_trace.speculative.target_cache import TargetCache
from tests.speculative.tiny_family import candidates, tiny_of

PACKED = "prism_hadamard_qwen35"
"""A form of `qwen3_5` whose weights are packed: it cannot be made without them, and has that model's cache."""


def row(model_type: str) -> str:
    """One line of the table."""
    if model_type == PACKED:
        return row("qwen3_5").replace("`qwen3_5`", f"`{PACKED}`")
    model = tiny_of(model_type)
    cache = make_prompt_cache(model)
    leaves = leaves_of(cache)
    kinds = ", ".join(f"`{name}`" for name in sorted({type(leaf).__name__ for leaf in leaves}))
    reason = model_refusal(model) or refusal(cache)
    if reason:
        way = f"no: {reason}"
    elif TargetCache(model, cache, 0).growing:
        way = "yes: cut back"
    elif any(isinstance(leaf, ArraysCache) or replaces(leaf) for leaf in leaves):
        way = "yes: put back, accepted tokens sent again"
    elif any(isinstance(leaf, RotatingKVCache | ChunkedKVCache) for leaf in leaves):
        way = "yes: last rows cut off"
    else:
        way = "yes: cut back"
    return f"| `{model_type}` | {kinds} | {way} |"


def table() -> str:
    """All of it."""
    return "\n".join(["| model type | caches | drafted for |", "|---|---|---|", *map(row, candidates())])


if __name__ == "__main__":
    print(table())
