"""Drafts of several drafters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from punie_trace.speculative.composing import composed
from punie_trace.speculative.drafting import Draft, DraftToken
from punie_trace.speculative.ngram import NgramDrafter
from punie_trace.speculative.rules import by_block
from punie_trace.speculative.suffix import SuffixDrafter

TEXT = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3]


class Counting(NgramDrafter):
    """A model that counts on from the last token, sure of itself; tokens above `most` are doubtful."""

    free = False
    name = "model"

    def __init__(self, *, leap: int = 1, vocabulary: int | None = None) -> None:
        super().__init__()
        self.leap = leap
        self.vocabulary = vocabulary
        self.asked: list[tuple[int, ...]] = []

    def propose(self, context, k, *, after=(), sampler=None, alternatives=False) -> Draft:
        self.asked.append(tuple(after))
        token = [*context, *after][-1] + self.leap
        row = None if self.vocabulary is None else np.full(self.vocabulary, 1 / self.vocabulary)
        return Draft((DraftToken(token, self.name, 0.9, 0, row, 99 if alternatives else None),), 1)


class Wanting:
    """Copies from `trusted` on, asks the model while it may, and keeps what it is told."""

    def __init__(self, trusted: int, most: int = 99, keep: int | None = None) -> None:
        self.trusted, self.most, self.keep = trusted, most, keep
        self.taken = 0

    def copies(self, drafter: str, matches: Sequence[int]) -> bool:
        return matches[0] >= self.trusted

    def asks(self) -> bool:
        return self.taken < self.most

    def asks_again(self) -> bool:
        return self.taken + 1 < self.most

    def copied(self, drafter: str, matched: int) -> None:
        self.taken += 1

    def computed(self, confidence: float) -> None:
        self.taken += 1

    def length(self) -> int:
        return self.taken if self.keep is None else self.keep


def matches(draft: Draft) -> tuple[int, ...]:
    return tuple(token.matched for token in draft.tokens)


def suffix() -> SuffixDrafter:
    drafter = SuffixDrafter()
    drafter.begin(TEXT)
    return drafter


def test_a_model_goes_on_until_its_words_are_a_repetition_that_is_trusted() -> None:
    model = Counting()
    draft = composed(TEXT, [suffix(), model], Wanting(5), 8)
    assert draft.ids == (4, 5, 6, 7, 8, 9, 1, 2)
    assert draft.origins == ("model", "model", *["suffix"] * 6)
    assert matches(draft) == (0, 0, 5, 6, 7, 8, 9, 10)
    assert draft.computed == 2
    assert model.asked == [(), (4,)]
    assert draft.origin == "hybrid"


def test_a_copy_goes_on_until_it_ends_and_the_model_after_it() -> None:
    model = Counting(leap=10)
    draft = composed([5, 6, 7, 5], [NgramDrafter(1, 1), model], Wanting(1), 3)
    assert draft.origin == "model"  # the n-gram drafter has not begun with the text
    ngram = NgramDrafter(2, 1)
    ngram.begin([5, 6, -1, 5])
    draft = composed([5, 6, -1, 5], [ngram, model], Wanting(1), 3)
    assert draft.ids == (6, 16, 26)
    assert draft.origins == ("ngram", "model", "model")
    assert model.asked[-2:] == [(6,), (6, 16)]


def test_where_the_model_leaves_the_repetition_another_is_looked_for() -> None:
    text = [1, 2, 3, 9, 9, 9, 1, 2, 4, 5, 6, 7, 1, 2]
    drafter = SuffixDrafter()
    drafter.begin(text)
    model = Counting(leap=1)
    draft = composed(text, [drafter, model], Wanting(3), 4)
    assert draft.ids == (3, 9, 9, 9)  # the model gave 3, where the latest text has 4
    assert draft.origins == ("model", "suffix", "suffix", "suffix")


def test_the_tail_that_is_not_worth_it_is_cut_and_what_it_cost_is_kept() -> None:
    draft = composed(TEXT, [Counting()], Wanting(99, most=6, keep=2), 32)
    assert (draft.ids, draft.computed) == ((4, 5), 6)
    assert composed(TEXT, [Counting()], Wanting(99, most=0), 32).ids == ()


class Ahead(Counting):
    """Notes what it was told of further tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[int] = []

    def go_ahead(self) -> None:
        self.told.append(len(self.asked))


def test_a_model_hears_that_it_will_be_asked_again_only_where_there_is_room_and_it_is_likely() -> None:
    model = Ahead()
    composed(TEXT, [model], Wanting(99, most=9), 4)
    assert (len(model.asked), model.told) == (4, [0, 1, 2])
    model = Ahead()
    composed(TEXT, [model], Wanting(99, most=3), 8)
    assert (len(model.asked), model.told) == (3, [0, 1])


class Drawing(Counting):
    """Draws each token from the same distribution, and is as sure of it as that was likely."""

    def __init__(self, chances: np.ndarray, seed: int) -> None:
        super().__init__()
        self.chances = chances
        self.random = np.random.default_rng(seed)

    def propose(self, context, k, *, after=(), sampler=None, alternatives=False) -> Draft:
        token = int(self.random.choice(len(self.chances), p=self.chances))
        return Draft((DraftToken(token, self.name, float(self.chances[token]), 0, self.chances),), 1)


class Choosy(Wanting):
    """Would have tokens verified only while the model was sure of each."""

    sure: list[float]

    def computed(self, confidence: float) -> None:
        self.taken += 1
        self.sure = [*getattr(self, "sure", []), confidence]

    def length(self) -> int:
        return next((at for at, sure in enumerate(self.sure) if sure < 0.3), len(self.sure))


def test_tokens_drawn_are_verified_however_unlikely_they_were() -> None:
    """Else the first emitted token would not follow the target: cut drafts would leave too many of the likely ones."""
    target, draft = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.2, 0.3, 0.4])
    model, random = Drawing(draft, 1), np.random.default_rng(2)
    n, counts = 6000, np.zeros(4)
    for _ in range(n):
        proposal = composed([0], [model], Choosy(99, most=2), 2)
        k = len(proposal.tokens)
        if k:
            rows = proposal.distributions()
            assert rows is not None
            verdict = by_block(np.tile(target, (1, k + 1, 1)), rows[None], np.array([proposal.ids]), random)
            accepted, following = verdict.first()
            counts[proposal.ids[0] if accepted else following] += 1
        else:
            counts[random.choice(4, p=target)] += 1
    assert float(((counts - n * target) ** 2 / (n * target)).sum()) < 25  # three degrees of freedom: one in 60,000


def test_what_was_drawn_and_what_was_copied_have_their_distributions() -> None:
    draft = composed(TEXT, [suffix(), Counting(vocabulary=12)], Wanting(5), 4)
    rows = draft.distributions()
    assert rows is not None
    assert rows.shape == (4, 12)
    assert np.allclose(rows.sum(axis=1), 1.0)
    assert np.allclose(rows[:2], 1 / 12)
    assert (rows[2][6], rows[3][7]) == (1.0, 1.0)
    copied = composed(TEXT, [suffix(), Counting(vocabulary=12)], Wanting(1), 4)
    assert copied.distributions() is None


def test_runners_up_know_their_place() -> None:
    draft = composed(TEXT, [suffix(), Counting()], Wanting(5), 4, alternatives=True)
    assert [token.runner_up for token in draft.tokens] == [99, 99, None, None]


def test_a_drafter_that_knows_of_no_repetition_is_asked_all_the_same() -> None:
    class Own(NgramDrafter):
        def propose(self, context, k, *, after=(), sampler=None, alternatives=False) -> Draft:
            guesses = DraftToken(5, self.name, 0.7), DraftToken(6, self.name, 0.6)
            return Draft(guesses[len(after) : k])

    draft = composed(TEXT, [Own()], Wanting(1), 8)
    assert (draft.ids, matches(draft)) == ((5, 6), (1, 2))
    assert [token.confidence for token in draft.tokens] == [0.7, 0.6]
    assert draft.origins == ("ngram", "ngram")
