"""Chances of draft tokens, learnt."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from punie_trace.speculative.acceptance import Chance, CopyAcceptance, ModelAcceptance


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=300), st.floats(0, 1))
def test_a_chance_lies_between_what_was_seen_and_what_was_assumed(outcomes: list[bool], prior: float) -> None:
    chance = Chance()
    for accepted in outcomes:
        chance.add(accepted)
    seen = chance.accepted / chance.tried if outcomes else prior
    assert min(seen, prior) - 1e-9 <= chance.given(prior) <= max(seen, prior) + 1e-9


def test_a_model_is_judged_by_how_sure_it_was_and_by_where_it_spoke() -> None:
    model = ModelAcceptance(0.7)
    assert model.usual(True) == model.usual(False) == 0.7
    for _ in range(200):
        model.add(True, 0.97, True)
        model.add(False, 0.4, False)
    assert model.usual(True) > 0.93
    assert model.usual(False) < 0.1
    assert model.confident(0.96) > 0.95 > 0.1 > model.confident(0.45)


def test_a_model_that_is_new_here_leans_on_what_it_did_elsewhere() -> None:
    model = ModelAcceptance(0.7)
    for _ in range(100):
        model.add(False, 0.9, False)
    assert model.usual(True) < 0.1


def test_a_confidence_never_met_is_taken_at_its_word_within_reason() -> None:
    model = ModelAcceptance()
    assert model.confident(0.5) == 0.5
    assert model.confident(1.0) == 0.98
    assert model.confident(0.0) == 0.02


def test_the_longer_the_repetition_the_likelier_its_next_token() -> None:
    copies = CopyAcceptance()
    chances = [copies.chance(False, matched) for matched in range(1, 300)]
    assert chances == sorted(chances)
    assert (chances[0], chances[3], chances[15]) == (1 / 2, 4 / 5, 16 / 17)
    assert chances[-1] == chances[200] < 1


def test_copies_are_judged_by_length_and_by_where_they_stood() -> None:
    copies = CopyAcceptance()
    for _ in range(200):
        copies.add(True, 5, False)
        copies.add(False, 5, True)
        copies.add(True, 20, True)
    assert copies.chance(True, 4) < 0.1
    assert copies.chance(False, 7) > 0.9
    assert copies.chance(False, 20) > 0.95  # leans on inside
    copies.begin()
    assert copies.chance(True, 3) == 2 / 3  # never met


def test_a_text_that_refuses_its_copies_is_trusted_less_until_the_next_begins() -> None:
    copies = CopyAcceptance()
    for _ in range(100):
        copies.add(False, 20, True)
    before = copies.chance(False, 2), copies.chance(False, 20)
    for _ in range(4):
        copies.add(False, 3, False)
    refused = copies.chance(False, 2), copies.chance(False, 20)
    assert refused[0] < 0.5 * before[0]
    assert refused[1] < 0.9 * before[1]
    copies.begin()
    assert copies.chance(False, 20) > 0.99 * before[1]
    assert refused[0] < copies.chance(False, 2) < before[0]  # what short repetitions are worth at large was learnt


def test_what_a_text_accepts_makes_no_copy_likelier_than_in_texts_at_large() -> None:
    copies = CopyAcceptance()
    for _ in range(50):
        copies.add(False, 4, True)
        assert copies.chance(False, 300) <= 1.0
    assert copies.chance(True, 64) == 64 / 65
