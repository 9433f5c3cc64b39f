"""A draft model keeps a few texts, proposes what a fresh one would after any of them, and stays within its bytes."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_lm.models.cache import make_prompt_cache

from punie_trace.speculative import ModelDrafter, Speculation, SpeculativeDecoder, make_drafter
from punie_trace.speculative.draft_caches import DraftCaches, common_prefix
from punie_trace.speculative.model_drafter import weights_of
from tests.speculative.tiny import near, reference, tiny_model, tiny_tokenizer

TARGET = tiny_model(1)
DRAFT = near(TARGET, 2, 0.02)
TOKENIZER = tiny_tokenizer()
SYSTEM = [(7 * n + n // 5) % 60 for n in range(150)]  # what conversations have in common
texts = st.lists(st.integers(0, 2), max_size=12)


def conversation(seed: int, length: int) -> list[int]:
    return SYSTEM + [(seed * 31 + n * n) % 60 for n in range(length)]


def bytes_of(tokens: int) -> int:
    """What a cache of so many tokens takes."""
    cache = make_prompt_cache(DRAFT)
    DRAFT(mx.array([[1] * tokens]), cache=cache)
    return sum(entry.nbytes for entry in cache)


@given(texts, texts)
def test_the_common_beginning(one: list[int], other: list[int]) -> None:
    pairs = list(zip(one, other, strict=False))
    assert common_prefix(one, other) == next((n for n, (a, b) in enumerate(pairs) if a != b), len(pairs))


def test_conversations_that_take_turns_are_not_read_again() -> None:
    drafter = ModelDrafter(DRAFT)
    talks = [conversation(1, 200), conversation(2, 200), conversation(3, 200)]
    lags = []
    for _ in range(3):
        for talk in talks:
            drafter.begin(talk)
            lags.append(drafter.lag(talk))
            talk += [*drafter.propose(talk, 8).ids, 1, 2, 3]
    assert lags[0] == len(SYSTEM) + 199
    assert lags[1:3] == [199, 199]  # what all have in common is copied
    assert max(lags[3:]) < 12


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 230), st.integers(1, 6)), min_size=1, max_size=8),
    st.sampled_from([0, bytes_of(256), 3 * bytes_of(256), 1 << 30]),
)
def test_whatever_came_before_it_proposes_what_a_fresh_one_does(steps: list[tuple[int, int, int]], limit: int) -> None:
    drafter = ModelDrafter(DRAFT, cache_limit=limit, prefill_step=97)
    for seed, length, k in steps:
        context = conversation(seed, length)
        fresh = ModelDrafter(DRAFT)
        drafter.begin(context)
        got, wanted = drafter.propose(context, k), fresh.propose(context, k)
        assert got.ids == wanted.ids
        sure = [[token.confidence for token in draft.tokens] for draft in (got, wanted)]
        assert sure[0] == pytest.approx(sure[1], abs=1e-4)
        drafter.end(context, len(context))
        caches = drafter._caches
        assert caches.nbytes <= max(limit, caches.current.nbytes)
        assert drafter.nbytes == weights_of(DRAFT) + caches.nbytes


def test_what_was_used_longest_ago_goes_first() -> None:
    drafter = ModelDrafter(DRAFT, cache_limit=3 * bytes_of(512))  # a copy grows in steps, and takes more
    first, second, third = (conversation(seed, 300) for seed in (1, 2, 3))
    for talk in (first, second, first, third):
        drafter.begin(talk)
        drafter.propose(talk, 2)
        drafter.end(talk, len(talk))
    assert len(drafter._caches) == 2
    drafter.begin(first)
    assert drafter.lag(first) == 0
    drafter.begin(second)
    assert drafter.lag(second) == 299


def test_a_text_that_was_only_the_end_of_an_answer_longer_is_gone_on_with() -> None:
    drafter = ModelDrafter(DRAFT)
    talk = conversation(1, 100)
    for _ in range(5):
        drafter.begin(talk)
        drafter.propose(talk, 30)
    assert len(drafter._caches) == 1


def test_a_copy_that_fails_leaves_all_as_it_was() -> None:
    made = iter(range(100))

    def make() -> list:
        if next(made) == 1:
            raise MemoryError("no room")
        return make_prompt_cache(DRAFT)

    caches = DraftCaches(make, 1 << 30)
    DRAFT(mx.array([SYSTEM]), cache=caches.current.cache)
    caches.current.tokens.extend(SYSTEM)
    before = caches.current
    other = [*SYSTEM[:70], *[59] * 20]
    with pytest.raises(MemoryError):
        caches.turn_to(other)
    assert caches.current is before
    assert len(caches) == 1
    caches.turn_to(other)
    assert (caches.current.tokens, len(caches)) == (SYSTEM[:70], 2)


def test_texts_that_are_kept_never_stop_drafts_for_want_of_memory() -> None:
    limit = weights_of(DRAFT) + 2 * bytes_of(512)
    tokenizers: Any = {"target_tokenizer": TOKENIZER, "draft_tokenizer": TOKENIZER}
    drafter = make_drafter("model", draft_model=DRAFT, max_memory=limit, **tokenizers)
    decoder = SpeculativeDecoder(TARGET, TOKENIZER, drafter, draft_memory_limit=limit)
    for turn in range(2):
        for seed in range(4):
            talk = conversation(seed, 250 + turn)
            tokens = [
                m.token for m in decoder.stream_generate(talk, max_tokens=80, speculation=Speculation("fixed", 2))
            ]
            record = decoder.last_generation
            assert record is not None
            assert record.fallback is None
            assert record.drafter_bytes <= limit
            if not turn:
                assert tokens == reference(TARGET, TOKENIZER, talk, 80)
    hybrid = make_drafter("hybrid", draft_model=DRAFT, max_memory=weights_of(DRAFT) + 1, **tokenizers)
    [model] = [member for member in hybrid.members() if isinstance(member, ModelDrafter)]
    assert model._caches.limit == 0
