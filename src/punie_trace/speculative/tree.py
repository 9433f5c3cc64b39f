"""Several continuations verified in one forward pass: a draft tree, on mlx-lm's own models and caches, unchanged.

The rows of a tree share the text before them, but not each other. A causal mask cannot say so, and rows at the same
depth have the same position. So the rows are fed as a *batch* of one token each: then every row has its rotary offset
(`mx.fast.rope` takes one for each entry of a batch), and a substitute for the real cache during the pass hands
each row the keys of the text and of all rows, with a mask that shows it its ancestors only. Products with the weights
see the same rows either way. Afterwards the keys and values of the accepted path are moved up behind the text.

Only caches of keys and values can do this (`cache.trim_refusal`), and only models that take their mask and rotary
offset from the cache: whether one does is tried once, against a sequential pass (`tree_refusal`).
"""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import KVCache, make_prompt_cache

from punie_trace.speculative.cache import trim_refusal, trim_to
from punie_trace.speculative.drafting import Draft, DraftToken


@dataclass(frozen=True, slots=True)
class DraftTree:
    """Rows of a tree. Row 0 is the last emitted token; `parents[i] < i` precedes row i (-1 for row 0)."""

    tokens: tuple[int, ...]
    parents: tuple[int, ...]

    def depths(self) -> list[int]:
        """How far each row is from row 0."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(0 if parent < 0 else depths[parent] + 1)
        return depths

    def ancestors(self) -> list[list[bool]]:
        """Which rows each row may see: itself and those before it on its path."""
        rows: list[list[bool]] = []
        for at, parent in enumerate(self.parents):
            seen = list(rows[parent]) if parent >= 0 else [False] * len(self.tokens)
            seen[at] = True
            rows.append(seen)
        return rows


def grown(last: int, drafts: list[Draft], *, rows: int, doubtful: float = 0.9) -> DraftTree:
    """A tree of at most `rows` rows: the first draft as its trunk, others as branches where they differ, and the
    runner-up beside every token of the trunk that its drafter was less than `doubtful` sure of, most doubtful first.
    """
    tokens, parents = [last], [-1]
    children: dict[tuple[int, int], int] = {}

    def add(parent: int, token: int) -> int:
        row = children.get((parent, token))
        if row is None and len(tokens) < rows:
            row = children[parent, token] = len(tokens)
            tokens.append(token)
            parents.append(parent)
        return -1 if row is None else row

    trunk = [0]
    for at, draft in enumerate(drafts):
        row = 0
        for token in draft.tokens:
            if (row := add(row, token.id)) < 0:
                break
            if at == 0:
                trunk.append(row)
    for row, token in sorted(zip(trunk, drafts[0].tokens if drafts else (), strict=False), key=_doubt):
        if token.runner_up is not None and token.confidence < doubtful:
            add(row, token.runner_up)
    return DraftTree(tuple(tokens), tuple(parents))


def _doubt(found: tuple[int, DraftToken]) -> tuple[float, int]:
    return found[1].confidence, found[0]


class _TreeCache:
    """Takes the place of one layer's cache during the pass: rows come as a batch, and are kept as positions."""

    def __init__(self, kept: KVCache, offsets: mx.array, mask: mx.array) -> None:
        self._kept = kept
        self._mask = mask
        self.offset = offsets

    def make_mask(self, N: int, **_: object) -> mx.array:  # noqa: N803
        """The ancestors of each row, (rows, 1, 1, text + rows)."""
        if N != 1:
            raise ValueError(f"rows of a draft tree come one by one, not {N} at once")
        return self._mask

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Keys (rows, heads, 1, d) are appended as (1, heads, rows, d); every row gets all."""
        rows = keys.shape[0]
        kept = self._kept.update_and_fetch(keys.transpose(2, 1, 0, 3), values.transpose(2, 1, 0, 3))
        every_key, every_value = (mx.broadcast_to(part, (rows, *part.shape[1:])) for part in kept)
        return every_key, every_value


def verify_tree(model: nn.Module, cache: list[KVCache], tree: DraftTree) -> mx.array:
    """The target's logits after each row, (rows, V). The cache then holds all rows behind the text."""
    before = cache[0].offset
    rows = len(tree.tokens)
    text = mx.ones((rows, before), mx.bool_)
    mask = mx.concatenate([text, mx.array(tree.ancestors())], axis=1)[:, None, None, :]
    offsets = mx.array([before + depth for depth in tree.depths()], mx.int32)
    substitutes = [_TreeCache(layer, offsets, mask) for layer in cache]
    return model(mx.array(tree.tokens, mx.uint32)[:, None], cache=substitutes)[:, -1]


def keep_path(cache: list[KVCache], before: int, path: list[int]) -> None:
    """Move the rows of `path` up behind the `before` tokens of text, and cut off the rest."""
    if path != list(range(len(path))):
        rows = mx.array([before + row for row in path])
        for layer in cache:
            for part in (layer.keys, layer.values):
                if part is not None:
                    part[..., before : before + len(path), :] = mx.take(part, rows, axis=2)
    trim_to(cache, before + len(path))


def tree_refusal(model: nn.Module, cache: list) -> str | None:
    """Why this model cannot verify trees on such a cache, or None. Runs a few tokens through a cache of its own."""
    if reason := trim_refusal(cache):
        return reason
    if not all(type(layer) is KVCache for layer in cache):
        return f"its cache ({type(cache[0]).__name__}) cannot take the rows of a tree"
    chain = DraftTree((1, 2, 3, 4), (-1, 0, 1, 2))
    fork = DraftTree((1, 2, 9, 3, 4), (-1, 0, 0, 1, 3))
    try:
        scratch = make_prompt_cache(model)
        model(mx.array([[5, 6, 7]], mx.uint32), cache=scratch)
        straight = model(mx.array([chain.tokens], mx.uint32), cache=scratch)[0]
        trim_to(scratch, 3)
        branched = verify_tree(model, scratch, fork)[mx.array([0, 1, 3, 4])]
        far = float(mx.max(mx.abs(straight - branched)) / (mx.max(mx.abs(straight)) + 1e-9))
    except Exception as error:
        return f"it does not take the rows of a tree as a batch ({type(error).__name__}: {error})"
    limit = 1e-3 if straight.dtype == mx.float32 else 5e-2
    return None if far < limit else f"its tree pass differs from a sequential one (relative difference {far:.1e})"
