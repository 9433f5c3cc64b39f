"""Drafters that copy: what they find, what they keep, how much memory that takes."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie_trace.errors import ConfigurationError, ModelError
from punie_trace.speculative import (
    Draft,
    DraftToken,
    HybridDrafter,
    ModelDrafter,
    NgramDrafter,
    SuffixDrafter,
    make_drafter,
)
from punie_trace.speculative.automaton import BYTES_PER_TOKEN, SuffixAutomaton
from punie_trace.speculative.make import check_same_ids
from tests.speculative.tiny import tiny_model, tiny_tokenizer

texts = st.lists(st.integers(0, 3), min_size=1, max_size=40)


def matches(draft: Draft) -> tuple[int, ...]:
    return tuple(token.matched for token in draft.tokens)


def longest_repeat(text: list[int]) -> int:
    """The longest suffix that also ends earlier, by trying all."""
    return max(
        (
            n
            for n in range(1, len(text))
            if any(text[e - n + 1 : e + 1] == text[-n:] for e in range(n - 1, len(text) - 1))
        ),
        default=0,
    )


@settings(deadline=None)
@given(texts)
def test_the_automaton_finds_the_longest_repeated_suffix(text: list[int]) -> None:
    automaton = SuffixAutomaton()
    for token in text:
        automaton.read(token)
    assert automaton.matched == longest_repeat(text)
    if automaton.matched:
        end = automaton.matched_end
        assert end < len(text) - 1
        assert text[end - automaton.matched + 1 : end + 1] == text[-automaton.matched :]


@settings(deadline=None)
@given(texts, texts)
def test_another_text_is_followed_through_the_automaton(store: list[int], text: list[int]) -> None:
    automaton = SuffixAutomaton()
    for token in store:
        automaton.read(token)
    state, matched = 0, 0
    for token in text:
        state, matched = automaton.step(state, matched, token)
    joined = ",".join(map(str, store))
    wanted = max(
        (n for n in range(1, len(text) + 1) if f",{','.join(map(str, text[-n:]))}," in f",{joined},"), default=0
    )
    assert matched == wanted
    if matched:
        end = automaton.end_of(state)
        assert store[end - matched + 1 : end + 1] == text[-matched:]


RANDOM = random.Random(5)


@pytest.mark.parametrize(
    "text",
    [
        [(i * i + i // 7) % 50 for i in range(2000)], [i % 97 for i in range(2000)], [1] * 2000,
        [RANDOM.randrange(2) for _ in range(2000)], [RANDOM.randrange(1500) for _ in range(2000)],
    ],
    ids=["squares", "a loop", "one token", "two tokens", "many tokens"],
)  # fmt: skip
def test_the_memory_of_an_automaton_is_not_understated_and_little_overstated(text: list[int]) -> None:
    tracemalloc.start()
    automaton = SuffixAutomaton()
    for token in text:
        automaton.read(token)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < automaton.nbytes <= BYTES_PER_TOKEN * len(text)
    assert held > 0.75 * automaton.nbytes


@settings(deadline=None)
@given(texts, st.integers(1, 6))
def test_an_n_gram_is_continued_as_it_was_last_time(text: list[int], k: int) -> None:
    drafter = NgramDrafter(longest=3, shortest=2)
    drafter.begin(text)
    proposal = drafter.propose(text, k)
    repeat = min(3, longest_repeat(text))
    if repeat < 2:
        assert proposal.ids == ()
        return
    ends = [i + repeat for i in range(len(text) - repeat) if text[i : i + repeat] == text[-repeat:]]
    assert proposal.matched == (repeat if len({text[end] for end in ends}) == 1 else 1)
    ends = [e for e in range(repeat - 1, len(text) - 1) if text[e - repeat + 1 : e + 1] == text[-repeat:]]
    grown = list(text)
    for token in proposal.ids:
        assert token == grown[ends[-1] + 1 + len(grown) - len(text)]
        grown.append(token)
    assert len(proposal.ids) == k


@pytest.mark.parametrize("drafter", [NgramDrafter(), SuffixDrafter()])
def test_a_loop_is_continued_beyond_the_end_of_the_text(drafter) -> None:
    text = [7, 1, 2, 3, 1, 2, 3, 1]
    drafter.begin(text)
    assert drafter.propose(text, 7).ids == (2, 3, 1, 2, 3, 1, 2)
    drafter.commit([2, 3, 9])
    assert drafter.propose([*text, 2, 3, 9], 3).ids == ()
    assert drafter.propose(text, 0).ids == ()


def test_earlier_requests_are_remembered_until_there_is_no_room() -> None:
    drafter = SuffixDrafter(store_limit=40 * (BYTES_PER_TOKEN + 8))
    answer = [50, 51, 52, 53, 54, 55]
    context = [1, 2, 3, *answer]
    drafter.begin([1, 2, 3])
    drafter.commit(answer)
    drafter.end(context, 3)
    drafter.begin([9, 9, 1, 2, 3])
    assert drafter.propose([], 6).ids == tuple(answer)
    for start in range(100, 600, 10):
        drafter.begin([start, start + 1])
        drafter.commit(range(start + 2, start + 8))
        drafter.end(list(range(start, start + 8)), 2)
        assert drafter.earlier.nbytes <= drafter.earlier.limit
    drafter.begin([9, 9, 1, 2, 3])
    assert drafter.propose([], 6).ids == ()
    drafter.begin([590, 591])
    assert drafter.propose([], 3).ids == (592, 593, 594)


def test_the_same_answer_again_takes_no_more_memory() -> None:
    drafter = SuffixDrafter()
    for _ in range(5):
        drafter.begin([1, 2, 3])
        drafter.commit([4, 5, 6])
        drafter.end([1, 2, 3, 4, 5, 6], 3)
    assert len(drafter.earlier.automaton) == 7


def test_a_request_that_goes_on_from_the_last_is_not_read_again() -> None:
    drafter = SuffixDrafter()
    drafter.begin([1, 2, 3, 4])
    own = drafter._own
    drafter.begin([1, 2, 3, 4, 5, 1, 2])
    assert drafter._own is own
    assert drafter.propose([], 2).ids == (3, 4)
    drafter.begin([1, 2, 9])
    assert drafter._own is not own


def test_a_long_request_is_indexed_by_its_newest_part() -> None:
    drafter = SuffixDrafter(window=16)
    drafter.begin(range(100))
    for token in range(100, 180):
        drafter.commit([token])
        assert len(drafter._own) <= 33
    assert list(drafter._own.text)[-1] == 179


def test_a_hybrid_asks_the_model_where_the_match_is_short() -> None:
    class Sure(NgramDrafter):
        free = False

        def propose(self, context, k, *, after=(), sampler=None, alternatives=False) -> Draft:
            return Draft((DraftToken(99, self.name),) * k)

    hybrid = HybridDrafter(SuffixDrafter(), Sure())
    hybrid.begin([1, 2, 3, 4, 5, 6, 1, 2])
    assert hybrid.propose([1, 2, 3, 4, 5, 6, 1, 2], 2).ids == (99, 99)
    hybrid.commit([3, 4])
    assert hybrid.propose([1, 2, 3, 4, 5, 6, 1, 2, 3, 4], 2).ids == (5, 6)
    assert [m.name for m in hybrid.members()] == ["suffix", "ngram"]


def test_a_draft_can_be_cut() -> None:
    tokens = DraftToken(1, "suffix", 0.9, 4), DraftToken(2, "model", 0.8, runner_up=8), DraftToken(3, "model", 0.7)
    draft = Draft(tokens, 2)
    assert draft.first(2) == Draft(tokens[:2], 2)
    assert draft.first(5) is draft
    assert (draft.origin, draft.first(1).origin, draft.matched) == ("hybrid", "suffix", 4)


def test_drafters_by_name() -> None:
    tokenizer, model = tiny_tokenizer(), tiny_model(1, layers=1)
    both: Any = {"target_tokenizer": tokenizer, "draft_tokenizer": tiny_tokenizer(), "draft_model": model}
    assert isinstance(make_drafter("ngram", target_tokenizer=tokenizer), NgramDrafter)
    assert isinstance(make_drafter("suffix", target_tokenizer=tokenizer), SuffixDrafter)
    assert isinstance(make_drafter("model", **both), ModelDrafter)
    assert [m.name for m in make_drafter("hybrid", **both).members()] == ["suffix", "model"]
    assert [m.name for m in make_drafter("hybrid", target_tokenizer=tokenizer).members()] == ["suffix"]
    with pytest.raises(ConfigurationError, match="did you mean 'suffix'"):
        make_drafter("sufix", target_tokenizer=tokenizer)
    with pytest.raises(ConfigurationError, match="needs a draft model"):
        make_drafter("model", target_tokenizer=tokenizer)
    with pytest.raises(ModelError, match="MB are allowed"):
        make_drafter("hybrid", **both, max_memory=1000)


def test_a_draft_of_other_ids_is_refused_even_if_as_many() -> None:
    words = [f"w{i}" for i in range(64)]
    other = [*words[:10], words[11], words[10], *words[12:]]
    with pytest.raises(ModelError, match="2 tokens differ, the first is 'w"):
        make_drafter(
            "model",
            target_tokenizer=tiny_tokenizer(words),
            draft_tokenizer=tiny_tokenizer(other),
            draft_model=tiny_model(1, layers=1),
        )
    with pytest.raises(ModelError, match="absent in the draft"):
        check_same_ids(tiny_tokenizer(words), tiny_tokenizer(words[:-1]))
    check_same_ids(tiny_tokenizer(words), tiny_tokenizer(words))


def test_what_has_gone_on_in_several_ways_is_told_from_what_always_went_on_alike() -> None:
    template = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    drafter = SuffixDrafter()
    drafter.begin([*template, 20, 10, 11, 12, *template])
    once = drafter.propose([], 4)
    assert (once.ids, matches(once)) == ((20, 10, 11, 12), (9, 10, 11, 12))
    drafter.begin([*template, 20, 10, 11, 12, *template, 30, 10, 11, 12, *template])
    twice = drafter.propose([], 4)
    assert twice.ids[1:] == (10, 11, 12)
    assert matches(twice)[0] == twice.matched == 1  # the name that the template is filled with
    assert min(matches(twice)[1:]) > 9


def test_so_does_an_n_gram() -> None:
    drafter = NgramDrafter(2, 1)
    drafter.begin([1, 2, 5, 6, 1, 2, 7, 8, 1, 2])
    assert matches(drafter.propose([], 3)) == (1, 3, 4)
    drafter.begin([1, 2, 5, 6, 1, 2, 5, 8, 1, 2])
    assert matches(drafter.propose([], 3)) == (2, 3, 4)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=60))
def test_an_automaton_knows_what_followed(text: list[int]) -> None:
    automaton = SuffixAutomaton()
    for token in text:
        automaton.read(token)
    if not automaton.matched:
        return
    words = text[-min(automaton.matched, 3) :]
    found = [i + len(words) for i in range(len(text) - len(words)) if text[i : i + len(words)] == words]
    followed = {text[at] for at in found if at < len(text)}
    assert automaton.went_on_alike(automaton.matched_state, 3) == (len(followed) == 1) or automaton.matched < 3


def test_a_long_repetition_is_the_same_text_again_whatever_its_end_was_followed_by_elsewhere() -> None:
    question, template = list(range(100, 130)), list(range(1, 10))
    drafter = SuffixDrafter()
    drafter.begin([*question, *template, 20, 10, 11, 99, *template, 30, 98, *question, *template])
    proposal = drafter.propose([], 3)
    assert proposal.ids == (20, 10, 11)
    assert matches(proposal) == (39, 40, 41)
