from __future__ import annotations

import math
import random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.analysis.statistics import Ratio, holm, paired_ratio, quantile, settle, wilson

times = st.floats(min_value=1e-3, max_value=1e6)
p_lists = st.lists(st.floats(min_value=0, max_value=1), max_size=8)


def make_times(queries: int, rounds: int, factor: float, noise: float, seed: int) -> dict[tuple[str, int], float]:
    chance = random.Random(seed)
    return {
        (f"q{query}", round_): (query + 1) * factor * chance.lognormvariate(0, noise)
        for query in range(queries)
        for round_ in range(rounds)
    }


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(5, 5, 0.5655, 1.0), (0, 5, 0.0, 0.4345), (8, 10, 0.4902, 0.9433), (38, 40, 0.8350, 0.9862)],
)
def test_wilson_gives_the_published_values(successes: int, n: int, low: float, high: float) -> None:
    share = wilson(successes, n)
    assert (share.low, share.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_mirrors(pair: tuple[int, int]) -> None:
    successes, n = pair
    share, mirrored = wilson(successes, n), wilson(n - successes, n)
    assert share.low is not None
    assert share.high is not None
    assert 0 <= share.low <= share.value <= share.high <= 1
    assert mirrored.high == pytest.approx(1 - share.low)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 4)])
def test_what_is_no_share_is_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson(successes, n)


@given(st.lists(times, min_size=1, max_size=40), st.sampled_from([0.05, 0.5, 0.9, 0.95]))
def test_a_quantile_lies_within_its_interval_and_the_values(values: list[float], q: float) -> None:
    found = quantile(values, q)
    assert min(values) <= found.value <= max(values)
    if q == 0.5:
        assert found.value == pytest.approx(median(values))
    else:
        assert found.value in values
    if found.low is not None and found.high is not None:
        assert found.low <= found.value <= found.high
        assert {found.low, found.high} <= set(values)


def test_the_median_of_ten_has_the_textbook_interval() -> None:
    found = quantile([float(value) for value in range(1, 11)], 0.5)
    assert (found.value, found.low, found.high) == (5.5, 2, 9)
    assert found.confidence == pytest.approx(1 - 2 * 11 / 1024)


def test_few_values_say_what_their_interval_reaches() -> None:
    assert quantile([1, 2, 3, 4, 5], 0.5).confidence == pytest.approx(15 / 16)
    assert quantile([1, 2, 3, 4, 5], 0.95).low is None
    assert quantile([7], 0.5).high is None
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


def test_the_interval_of_the_median_covers_as_it_says() -> None:
    chance = random.Random(5)
    covered = 0
    for _ in range(1000):
        found = quantile([chance.expovariate(1) for _ in range(15)], 0.5)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= math.log(2) <= found.high
    assert covered / 1000 > 0.93


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 10_000))
def test_swapping_the_two_gives_the_reciprocal(queries: int, rounds: int, seed: int) -> None:
    before = make_times(queries, rounds, 1.0, 0.2, seed)
    after = make_times(queries, rounds, 0.7, 0.2, seed + 1)
    there = paired_ratio(before, after)
    back = paired_ratio(after, before)
    assert there.estimate * back.estimate == pytest.approx(1)
    opposite = {"faster": "slower", "slower": "faster", "cannot tell": "cannot tell"}
    assert back.verdict == opposite[there.verdict]
    if there.low is not None and back.high is not None:
        assert there.low * back.high == pytest.approx(1)


def test_the_order_in_which_times_came_is_nothing_to_it() -> None:
    before, after = make_times(5, 3, 1.0, 0.1, 1), make_times(5, 3, 0.8, 0.1, 2)
    assert paired_ratio(before, after) == paired_ratio(dict(reversed(before.items())), after)


def test_a_clear_difference_is_told_and_lies_in_the_interval() -> None:
    ratio = paired_ratio(make_times(5, 3, 1.0, 0.05, 3), make_times(5, 3, 0.5, 0.05, 4))
    assert ratio.verdict == "faster"
    assert ratio.low is not None
    assert ratio.high is not None
    assert ratio.low < 2.0 < ratio.high
    assert (ratio.pairs, ratio.queries, ratio.more_rounds) == (15, 5, None)


@pytest.mark.parametrize(("queries", "rounds"), [(5, 1), (5, 3), (12, 2)])
def test_where_there_is_no_difference_one_verdict_in_twenty_says_one(queries: int, rounds: int) -> None:
    wrong = sum(
        paired_ratio(
            make_times(queries, rounds, 1.0, 0.1, 2 * seed),
            make_times(queries, rounds, 1.0, 0.1, 2 * seed + 1),
        ).verdict
        != "cannot tell"
        for seed in range(600)
    )
    # Neither more than promised nor far less, which would cost rounds: three standard errors around 5 %.
    assert 0.023 < wrong / 600 < 0.077


def test_each_query_counts_the_same_however_many_rounds_it_has() -> None:
    before = {("long", 0): 8.0, ("b", 0): 1.0, **{("many", round_): 1.0 for round_ in range(20)}}
    after = {key: value / (8 if key[0] == "long" else 1) for key, value in before.items()}
    assert paired_ratio(before, after).estimate == pytest.approx(2.0)


def test_one_disturbed_round_does_not_move_it() -> None:
    before = {(query, round_): 1.0 for query in "abcde" for round_ in range(3)}
    after = {**before, ("a", 1): 500.0}
    assert paired_ratio(before, after).estimate == 1.0


def test_no_difference_at_all_cannot_be_told() -> None:
    same = make_times(5, 3, 1.0, 0.1, 1)
    ratio = paired_ratio(same, same)
    assert (ratio.estimate, ratio.p_value, ratio.verdict, ratio.more_rounds) == (1.0, 1.0, "cannot tell", None)


def test_verdicts_without_a_difference_are_rare() -> None:
    """The promise of a 5 % verdict, over 300 comparisons of five queries that differ in their true ratio by chance."""
    chance = random.Random(8)
    told = 0
    for seed in range(300):
        before = make_times(5, 3, 1.0, 0.1, 2 * seed)
        own = {f"q{query}": chance.lognormvariate(0, 0.1) for query in range(5)}
        after = {key: value * own[key[0]] for key, value in make_times(5, 3, 1.0, 0.1, 2 * seed + 1).items()}
        told += paired_ratio(before, after).verdict != "cannot tell"
    assert told / 300 < 0.08


def test_the_interval_of_five_unequal_queries_covers_as_it_says() -> None:
    """Queries gain differently and are noisy to different degrees; a percentile bootstrap holds in about 83 %."""
    runs, held = 600, 0
    for seed in range(runs):
        chance = random.Random(seed)
        before, after = {}, {}
        for query in "abcde":
            gain, noise = chance.gauss(math.log(1.5), 0.1), chance.lognormvariate(-2.5, 0.5)
            for round_ in range(3):
                before[query, round_] = chance.lognormvariate(0, noise)
                after[query, round_] = chance.lognormvariate(-gain, noise)
        ratio = paired_ratio(before, after)
        assert ratio.low is not None
        assert ratio.high is not None
        held += ratio.low <= 1.5 <= ratio.high
    assert held / runs > 0.95 - 3 * math.sqrt(0.95 * 0.05 / runs)


def test_more_rounds_are_said_where_rounds_are_what_is_noisy() -> None:
    chance = random.Random(0)
    before = {(f"q{query}", round_): 1.0 for query in range(6) for round_ in range(4)}
    noise = [-0.30, -0.10, 0.10, 0.30]
    after = {key: math.exp(-0.04 + noise[(key[1] + chance.randrange(4)) % 4]) for key in before}
    ratio = paired_ratio(before, after)
    assert ratio.verdict == "cannot tell"
    assert ratio.more_rounds is not None
    assert ratio.more_rounds >= 1


def test_where_queries_disagree_it_takes_more_queries() -> None:
    before = {(query, round_): 1.0 for query in "abcdef" for round_ in range(3)}
    after = {key: 2.0 if key[0] in "abc" else 0.55 for key in before}
    ratio = paired_ratio(before, after)
    assert (ratio.verdict, ratio.more_rounds) == ("cannot tell", None)
    assert "more queries" in ratio.note


def test_too_few_say_so_in_words() -> None:
    ratio = paired_ratio({("a", 0): 2.0}, {("a", 0): 1.0})
    assert (ratio.estimate, ratio.low, ratio.p_value, ratio.verdict) == (pytest.approx(2.0), None, None, "cannot tell")
    assert "too few" in ratio.note


def test_one_query_is_told_by_its_rounds_and_says_so() -> None:
    before = {("a", round_): 2.0 + round_ / 100 for round_ in range(5)}
    ratio = paired_ratio(before, dict.fromkeys(before, 1.0))
    assert ratio.verdict == "faster"
    assert "one query only" in ratio.note


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(ValueError, match="in both"):
        paired_ratio({("a", 0): 1.0}, {("a", 1): 1.0})
    with pytest.raises(ValueError, match="above 0"):
        paired_ratio({("a", 0): 0.0}, {("a", 0): 1.0})


def test_holm_gives_the_textbook_values() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@given(p_lists)
def test_holm_never_lowers_and_keeps_the_order(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(before <= after <= 1 for before, after in zip(p_values, corrected, strict=True))
    ordered = [after for _, after in sorted(zip(p_values, corrected, strict=True))]
    assert ordered == sorted(ordered)


def test_a_verdict_that_does_not_stand_beside_the_others_is_withdrawn() -> None:
    before = make_times(5, 3, 1.0, 0.05, 1)
    clear = paired_ratio(before, make_times(5, 3, 0.5, 0.05, 2))
    after = {
        key: value * {"q0": 0.80, "q1": 0.84, "q2": 1.0, "q3": 0.85, "q4": 0.80}[key[0]]
        for key, value in before.items()
    }
    weak = paired_ratio(before, after, comparisons=4)
    assert weak.verdict == "faster"
    none = paired_ratio(before, before)
    settled = settle([clear, weak, none, none])
    assert [ratio.verdict for ratio in settled] == ["faster", "cannot tell", "cannot tell", "cannot tell"]
    assert "Holm" in settled[1].note


def test_how_many_more_queries_would_tell_is_about_right() -> None:
    """With as many more as it says, of the same spread, three of four samples are decided."""
    chance = random.Random(5)

    def sample(n: int) -> Ratio:
        after = {(f"q{i}", 1): math.exp(chance.gauss(-0.2, 0.3)) for i in range(n)}
        return paired_ratio(dict.fromkeys(after, 1.0), after, rounds_tell=False)

    open_ = [one for one in (sample(5) for _ in range(200)) if one.verdict == "cannot tell" and one.more_queries]
    assert len(open_) > 50
    assert all(one.more_rounds is None for one in open_)
    needed = sorted(5 + (one.more_queries or 0) for one in open_)[len(open_) // 2]
    decided = sum(sample(needed).verdict != "cannot tell" for _ in range(200))
    assert decided > 0.4 * 200


def test_too_few_queries_ask_for_queries_where_rounds_do_not_tell() -> None:
    ratio = paired_ratio({("q", 1): 2.0}, {("q", 1): 1.0}, rounds_tell=False)
    assert (ratio.verdict, ratio.more_rounds, ratio.more_queries) == ("cannot tell", None, 2)
    assert "rounds" not in ratio.note
