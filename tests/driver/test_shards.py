"""Shards: whatever their number, together they are the plan; and what is compared in pairs stays with one generator."""

from __future__ import annotations

import heapq
from collections import Counter
from itertools import islice, takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie_trace.driver.arrivals import Arrivals, Flat, Ramp, Recorded, Steps, Timed, due_offsets
from punie_trace.driver.limits import Limits
from punie_trace.driver.schedule import ClosedLoop, Load, OpenLoop, Shard, plan_endless, plan_rounds
from punie_trace.driver.shards import (
    count_arrivals,
    shard_limits,
    shard_load,
    shard_offsets,
    shard_planned,
    share,
)
from punie_trace.errors import ConfigurationError
from punie_trace.records import Query

S = 1_000_000_000
QUERIES = tuple(Query(f"q{number}", f"Question {number}?") for number in range(7))
NUMBERS = st.integers(1, 12)
RATES = st.floats(0.5, 500.0)
ARRIVALS: st.SearchStrategy[Arrivals] = st.one_of(
    st.builds(Timed, st.builds(Flat, RATES), st.none() | st.floats(0.2, 5.0)),
    st.builds(Timed, st.builds(Ramp, RATES, RATES, st.floats(1.0, 60.0)), st.none()),
    st.builds(Timed, st.builds(Steps, st.lists(RATES, min_size=1, max_size=4).map(tuple), st.floats(1.0, 20.0))),
    st.lists(st.integers(0, 100 * S), min_size=1, max_size=200).map(lambda at: Recorded(tuple(sorted(at)))),
)


def shards(number: int) -> list[Shard]:
    return [Shard(index, number) for index in range(number)]


def of_all(load: OpenLoop, number: int, seed: int, until: int) -> list[int]:
    """The arrivals of all shards before `until`, in order."""
    each = [shard_offsets(load_of(load, shard), seed) for shard in shards(number)]
    return list(heapq.merge(*(takewhile(lambda due: due < until, one) for one in each)))


def load_of(load: OpenLoop, shard: Shard) -> OpenLoop:
    found = shard_load(load, shard)
    assert isinstance(found, OpenLoop)
    return found


@settings(max_examples=60, deadline=None)
@given(ARRIVALS, NUMBERS, st.integers(0, 2**32))
def test_the_arrivals_of_all_shards_are_those_of_one_generator(arrivals: Arrivals, number: int, seed: int) -> None:
    until = 5 * S
    alone = list(takewhile(lambda due: due < until, due_offsets(arrivals, seed)))
    assert of_all(OpenLoop(arrivals), number, seed, until) == alone


@pytest.mark.parametrize("number", [2, 3, 7])
def test_poisson_stays_poisson_over_all_generators(number: int) -> None:
    seconds = 20_000
    found = Counter(due // S for due in of_all(OpenLoop(Timed(Flat(8.0), 1.0)), number, 3, seconds * S))
    counts = [found[second] for second in range(seconds)]
    mean = sum(counts) / seconds
    dispersion = sum((count - mean) ** 2 for count in counts) / (seconds - 1) / mean
    assert abs(dispersion - 1) < 0.05
    assert abs(mean - 8.0) < 0.1


@pytest.mark.parametrize("number", [2, 3, 7])
def test_constant_arrivals_of_all_generators_do_not_drift(number: int) -> None:
    for place, due in enumerate(of_all(OpenLoop(Timed(Flat(7.0))), number, 0, 600 * S)):
        assert abs(due - place * S / 7.0) <= 1


@given(st.integers(0, 1000), NUMBERS)
def test_what_cannot_be_divided_is_shared_within_one(total: int, number: int) -> None:
    each = [share(total, shard) for shard in shards(number)]
    assert sum(each) == total
    assert max(each) - min(each) <= 1


@settings(max_examples=60, deadline=None)
@given(NUMBERS, st.integers(0, 2**32), st.integers(1, 4), st.booleans(), st.none() | st.integers(0, 60))
def test_the_queries_of_all_shards_are_the_plan(
    number: int, seed: int, rounds: int, is_open: bool, most: int | None
) -> None:
    load: Load = OpenLoop(Timed(Flat(1.0))) if is_open else ClosedLoop(number)
    plan = plan_rounds(["a", "b"], QUERIES, rounds, seed)
    passed: list[int] = []
    found = [
        list(shard_planned(plan, shard, load, QUERIES, most, lambda one: passed.append(one.seq)))
        for shard in shards(number)
    ]
    assert sorted((one for each in found for one in each), key=lambda one: one.seq) == plan[:most]
    assert len(passed) == len(plan[:most]) * (number - 1)
    assert all([one.seq for one in each] == sorted(one.seq for one in each) for each in found)


@settings(max_examples=30, deadline=None)
@given(NUMBERS, st.integers(0, 2**32))
def test_a_question_is_asked_by_one_generator_in_all_configurations_of_a_round(number: int, seed: int) -> None:
    plan = plan_rounds(["a", "b", "c"], QUERIES, 3, seed)
    asked_by: dict[tuple[int, str], set[int]] = {}
    for shard in shards(number):
        for one in shard_planned(plan, shard, ClosedLoop(number), QUERIES):
            asked_by.setdefault((one.round, one.query.name), set()).add(shard.index)
    assert all(len(who) == 1 for who in asked_by.values())


@pytest.mark.parametrize("number", [2, 3])
def test_under_a_rate_a_question_is_asked_by_one_generator_in_all_configurations(number: int) -> None:
    load = OpenLoop(Timed(Flat(1.0)))
    by_configuration = [
        {
            (one.round, one.query.name): shard.index
            for shard in shards(number)
            for one in shard_planned(islice(plan_endless([name], QUERIES, 5), 40), shard, load, QUERIES)
        }
        for name in ("a", "b")
    ]
    assert by_configuration[0] == by_configuration[1]


@given(NUMBERS, st.integers(0, 200))
def test_workers_are_shared_and_each_generator_has_one(number: int, more: int) -> None:
    loads = [shard_load(ClosedLoop(number + more), shard) for shard in shards(number)]
    workers = [load.concurrency for load in loads if isinstance(load, ClosedLoop)]
    assert sum(workers) == number + more
    assert min(workers) >= 1


def test_more_generators_than_workers_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="give --concurrency 3 or more"):
        shard_load(ClosedLoop(2), Shard(0, 3))
    with pytest.raises(ConfigurationError, match="at least one for each"):
        shard_load(OpenLoop(Timed(Flat(1.0)), max_in_flight=2), Shard(0, 3))


def test_a_generator_decides_neither_on_errors_nor_on_saturation_nor_on_the_number() -> None:
    limits = shard_limits(Limits(5.0, 10.0, 20, 0.5, stop_when_saturated=True, cool_down_s=1.0))
    assert limits == Limits(5.0, 10.0, cool_down_s=1.0)


@settings(max_examples=40, deadline=None)
@given(NUMBERS, st.integers(0, 2**32), st.integers(1, 30), st.floats(0.1, 5.0))
def test_the_arrivals_of_the_shards_are_counted_beforehand(number: int, seed: int, most: int, seconds: float) -> None:
    load, until = OpenLoop(Timed(Flat(7.0), 1.0)), round(seconds * S)
    due = sum(1 for _ in takewhile(lambda offset: offset < until, due_offsets(load.arrivals, seed)))
    plan = list(islice(plan_endless(["a"], QUERIES, seed), most))
    counted = [
        count_arrivals(shard_planned(plan, shard, load, QUERIES), load_of(load, shard), seed, until)
        for shard in shards(number)
    ]
    assert sum(count or 0 for count in counted) == min(due, most)
    assert count_arrivals(None, ClosedLoop(2), seed, until) is None
    assert count_arrivals(iter(plan), ClosedLoop(2), seed, None) == most
