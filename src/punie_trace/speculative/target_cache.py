"""The target's cache in one generation, as a transaction: what is fed, what of it is kept, and the way back.

Theory
------
Verifying a draft leaves rows in the cache that were not accepted. How they are taken out again depends on the layers:

- *Keys and values that only grow*: the count is set back.
- *Rotating and chunked* (sliding windows, chunked attention): several rows at once are appended, and as many old ones
  kept as the first of them may see. So the last rows can be cut off, as far as the first of the pass, and what is left
  holds all that the next token may see.
- *Recurrent* (`ArraysCache`: convolutions, state-space and linear attention layers; compressed windows): a state has
  no rows. Its arrays are replaced and never written to, so references to them are a snapshot of the state as of the
  last token that was kept. Where a draft is refused it is put back, and the tokens that were accepted wait, to be fed
  again in front of the next ones, in the same pass. Where a draft is accepted as a whole nothing waits. A model with
  one such layer has all its layers put back together.

A pass that is broken off (a signal, an error in a layer) leaves layers that disagree: the snapshot is put back, and
where there is none the cache is emptied, since a caller can go on from an empty cache and not from a wrong one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import ArraysCache, ChunkedKVCache, RotatingKVCache

from punie_trace.speculative.cache import leaves_of, refusal, replaces, trim_refusal, trim_to

LONGEST_PENDING = 12
"""Tokens that may wait to be fed again; beyond that they are committed by a plain step, which costs one pass."""


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The cache before a pass: the state of each layer, how many tokens it held, and those that waited."""

    states: Sequence[Any]
    held: int
    pending: tuple[int, ...]


class TargetCache:
    """`entries` as made by `make_prompt_cache`, holding `held` tokens.

    `pending` are accepted tokens that are not in the cache yet. `snapshot_bytes` is what a snapshot would keep alive
    beside the cache while a draft is verified, as of now.
    """

    def __init__(self, model: nn.Module, entries: list[Any], held: int) -> None:
        self.model = model
        self.entries = entries
        self.held = held
        self.pending: list[int] = []
        self.growing = trim_refusal(entries) is None
        leaves = leaves_of(entries)
        self._leaves = leaves
        self._known = refusal(entries) is None
        self._resends = any(isinstance(leaf, ArraysCache) or replaces(leaf) for leaf in leaves)
        self._rotates = any(isinstance(leaf, RotatingKVCache) for leaf in leaves)
        self._before: _Snapshot | None = None
        self._fed = 0  # rows of the last pass
        self._in_pass = False

    @property
    def steps_back(self) -> bool:
        """Whether a single step can be taken back, so that one may be begun before it is known to be wanted.

        A rotating cache writes a single row over the oldest one.
        """
        return self._known and not self._rotates

    @property
    def snapshot_bytes(self) -> int:
        """Bytes, as of now: windows fill as the text grows. 0 for a cache that only grows."""
        if self.growing:
            return 0
        kept = ArraysCache | RotatingKVCache | ChunkedKVCache
        return sum(leaf.nbytes for leaf in self._leaves if isinstance(leaf, kept) or replaces(leaf))

    def feed(self, tokens: mx.array) -> mx.array:
        """Process tokens (n,), behind those that wait: the logits after each of them, (n, V)."""
        waiting, rows = len(self.pending), int(tokens.shape[0])
        if not self.growing and self._known:
            self._before = None if self._rotates and waiting + rows == 1 else self._snapshot()
        if waiting:
            tokens = mx.concatenate([mx.array(self.pending, tokens.dtype), tokens])
            self.pending = []
        self._in_pass = True
        logits = self.model(tokens[None], cache=self.entries)[0]
        self._in_pass = False
        self._fed = waiting + rows
        self.held += self._fed
        return logits[waiting:] if waiting else logits

    def keep(self, fed: Sequence[int], kept: int) -> None:
        """Of the tokens `fed` last, the first `kept` were accepted (one at least)."""
        refused = len(fed) - kept
        if self.growing:
            self.held -= refused
            trim_to(self.entries, self.held)
        elif self._resends:
            if refused:
                self._restore()
                self.pending += fed[:kept]
        else:
            self._before = None
            self._cut(refused)

    def settle(self) -> None:
        """All that was fed last is kept: no way back is needed."""
        self._before = None

    def close(self, length: int, text: Sequence[int]) -> int:
        """Bring the cache to hold the first `length` tokens of a text that ends with `text`; how many it holds now.

        That is fewer where a pass was broken off. `text` has `length` tokens, or only the last of them: no more are
        read than were fed last or wait.
        """
        if self.growing:  # a pass that was broken off may have reached the first layers only
            self.held = min([length, *(entry.offset for entry in self.entries)])
            trim_to(self.entries, self.held)
        elif self._known:
            if self._in_pass:
                self._restore()
            surplus = self.held - length
            if 0 < surplus < self._fed and not self._resends:
                self._cut(surplus)
            elif surplus > 0 and self._before is None:
                self._restore()
            elif surplus > 0:
                self._restore()
                self.pending = list(text[len(text) - (length - self.held) :])
            self._commit(length)
        return self.held

    def _commit(self, length: int) -> None:
        """Feed what waits, up to `length` tokens in all, by a pass of its own."""
        del self.pending[max(0, length - self.held) :]
        if self.pending:
            tokens, self.pending = self.pending, []
            try:
                self.feed(mx.array(tokens, mx.uint32))
                mx.eval([entry.state for entry in self.entries])
            except BaseException:
                self._before = None
                self._restore()
                raise
        self._before = None

    def _snapshot(self) -> _Snapshot:
        return _Snapshot([_state_of(leaf) for leaf in self._leaves], self.held, tuple(self.pending))

    def _put_back(self, before: _Snapshot) -> None:
        for leaf, state in zip(self._leaves, before.states, strict=True):
            _set_state(leaf, state)
        self.held = before.held

    def _restore(self) -> None:
        """The cache as it was before the last pass; empty where that is not known any more."""
        if self._before is not None:
            self._put_back(self._before)
            self.pending = list(self._before.pending)
        else:
            for leaf in self._leaves:
                _empty(leaf)
            self.held, self.pending = 0, []

    def _cut(self, rows: int) -> None:
        """Cut the last rows off, of those that the last pass appended."""
        if not rows:
            return
        for leaf in self._leaves:
            if isinstance(leaf, RotatingKVCache):
                keys, values, offset, keep, max_size, _ = leaf.state
                end = keys.shape[2] - rows
                leaf.state = keys[..., :end, :], values[..., :end, :], offset - rows, keep, max_size, end
            else:
                trim_to([leaf], leaf.offset - rows)
        self.held -= rows


def _state_of(leaf: Any) -> Any:
    """What `_set_state` needs to bring a leaf back, after passes that append rows."""
    if isinstance(leaf, ArraysCache):
        arrays, *rest = leaf.state
        return list(arrays), *rest
    if replaces(leaf):
        return dict(vars(leaf))
    return leaf.state if isinstance(leaf, RotatingKVCache | ChunkedKVCache) else leaf.offset


def _set_state(leaf: Any, state: Any) -> None:
    if isinstance(leaf, ArraysCache):
        arrays, *rest = state
        leaf.state = list(arrays), *rest
    elif replaces(leaf):
        vars(leaf).update(state)
    elif isinstance(leaf, RotatingKVCache | ChunkedKVCache):
        leaf.state = state
    else:
        trim_to([leaf], state)


def _empty(leaf: Any) -> None:
    if isinstance(leaf, ArraysCache):
        arrays, *rest = leaf.state
        leaf.state = [None] * len(arrays), *rest
    elif replaces(leaf):
        vars(leaf).update(vars(type(leaf)(leaf.window_size)))
    elif isinstance(leaf, RotatingKVCache):
        leaf.state = None, None, 0, leaf.keep, leaf.max_size, 0
    elif isinstance(leaf, ChunkedKVCache):
        leaf.state = None, None, 0, leaf.chunk_size, 0
    else:
        trim_to([leaf], 0)
