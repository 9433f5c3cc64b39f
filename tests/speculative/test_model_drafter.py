"""A draft model that begins on a token before it is asked for gives what one does that is asked step by step."""

from __future__ import annotations

from collections import Counter
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie_trace.errors import ModelError
from punie_trace.speculative import GoesAhead, ModelDrafter, TemperatureSampler
from punie_trace.speculative.cache import length_of
from punie_trace.speculative.drafting import Draft
from tests.speculative.tiny import tiny_model

DRAFT = tiny_model(3)
PROMPT = [(7 * n + n // 5) % 60 for n in range(40)]


class Counted(ModelDrafter):
    """Counts the tokens that its model reads."""

    read = 0

    def _logits(self, tokens: mx.array) -> mx.array:
        self.read += tokens.shape[1]
        return super()._logits(tokens)


def surely(draft: Draft) -> list[float]:
    return [token.confidence for token in draft.tokens]


# How many tokens are asked for, whether one more is announced, and what then follows the last (None: itself).
steps = st.lists(
    st.tuples(st.integers(1, 3), st.booleans(), st.one_of(st.none(), st.integers(0, 59))), min_size=1, max_size=6
)


@settings(max_examples=40, deadline=None)
@given(st.lists(steps, min_size=1, max_size=4))
def test_a_step_begun_early_changes_no_token_and_no_confidence(rounds: list) -> None:
    ahead, plain, context = ModelDrafter(DRAFT), ModelDrafter(DRAFT), list(PROMPT)
    assert isinstance(ahead, GoesAhead)
    for drafter in (ahead, plain):
        drafter.begin(context)
    for steps in rounds:
        after: list[int] = []
        for k, announced, other in steps:
            if announced:
                ahead.go_ahead()
            got, wanted = (drafter.propose(context, k, after=after) for drafter in (ahead, plain))
            assert got.ids == wanted.ids
            assert surely(got) == pytest.approx(surely(wanted), abs=1e-4)
            assert length_of(ahead._cache) == len(ahead._read)
            after += got.ids if other is None else [*got.ids[:-1], other]
        context += [*after[: len(after) // 2 + 1], 5]


def test_what_was_announced_is_read_once_and_what_was_not_asked_for_then_costs_one_step() -> None:
    drafter = Counted(DRAFT)
    drafter.begin(PROMPT)
    after: list[int] = []
    for _ in range(5):
        drafter.go_ahead()
        after += drafter.propose(PROMPT, 1, after=after).ids
    assert drafter.read == len(PROMPT) + 5  # the last of them in vain
    assert drafter.propose(PROMPT, 1, after=after).ids
    assert drafter.read == len(PROMPT) + 5
    drafter.propose([*PROMPT, *after, 1], 3)
    assert drafter.read == len(PROMPT) + 5 + 1 + 2


def test_an_announcement_holds_for_one_call() -> None:
    drafter = Counted(DRAFT)
    drafter.begin(PROMPT)
    drafter.go_ahead()
    drafter.propose(PROMPT, 1)
    first = drafter.propose([*PROMPT, 1, 2], 2)
    assert drafter.read == len(PROMPT) + 1 + 2 + 1
    assert first.ids == ModelDrafter(DRAFT).propose([*PROMPT, 1, 2], 2).ids


def test_no_step_is_begun_beyond_the_positions_that_the_model_was_made_for() -> None:
    drafter = Counted(DRAFT)
    drafter._longest = len(PROMPT) + 2
    drafter.begin(PROMPT)
    drafter.go_ahead()
    first = drafter.propose(PROMPT, 1)
    drafter.go_ahead()
    assert len(drafter.propose(PROMPT, 4, after=first.ids).ids) == 1
    assert drafter.read == len(PROMPT) + 1
    assert not drafter.propose(PROMPT, 1, after=[1, 2]).ids


def test_logits_that_are_no_numbers_are_said_where_they_show_and_a_new_text_begins_anew() -> None:
    model = tiny_model(3)
    drafter = ModelDrafter(model)
    drafter.begin(PROMPT)
    whole = model.model.norm.weight
    drafter.go_ahead()
    token = drafter.propose(PROMPT, 1).ids
    model.model.norm.weight = whole * float("nan")
    drafter.go_ahead()
    assert drafter.propose(PROMPT, 1, after=token).ids  # computed before the weights went bad
    with pytest.raises(ModelError, match="not numbers"):
        drafter.propose([*PROMPT, 3], 2)
    model.model.norm.weight = whole
    assert drafter.propose([*PROMPT, 3], 4).ids == ModelDrafter(DRAFT).propose([*PROMPT, 3], 4).ids


def test_a_step_begun_in_one_text_is_never_another_texts() -> None:
    drafter = Counted(DRAFT)
    drafter.begin(PROMPT)
    drafter.go_ahead()
    first = drafter.propose(PROMPT, 1)
    drafter.begin(PROMPT)
    before = drafter.read
    again = drafter.propose(PROMPT, 1, after=first.ids)
    assert drafter.read > before  # its logits are computed anew
    assert again.ids == ModelDrafter(DRAFT).propose(PROMPT, 1, after=first.ids).ids


def test_drawn_tokens_come_from_the_distribution_that_is_recorded_with_them() -> None:
    sampler = TemperatureSampler(1.0)
    drafter = ModelDrafter(DRAFT)
    drafter.begin(PROMPT)
    mx.random.seed(0)
    counts, after, rows = Counter[int](), drafter.propose(PROMPT, 1).ids, []
    known: dict[int, Any] = {}
    for _ in range(400):
        drafter.go_ahead()
        (token,) = drafter.propose(PROMPT, 1, after=after, sampler=sampler).tokens
        counts[token.id] += 1
        rows.append(token.distribution)
        after_it = [*after, token.id]
        following = drafter.propose(PROMPT, 1, after=after_it, sampler=sampler).tokens[0].distribution
        if token.id not in known:
            plain = ModelDrafter(DRAFT).propose(PROMPT, 1, after=after_it, sampler=sampler).tokens[0].distribution
            known[token.id] = plain
        assert following == pytest.approx(known[token.id], abs=1e-4)
    plain = ModelDrafter(DRAFT).propose(PROMPT, 1, after=after, sampler=sampler).tokens[0].distribution
    assert plain is not None
    for row in rows:
        assert row == pytest.approx(plain, abs=1e-4)
    likely = [token for token in range(len(plain)) if plain[token] > 0.05]
    assert likely
    for token in likely:
        assert abs(counts[token] / 400 - plain[token]) < 0.12
