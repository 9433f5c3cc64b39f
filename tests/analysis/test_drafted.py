from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.analysis.drafted import Drafted, by_query, drafted_in, speculation_figures
from punie_trace.analysis.figure_kinds import SpeculationFigures
from punie_trace.spans import names
from punie_trace.spans.span import AttributeValue, Span


def span(start: int, **attributes: AttributeValue) -> Span:
    named = {f"punie.speculation.{name}": value for name, value in attributes.items()}
    return Span("a" * 32, f"{start:016x}", None, names.SPAN_SPECULATION, "INTERNAL", start, start + 1, named)


def test_sums_and_rates() -> None:
    spans = [
        span(2, drafted=0, accepted=0, rounds=0, mode="adaptive", fallback="load: batched"),
        span(1, drafted=12, accepted=9, rounds=4, drafter="suffix,model", mode="adaptive"),
        Span("a" * 32, "f" * 16, None, "decode", "INTERNAL", 0, 1),
    ]
    drafted = drafted_in(spans)
    assert [one.drafted for one in drafted] == [12, 0]
    figures = speculation_figures({"a": drafted})
    assert figures is not None
    assert (figures.generations, figures.rounds, figures.drafted, figures.accepted) == (2, 4, 12, 9)
    assert (figures.acceptance, figures.mean_length, figures.mean_k) == (0.75, pytest.approx(3.25), 3.0)
    assert figures.drafters == ("suffix", "model")
    assert figures.fallbacks == {"load: batched": 1}


def test_nothing_told_and_nothing_drafted_are_two_things() -> None:
    assert speculation_figures({"a": drafted_in([])}) is None
    idle = speculation_figures({"a": drafted_in([span(1, drafted=0, accepted=0, rounds=0, drafter="suffix")])})
    assert idle is not None
    assert (idle.acceptance, idle.mean_length, idle.mean_k, idle.drafters) == (None, None, None, ())
    assert (idle.acceptance_interval, idle.mean_length_interval) == (None, None)


def figures_of(counts: list[tuple[int, int, int]]) -> SpeculationFigures:
    """Of (drafted, accepted, rounds) for each query."""
    found = speculation_figures({str(n): [Drafted(*one, (), None)] for n, one in enumerate(counts)})
    assert found is not None
    return found


def test_rounds_of_one_query_are_one_unit() -> None:
    once = Drafted(10, 8, 3, (), None)
    grouped = by_query([("a", [once]), ("b", [once]), ("a", [once])])
    assert {query: len(found) for query, found in grouped.items()} == {"a": 2, "b": 1}
    figures = speculation_figures(grouped)
    assert figures is not None
    assert figures.acceptance_interval is not None
    assert (figures.acceptance_interval.n, figures.acceptance_interval.low) == (2, None)  # too few queries


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 60)), min_size=5, max_size=40))
def test_intervals_hold_their_estimate_and_stay_where_rates_can_be(each: list[tuple[int, int]]) -> None:
    counts = [(rounds * 8, min(accepted, rounds * 8), rounds) for rounds, accepted in each]
    figures = figures_of(counts)
    share, length = figures.acceptance_interval, figures.mean_length_interval
    assert share is not None
    assert length is not None
    assert share.low is not None
    assert share.high is not None
    assert 0 <= share.low <= share.value <= share.high <= 1
    assert length.low is not None
    assert length.high is not None
    assert 1 <= length.low <= length.value <= length.high


def test_all_that_was_drafted_being_accepted_does_not_make_it_certain() -> None:
    few, many = (figures_of([(n, n, n // 4)] * 5).acceptance_interval for n in (20, 400))
    assert few is not None
    assert many is not None
    assert few.high == many.high == 1.0
    assert (few.low or 0) < (many.low or 0) < 1


@pytest.mark.parametrize("queries", [5, 10, 40])
def test_an_interval_holds_the_truth_about_as_often_as_it_says(queries: int) -> None:
    """Queries differ (a beta distribution of mean 0.8), and tokens of one query go together."""
    chance = random.Random(queries)
    repeats, shares, lengths = 1000, 0, 0
    for _ in range(repeats):
        counts = []
        for _ in range(queries):
            right, rounds = chance.betavariate(8, 2), chance.randint(3, 12)
            counts.append((rounds * 5, sum(chance.random() < right for _ in range(rounds * 5)), rounds))
        figures = figures_of(counts)
        share, length = figures.acceptance_interval, figures.mean_length_interval
        assert share is not None
        assert length is not None
        shares += (share.low or 0) <= 0.8 <= (share.high or 0)
        lengths += (length.low or 0) <= 5.0 <= (length.high or 0)
    assert shares / repeats > 0.91
    assert lengths / repeats > 0.89  # five queries say little of their own spread, and the rate is skewed
