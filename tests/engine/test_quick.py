"""A quick look: few questions of every kind, two configurations, one round, unless more was asked for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.engine.experiment import Experiment
from punie_trace.engine.plan import make_plan
from punie_trace.engine.questions import questions_of
from punie_trace.engine.quick import QUESTIONS, few_of, two_of
from punie_trace.errors import ConfigurationError
from punie_trace.records import Query

THREE = {"one": {}, "two": {"num_draft_tokens": 3}, "three": {"num_draft_tokens": 5}}
SERVER = {"model_path": "some/target", "draft_model": "some/draft"}


KINDS = st.tuples(st.sampled_from(["tool", "direct", None]), st.sampled_from(["search", "quote", None]))


@given(st.lists(KINDS, max_size=30), st.integers(1, 8))
def test_it_asks_of_each_kind_of_work_before_it_asks_a_second(kinds: list[tuple[Any, Any]], most: int) -> None:
    queries = [Query(f"q{n}", "?", expected=expected, category=kind) for n, (expected, kind) in enumerate(kinds)]
    few = few_of(queries, most)
    assert len(few) == min(most, len(queries))
    short = [query for query in few if query.expected == "direct"][:1]
    assert short + [query for query in queries if query in few and query not in short] == list(few)
    expected = {query.expected for query in queries}
    assert len({query.expected for query in few}) == min(most, len(expected))
    for one in expected:
        asked = [query.category for query in few if query.expected == one]
        there = [query.category for query in queries if query.expected == one]
        assert all(
            asked.count(kind) >= min(there.count(kind), max(map(asked.count, asked)) - 1) for kind in there if asked
        )


def test_a_suite_of_many_questions_is_cut_and_its_size_kept() -> None:
    questions = questions_of(Experiment(suite="discrimination-40", quick=True))
    assert (len(questions.suite.queries), questions.of) == (QUESTIONS, 40)
    assert {query.expected for query in questions.suite.queries} == {"tool", "direct"}
    assert len(questions_of(Experiment(suite="discrimination-40")).suite.queries) == 40


def test_two_configurations_in_one_round_and_what_was_asked_for_goes_first() -> None:
    plan = make_plan(Experiment(server=SERVER, configurations=THREE, quick=True))
    assert ([c.name for c in plan.configurations], plan.left_out) == (["one", "two"], ("three",))
    assert plan.experiment.rounds == 1
    more = make_plan(Experiment(server=SERVER, configurations=THREE, quick=True, only=["one", "three"], rounds=2))
    assert ([c.name for c in more.configurations], more.left_out) == (["one", "three"], ())
    assert more.experiment.rounds == 2


def test_of_those_that_the_model_allows_it_takes_the_one_that_adapts() -> None:
    plan = make_plan(Experiment(quick=True))
    assert ([c.name for c in plan.configurations], plan.left_out) == (["baseline", "adaptive"], ("speculative-3",))
    assert two_of(["baseline"], given=False) == ("baseline",)


@pytest.mark.parametrize("other", [{"until": "decided"}, {"load": {"rate": 2}}, {"load": {"duration_s": 5}}])
def test_it_goes_with_no_load_and_no_budget(other: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="a quick look is one round of a few questions"):
        Experiment(quick=True, **other)
