"""Which draft tokens are accepted, and what comes after them: the rules of verification, on plain numpy arrays.

Nothing here knows a model, a cache or mlx. Every rule takes `n` independent rounds at once (the engine calls with n =
1, the tests with 200,000), and answers with a `Verdict`: how many draft tokens are accepted, and the token that follows
them.

Theory
------
A draft x_1..x_k was proposed by a cheap distribution q_i(. | x_<i); the target gave p_i(. | x_<i) for i = 1..k+1 in one
forward pass. What is emitted must be distributed as the target alone would have emitted it.

**Match** (`by_match`). The target draws its own y_i ~ p_i at every row, and a draft token is accepted while x_i = y_i;
the first y that differs is emitted in its place, and y_(k+1) after a draft accepted as a whole. Every emitted token
*is* a draw of the target given the tokens before it, so this is lossless for any drafter, deterministic or not, and for
any sampler, known or opaque. Greedy decoding is the case y_i = argmax p_i. A token is accepted with chance sum_x p(x)
q(x).

**Rejection** (`by_rejection`; arXiv 2211.17192, 2302.01318). x_i is accepted with chance min(1, p_i(x_i) / q_i(x_i)).
At the first that is not, the token is drawn from the residual r(x) = max(p(x) - q(x), 0), normalised; after a whole
draft from p_(k+1). Lossless: a token x comes out with chance q(x) min(1, p(x)/q(x)) + (1 - a) r(x) / (1 - a) = min(p,
q)(x) + max(p - q, 0)(x) = p(x), where a = sum_x min(p, q)(x) is the chance of acceptance, which is at least that of a
match. Three things break it, and the tests hold a broken variant of each: to draw from p instead of r (favours what q
favours: 'residual dropped'), to emit the draft token that was refused ('draft emitted'), and to go on testing after a
refusal, since later rows were computed on a prefix that was not emitted ('no stop at the first rejection').

**Block** (`by_block`; arXiv 2403.10444). The same, but the prefix is judged as a whole: with w_0 = 1 and w_i = min(1,
w_(i-1) p_i(x_i) / q_i(x_i)), let R_i = sum_x max(w_i p_(i+1)(x) - q_(i+1)(x), 0). Prefix i is kept with chance h_i =
R_i / (R_i + 1 - w_i), and h_k = w_k; the *longest* prefix that was kept is accepted. Behind prefix i < k the token is
drawn from max(w_i p_(i+1) - q_(i+1), 0), normalised. Lossless too, and the expected number of tokens is never lower
than by token-wise rejection, because a low ratio early can be made good by high ones after it.

A draft without probabilities is a point mass: q_i(x_i) = 1. Rejection then accepts with chance p_i(x_i), as a match
does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating]
Ints: TypeAlias = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Verdict:
    """For each of n rounds: `accepted` draft tokens (n,), 0..k, and the token `following` them (n,)."""

    accepted: Ints
    following: Ints

    def first(self) -> tuple[int, int]:
        """The only round of a call with n = 1, as plain numbers."""
        return int(self.accepted[0]), int(self.following[0])


def by_match(drawn: Ints, draft: Ints) -> Verdict:
    """A draft token is accepted while the target drew the same one.

    `drawn` (n, k+1): the target's own token for each row (its argmax where decoding is greedy); `draft` (n, k).
    """
    accepted = _leading(drawn[:, :-1] == draft)
    return Verdict(accepted, drawn[np.arange(len(drawn)), accepted])


def by_rejection(target: Floats, proposal: Floats | None, draft: Ints, random: np.random.Generator) -> Verdict:
    """Token-wise lossless rejection sampling.

    `target` (n, k+1, V) and `proposal` (n, k, V) are probabilities; `proposal` None means a deterministic draft.
    """
    n, k = draft.shape
    proposal = point_mass(draft, target.shape[-1]) if proposal is None else proposal
    accepted = _leading(random.random((n, k)) * _at(proposal, draft) < _at(target[:, :k], draft))
    rows = np.arange(n)
    after = target[rows, accepted]
    cut = accepted < k
    after[cut] = residual(after[cut], proposal[rows[cut], accepted[cut]])
    return Verdict(accepted, draw(after, random))


def by_block(target: Floats, proposal: Floats | None, draft: Ints, random: np.random.Generator) -> Verdict:
    """Lossless verification of the draft as a block; arguments as for `by_rejection`."""
    n, k = draft.shape
    proposal = point_mass(draft, target.shape[-1]) if proposal is None else proposal
    ratio = _at(target[:, :k], draft) / np.maximum(_at(proposal, draft), np.finfo(np.float64).tiny)
    weight = np.ones((n, k + 1))
    for i in range(k):
        weight[:, i + 1] = np.minimum(1.0, weight[:, i] * ratio[:, i])
    excess = np.maximum(weight[:, :k, None] * target[:, :k] - proposal, 0.0)
    mass = excess.sum(axis=-1)
    keep = np.ones((n, k + 1))
    total = mass + 1.0 - weight[:, :k]
    keep[:, :k] = np.divide(mass, total, out=np.zeros_like(mass), where=total > 0)
    keep[:, 0] = 1.0  # the empty prefix is always accepted
    keep[:, k] = weight[:, k]
    kept = random.random((n, k + 1)) < keep
    accepted = k - np.argmax(kept[:, ::-1], axis=1)
    rows = np.arange(n)
    after = target[rows, accepted]
    cut = accepted < k
    after[cut] = _or_else(excess[rows[cut], accepted[cut]], after[cut])
    return Verdict(accepted, draw(after, random))


def residual(target: Floats, proposal: Floats) -> Floats:
    """What a refused draft leaves: max(p - q, 0), not normalised (n, V); p itself where nothing is left but dust."""
    return _or_else(np.maximum(target - proposal, 0.0), target)


def point_mass(draft: Ints, vocabulary: int) -> Floats:
    """The distribution of a drafter that always proposes `draft`: (n, k) to (n, k, V)."""
    mass = np.zeros((*draft.shape, vocabulary))
    np.put_along_axis(mass, draft[..., None], 1.0, axis=-1)
    return mass


def draw(weights: Floats, random: np.random.Generator) -> Ints:
    """One token for each row of weights (n, V), which need not add up to one. Never one of weight zero."""
    cumulated = np.cumsum(weights, axis=-1, dtype=np.float64)
    level = random.random(len(weights)) * cumulated[:, -1]
    return np.argmax(cumulated > level[:, None], axis=-1)


def walk_tree(parents: list[int], tokens: list[int], drawn: list[int]) -> list[int]:
    """The rows of a draft tree that are accepted, by match, from the root down: `[0, ...]`.

    Row 0 is the last emitted token; `parents[i] < i` is the row before row i, `tokens[i]` the token in it, `drawn[i]`
    what the target draws after it. What follows the path is `drawn[path[-1]]`. Of twins the first counts.
    """
    children: dict[tuple[int, int], int] = {}
    for row in range(len(tokens) - 1, 0, -1):
        children[parents[row], tokens[row]] = row
    path = [0]
    while (step := children.get((path[-1], drawn[path[-1]]))) is not None:
        path.append(step)
    return path


def _leading(accepted: NDArray[np.bool_]) -> Ints:
    """How many are true before the first that is false, in each row."""
    return np.cumprod(accepted, axis=1, dtype=np.int64).sum(axis=1)


def _at(probabilities: Floats, tokens: Ints) -> Floats:
    """The probability of each token: (n, k, V) at (n, k)."""
    return np.take_along_axis(probabilities, tokens[..., None], axis=-1)[..., 0]


def _or_else(weights: Floats, instead: Floats) -> Floats:
    """Rows of `weights` that hold no mass (rounding, where p = q) are replaced by those of `instead`."""
    return np.where(weights.sum(axis=-1, keepdims=True) > 0, weights, instead)
