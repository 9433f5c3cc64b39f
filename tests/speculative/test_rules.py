"""Verification is lossless, measured by chi-square, and the test is strong enough to catch what is broken."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie_trace.speculative.rules import (
    Verdict,
    by_block,
    by_match,
    by_rejection,
    draw,
    point_mass,
    residual,
    walk_tree,
)

DRAWS = 200_000
VOCABULARY = 5
K = 2
SIGMAS = 6.0  # a lossless rule passes this but for one run in a billion; the seeds are fixed besides

Rule = Callable[[np.ndarray, np.ndarray | None, np.ndarray, np.random.Generator], Verdict]


class Chain:
    """A language of VOCABULARY tokens in which each token depends on the one before; row VOCABULARY starts it."""

    def __init__(self, seed: int, sharpness: float) -> None:
        random = np.random.default_rng(seed)
        logits = random.normal(size=(VOCABULARY + 1, VOCABULARY)) * sharpness
        self.table = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    def after(self, token: np.ndarray) -> np.ndarray:
        return self.table[token]

    def joint(self, length: int) -> np.ndarray:
        chance = self.table[VOCABULARY]
        for _ in range(length - 1):
            last = np.arange(chance.size) % VOCABULARY
            chance = (chance[:, None] * self.table[last]).ravel()
        return chance


def emitted(rule: Rule, target: Chain, drafter: Chain | None, random: np.random.Generator) -> np.ndarray:
    """Counts of all sequences of K + 1 tokens: one round, then the target alone up to that length."""
    start = np.full(DRAWS, VOCABULARY)
    draft = np.zeros((DRAWS, K), dtype=np.int64)
    proposal = np.zeros((DRAWS, K, VOCABULARY))
    probabilities = np.zeros((DRAWS, K + 1, VOCABULARY))
    last = start
    for i in range(K):
        probabilities[:, i] = target.after(last)
        if drafter is None:
            draft[:, i] = np.argmax(target.after(last), axis=1)  # deterministic, and often right
        else:
            proposal[:, i] = drafter.after(last)
            draft[:, i] = draw(proposal[:, i], random)
        last = draft[:, i]
    probabilities[:, K] = target.after(last)
    verdict = rule(probabilities, None if drafter is None else proposal, draft, random)
    sequence = np.zeros((DRAWS, K + 1), dtype=np.int64)
    sequence[:, :K] = draft
    rows = np.arange(DRAWS)
    sequence[rows, verdict.accepted] = verdict.following
    for i in range(1, K + 1):
        late = i > verdict.accepted
        sequence[late, i] = draw(target.after(sequence[late, i - 1]), random)
    code = sequence @ (VOCABULARY ** np.arange(K, -1, -1))
    return np.bincount(code, minlength=VOCABULARY ** (K + 1))


def excess(counts: np.ndarray, chance: np.ndarray) -> float:
    """By how many standard deviations chi-square lies above its mean (degrees of freedom d: mean d, variance 2 d)."""
    expected = chance * counts.sum()
    statistic = float(((counts - expected) ** 2 / expected).sum())
    freedom = len(chance) - 1
    return (statistic - freedom) / np.sqrt(2 * freedom)


def match_of_a_sampler(target, proposal, draft, random) -> Verdict:
    drawn = np.stack([draw(target[:, i], random) for i in range(K + 1)], axis=1)
    return by_match(drawn, draft)


def residual_dropped(target, proposal, draft, random) -> Verdict:
    verdict = by_rejection(target, proposal, draft, random)
    return Verdict(verdict.accepted, draw(target[np.arange(DRAWS), verdict.accepted], random))


def draft_emitted(target, proposal, draft, random) -> Verdict:
    verdict = by_rejection(target, proposal, draft, random)
    refused = verdict.accepted < K
    following = verdict.following.copy()
    following[refused] = draft[refused, verdict.accepted[refused]]
    return Verdict(verdict.accepted, following)


def no_stop(target, proposal, draft, random) -> Verdict:
    q = np.take_along_axis(proposal, draft[..., None], axis=-1)[..., 0]
    p = np.take_along_axis(target[:, :K], draft[..., None], axis=-1)[..., 0]
    stands = random.random((DRAWS, K)) * q < p
    accepted = np.where(
        stands[:, K - 1], K, np.where(stands[:, 0], 1, 0)
    )  # the last that stands, not the first that falls
    after = target[np.arange(DRAWS), accepted]
    cut = accepted < K
    after[cut] = residual(after[cut], proposal[np.arange(DRAWS)[cut], accepted[cut]])
    return Verdict(accepted, draw(after, random))


LOSSLESS = {"rejection": by_rejection, "block": by_block, "match": match_of_a_sampler}
BROKEN = {"residual dropped": residual_dropped, "draft emitted": draft_emitted, "no stop": no_stop}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("name", LOSSLESS)
def test_what_is_emitted_is_distributed_as_the_target(name: str, deterministic: bool, seed: int) -> None:
    target, drafter = Chain(seed, 1.0), None if deterministic else Chain(seed + 100, 1.0)
    counts = emitted(LOSSLESS[name], target, drafter, np.random.default_rng(seed))
    assert abs(excess(counts, target.joint(K + 1))) < SIGMAS


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_caught(name: str) -> None:
    target, drafter = Chain(1, 1.0), Chain(101, 1.0)
    counts = emitted(BROKEN[name], target, drafter, np.random.default_rng(1))
    assert excess(counts, target.joint(K + 1)) > 10 * SIGMAS


def test_a_block_keeps_at_least_as_much_as_tokens_one_by_one() -> None:
    random = np.random.default_rng(3)
    n, k, vocabulary = 20_000, 4, 8
    p = random.dirichlet(np.full(vocabulary, 0.5), size=(n, k + 1))
    q = 0.5 * p[:, :k] + 0.5 * random.dirichlet(np.full(vocabulary, 0.5), size=(n, k))
    draft = np.stack([draw(q[:, i], random) for i in range(k)], axis=1)
    one_by_one = by_rejection(p, q, draft, random).accepted.mean()
    block = by_block(p, q, draft, random).accepted.mean()
    assert block > one_by_one + 0.02


def test_a_draft_as_good_as_the_target_always_stands() -> None:
    random = np.random.default_rng(4)
    p = random.dirichlet(np.ones(6), size=(500, 4))
    draft = np.stack([draw(p[:, i], random) for i in range(3)], axis=1)
    for rule in (by_rejection, by_block):
        assert (rule(p, p[:, :3], draft, random).accepted == 3).all()


def test_a_token_that_the_target_never_says_never_stands() -> None:
    random = np.random.default_rng(5)
    p = np.zeros((400, 2, 3))
    p[:, :, 1:] = 0.5
    draft = np.zeros((400, 1), dtype=np.int64)
    for rule in (by_rejection, by_block):
        for proposal in (None, point_mass(draft, 3)):
            verdict = rule(p, proposal, draft, random)
            assert not verdict.accepted.any()
            assert (verdict.following > 0).all()


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=7), st.lists(st.integers(0, 3), max_size=6))
def test_match_is_the_common_prefix(drawn: list[int], draft: list[int]) -> None:
    draft = draft[: len(drawn) - 1]
    drawn = drawn[: len(draft) + 1]
    accepted, following = by_match(np.array([drawn]), np.array([draft], dtype=np.int64).reshape(1, -1)).first()
    assert drawn[:accepted] == draft[:accepted]
    assert following == drawn[accepted]
    assert accepted == len(draft) or drawn[accepted] != draft[accepted]


@settings(deadline=None)
@given(st.data())
def test_a_tree_that_is_a_chain_is_a_match(data: st.DataObject) -> None:
    draft = data.draw(st.lists(st.integers(0, 2), max_size=5))
    drawn = data.draw(st.lists(st.integers(0, 2), min_size=len(draft) + 1, max_size=len(draft) + 1))
    path = walk_tree(list(range(-1, len(draft))), [9, *draft], drawn)
    accepted, _ = by_match(np.array([drawn]), np.array([draft], dtype=np.int64).reshape(1, -1)).first()
    assert path == list(range(accepted + 1))


def test_a_tree_takes_the_branch_that_the_target_takes() -> None:
    #        0
    #      1   2
    #     3     4 5
    parents, tokens = [-1, 0, 0, 1, 2, 2], [9, 10, 20, 11, 21, 22]
    assert walk_tree(parents, tokens, [20, 0, 22, 0, 0, 7]) == [0, 2, 5]
    assert walk_tree(parents, tokens, [10, 12, 0, 0, 0, 0]) == [0, 1]
    assert walk_tree(parents, tokens, [11, 0, 0, 0, 0, 0]) == [0]
