"""The rule by which a draft grows, against all drafts that could have been made."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from punie_trace.speculative.acceptance import CopyAcceptance, ModelAcceptance
from punie_trace.speculative.growth import MeasuredGrowth


def growth(curve: list[float], rate: float, *, usual: float | None = None, step: float = 0.0, **options):
    model = None if usual is None else ModelAcceptance(usual)
    return MeasuredGrowth(rate=rate, curve=curve, step=step, copies={}, model=model, inside=False, **options)


def line(slope: float, longest: int = 32) -> list[float]:
    return [100.0 * (1 + slope * m) for m in range(longest + 1)]


chances = st.lists(st.floats(0.05, 1.0), min_size=1, max_size=20)


@settings(deadline=None)
@given(chances, st.floats(0.0, 0.3), st.floats(0.5, 4.0))
def test_what_is_verified_is_the_best_part_of_what_was_drafted(confidence: list[float], slope: float, r: float) -> None:
    rule = growth(line(slope), r / 100, usual=0.8)
    model = ModelAcceptance(0.8)
    gains, reach, tokens = [-r], 1.0, 0.0
    for k, sure in enumerate(confidence, start=1):
        rule.computed(sure)
        reach *= model.confident(sure)
        tokens += reach
        gains.append(tokens - r * (1 + slope * k))
    assert gains[rule.length()] == max(gains)


@settings(deadline=None)
@given(st.floats(0.0, 0.5), st.floats(0.5, 6.0), st.integers(1, 100))
def test_a_copy_is_taken_exactly_while_some_longer_draft_gains(slope: float, r: float, matched: int) -> None:
    rule, chance = growth(line(slope), r / 100), CopyAcceptance().chance
    taken = 0
    while taken < 32 and rule.copies("suffix", range(matched + taken, matched + 32)):
        reach = 1.0
        for i in range(taken):
            reach *= chance(False, matched + i)
        gains, gained = [], 0.0
        for more in range(1, 32 - taken + 1):
            reach *= chance(False, matched + taken + more - 1)
            gained += reach
            gains.append(gained - r * slope * more)
        assert max(gains) > 0
        rule.copied("suffix", matched + taken)
        taken += 1
    assert taken > 0 or chance(False, matched) <= r * slope


def test_a_bump_in_the_cost_is_no_wall() -> None:
    curve = [100.0, 100.0, 180.0, 181.0, 182.0, 183.0, 184.0, 185.0, 186.0]
    rule = growth(curve, 0.02, usual=0.97)
    rule.computed(0.99)
    assert rule.asks()  # the next token alone would cost 1.6 of what it gains


def test_the_model_is_asked_while_it_pays() -> None:
    assert growth(line(0.05), 0.02, usual=0.9, step=5).asks()
    assert not growth(line(0.05), 0.02, usual=0.3, step=60).asks()
    assert not growth(line(0.05), 0.02).asks()
    short = growth(line(0.05, 1), 0.02, usual=0.9)
    short.computed(0.99)
    assert not short.asks()  # no longer than the curve


def test_a_copy_gives_way_to_a_model_that_is_likelier_and_cheap() -> None:
    assert growth(line(0.05), 0.02, usual=0.97, step=5).copies("suffix", [64])
    assert not growth(line(0.05), 0.02, usual=0.97, step=5).copies("suffix", [2])
    assert growth(line(0.05), 0.02, usual=0.97, step=200).copies("suffix", [2])  # unless it is dear
    assert growth(line(0.05), 0.02, usual=0.40, step=5).copies("suffix", [2])  # or no better


def test_spare_tokens_are_drafted_and_verified_to_learn() -> None:
    rule = growth(line(0.9), 0.02, usual=0.1, step=50, spare=2)
    assert rule.asks()
    rule.computed(0.1)
    assert rule.asks()
    rule.computed(0.1)
    assert not rule.asks()
    assert rule.length() == 2


def test_a_least_share_of_acceptance_is_kept_to() -> None:
    rule = growth(line(0.001), 0.02, usual=0.7, step=1, min_acceptance=0.8)
    assert rule.asks()  # how sure it is shows only then
    rule.computed(0.95)
    while rule.asks():
        rule.computed(0.75)
    assert rule.length() == 2  # 0.95 and 0.95 * 0.75 on average; a third would bring it below
    assert not growth(line(0.001), 0.02, min_acceptance=0.9).copies("suffix", [2])


def test_the_promise_of_a_copy() -> None:
    rule = growth(line(0.05), 0.01)
    assert rule.promise("suffix", range(32, 40)) > rule.promise("suffix", range(32, 36))
    assert rule.promise("suffix", range(32, 36)) > rule.promise("suffix", range(2, 6))
    chance = CopyAcceptance().chance(False, 2)
    assert abs(rule.promise("suffix", [2]) - (1 + chance - 1.05)) < 1e-9


@settings(deadline=None)
@given(
    st.floats(0.0, 0.4),
    st.floats(0.5, 4.0),
    st.floats(0.0, 30.0),
    st.floats(0.3, 1.0),
    chances,
    st.sampled_from([None, 0.5, 0.8]),
)
def test_it_expects_to_ask_again_exactly_where_it_then_does_if_the_token_is_as_sure_as_usual(
    slope: float, r: float, step: float, usual: float, confidence: list[float], least: float | None
) -> None:
    rule = growth(line(slope, 24), r / 100, usual=usual, step=step, min_acceptance=least)
    model = rule._model
    assert model is not None
    for sure in confidence:
        expected = rule.asks_again()
        twin = growth(line(slope, 24), r / 100, usual=usual, step=step, min_acceptance=least)
        for reach in rule._reaches:
            twin._add(reach / twin._reach)
        twin._add(model.usual(False))
        assert expected == twin.asks(spend=False)
        rule.computed(sure)


def test_without_a_model_or_room_for_two_nothing_is_expected() -> None:
    assert not growth(line(0.0), 0.01).asks_again()
    assert not growth(line(0.0, 1), 0.01, usual=0.99).asks_again()
    assert growth(line(0.0, 2), 0.01, usual=0.99).asks_again()
