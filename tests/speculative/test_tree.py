"""Trees: what grows, that one pass over a tree says what sequential passes say, and what is refused."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.models.cache import ConcatenateKVCache, KVCache, RotatingKVCache, make_prompt_cache

from punie_trace.speculative import Draft, DraftToken
from punie_trace.speculative.tree import DraftTree, grown, keep_path, tree_refusal, verify_tree
from tests.speculative.tiny import check_cache, tiny_model

TARGET = tiny_model(11)
TEXT = [3, 1, 4, 1, 5, 9, 2, 6]
TREE = DraftTree((5, 10, 20, 11, 21, 22, 30), (-1, 0, 0, 1, 2, 2, 5))


def test_depths_and_ancestors() -> None:
    assert TREE.depths() == [0, 1, 1, 2, 2, 2, 3]
    assert [np.flatnonzero(row).tolist() for row in TREE.ancestors()] == [
        [0],
        [0, 1],
        [0, 2],
        [0, 1, 3],
        [0, 2, 4],
        [0, 2, 5],
        [0, 2, 5, 6],
    ]


def test_every_row_sees_its_own_path_and_no_other() -> None:
    cache = make_prompt_cache(TARGET)
    TARGET(mx.array([TEXT]), cache=cache)
    logits = verify_tree(TARGET, cache, TREE)
    for row in range(len(TREE.tokens)):
        path = np.flatnonzero(TREE.ancestors()[row])
        straight = TARGET(mx.array([TEXT + [TREE.tokens[i] for i in path]]))[0, -1]
        assert float(mx.max(mx.abs(straight - logits[row]))) < 1e-4


def test_the_path_that_stood_is_all_that_the_cache_keeps() -> None:
    for path in ([0], [0, 1], [0, 2, 5, 6], [0, 1, 3]):
        cache = make_prompt_cache(TARGET)
        TARGET(mx.array([TEXT]), cache=cache)
        verify_tree(TARGET, cache, TREE)
        keep_path(cache, len(TEXT), path)
        check_cache(TARGET, cache, TEXT + [TREE.tokens[row] for row in path])


def test_a_tree_grows_from_proposals_and_doubts() -> None:
    trunk = Draft(
        (
            DraftToken(7, "model", 0.99, runner_up=70),
            DraftToken(8, "model", 0.5, runner_up=80),
            DraftToken(9, "model", 0.6, runner_up=90),
        )
    )
    other = Draft((DraftToken(7, "suffix", 0.5, 4), DraftToken(3, "suffix", 0.5, 5)))
    tree = grown(1, [trunk, other], rows=7)
    assert tree.tokens == (1, 7, 8, 9, 3, 80, 90)
    assert tree.parents == (-1, 0, 1, 2, 1, 1, 2)
    assert len(grown(1, [trunk, other], rows=5).tokens) == 5
    assert grown(1, [], rows=5) == DraftTree((1,), (-1,))
    assert all(parent < row for row, parent in enumerate(tree.parents))


def test_what_cannot_take_a_tree_is_refused_with_the_reason() -> None:
    assert tree_refusal(TARGET, make_prompt_cache(TARGET)) is None
    assert "rotates" in (tree_refusal(TARGET, [RotatingKVCache(8)]) or "")
    assert "ConcatenateKVCache" in (tree_refusal(TARGET, [ConcatenateKVCache()]) or "")

    class Stubborn(nn.Module):
        """Goes by the order of the rows, whatever the cache says."""

        layers = TARGET.layers

        def __call__(self, inputs: mx.array, cache: list | None = None) -> mx.array:
            logits = TARGET(inputs, cache=cache)
            return logits + mx.arange(logits.shape[0])[:, None, None]

    class Failing(nn.Module):
        layers = TARGET.layers

        def __call__(self, inputs: mx.array, cache: list | None = None) -> mx.array:
            if inputs.shape[0] > 1:
                raise ValueError("one at a time, please")
            return TARGET(inputs, cache=cache)

    assert "differs" in (tree_refusal(Stubborn(), [KVCache(), KVCache()]) or "")
    assert "one at a time, please" in (tree_refusal(Failing(), [KVCache(), KVCache()]) or "")
