from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.driver.schedule import plan_endless, plan_rounds, plan_warm_up
from punie_trace.records import Query

NAMES = st.lists(st.text("abcdef", min_size=1, max_size=4), min_size=1, max_size=5, unique=True)


@given(NAMES, NAMES, st.integers(1, 4), st.integers(0, 2**31))
def test_every_round_asks_every_query_once_in_every_configuration(
    configurations: list[str], names: list[str], rounds: int, seed: int
) -> None:
    queries = [Query(name, f"text of {name}") for name in names]
    planned = plan_rounds(configurations, queries, rounds, seed)
    assert [p.seq for p in planned] == list(range(len(planned)))
    expected = Counter((r, c, q.name) for r in range(1, rounds + 1) for c in configurations for q in queries)
    assert Counter((p.round, p.configuration, p.query.name) for p in planned) == expected
    assert [p.round for p in planned] == sorted(p.round for p in planned)


@given(NAMES, st.integers(0, 2**31))
def test_the_seed_fixes_the_order(names: list[str], seed: int) -> None:
    queries = [Query(name, name) for name in names]
    assert plan_rounds(["a", "b"], queries, 3, seed) == plan_rounds(["a", "b"], queries, 3, seed)


@given(NAMES, NAMES, st.integers(1, 4), st.integers(0, 2**31))
def test_each_question_is_asked_of_all_before_the_next_is(
    configurations: list[str], names: list[str], rounds: int, seed: int
) -> None:
    planned = plan_rounds(configurations, [Query(name, name) for name in names], rounds, seed)
    many = len(configurations)
    blocks = [planned[begin : begin + many] for begin in range(0, len(planned), many)]
    assert all(len({p.query.name for p in block}) == 1 for block in blocks)
    assert all({p.configuration for p in block} == set(configurations) for block in blocks)


def test_no_configuration_is_always_asked_first() -> None:
    planned = plan_rounds(["a", "b", "c"], [Query(str(n), str(n)) for n in range(60)], 1, seed=3)
    first = Counter(p.configuration for p in planned[::3])
    assert all(10 <= first[name] <= 30 for name in "abc")


def test_rounds_differ_in_order() -> None:
    queries = [Query(str(i), str(i)) for i in range(20)]
    planned = plan_rounds(["a", "b"], queries, 2, seed=1)
    first, second = planned[:40], planned[40:]
    assert [(p.configuration, p.query) for p in first] != [(p.configuration, p.query) for p in second]


@given(st.integers(1, 8), st.integers(0, 12), st.integers(1, 5), st.integers(1, 7), st.integers(0, 2**31))
def test_a_question_that_is_there_to_be_new_is_asked_in_one_round(
    known: int, new: int, rounds: int, spread: int, seed: int
) -> None:
    queries = [Query(f"known {n}", "?") for n in range(known)] + [Query(f"new {n}", "?", once=True) for n in range(new)]
    planned = plan_rounds(["a", "b"], queries, rounds, seed, spread=spread)
    asked = Counter((p.configuration, p.query.name) for p in planned)
    assert asked == {(c, q.name): 1 if q.once else rounds for c in "ab" for q in queries}
    together = {(p.round, p.query.name) for p in planned if p.query.once}
    assert len(together) == new  # both configurations in the same round, so that they can be paired
    each = Counter(number for number, _ in together)
    assert all(abs(each[n] - new / min(spread, rounds)) < 1 for n in range(1, min(spread, rounds) + 1))


def test_where_all_are_new_every_round_asks_them_all() -> None:
    queries = [Query(str(n), "?", once=True) for n in range(3)]
    assert len(plan_rounds(["a"], queries, 4, 0)) == 12


def test_no_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one round"):
        plan_rounds(["a"], [Query("q", "q")], 0, seed=0)


def test_warm_up_comes_before_the_first_query() -> None:
    queries = [Query(str(i), str(i)) for i in range(3)]
    planned = plan_warm_up(["a", "b"], queries, each=2)
    assert [(p.configuration, p.query.name) for p in planned] == [("a", "0"), ("b", "0"), ("a", "1"), ("b", "1")]
    assert all(p.seq < 0 and p.round == 0 for p in planned)


@given(NAMES, st.integers(0, 2**31))
def test_endless_rounds_begin_as_the_counted_ones_do(names: list[str], seed: int) -> None:
    queries = [Query(name, name) for name in names]
    counted = plan_rounds(["a", "b"], queries, 3, seed, first_seq=7)
    assert list(islice(plan_endless(["a", "b"], queries, seed, first_seq=7), len(counted))) == counted


def test_nothing_to_ask_ends_at_once() -> None:
    assert list(plan_endless([], [Query("q", "q")], 0)) == []
    assert list(plan_endless(["a"], [], 0)) == []
