"""Which asks tell of speed: first ones, and all of servers that forget."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from punie_trace.analysis.asks import asked_before, counted_walls, forgets, more_rounds_count
from punie_trace.records import Outcome, Query, ServerKind, Turn, Verdict
from punie_trace.runs.header import ConfigurationRecord, RunHeader
from tests.synthetic_run import make_header

QUERIES = tuple(Query(name, f"What is {name}?") for name in ("a", "b", "c"))


def header(
    servers: dict[str, str],
    settings: dict[str, JsonValue] | None = None,
    *,
    warm_up: int = 0,
    kind: ServerKind = "punie",
) -> RunHeader:
    records = {name: ConfigurationRecord(path="http", server=server, kind=kind) for name, server in servers.items()}
    configuration: dict[str, JsonValue] = {"warm_up": warm_up, "configurations": dict(settings or {})}
    return make_header(queries=QUERIES).model_copy(update={"configurations": records, "configuration": configuration})


def outcome(seq: int, configuration: str, query: str, round_: int = 1, wall: int = 100) -> Outcome:
    return Outcome(
        seq=seq,
        round=round_,
        configuration=configuration,
        query=query,
        path="http",
        due_ns=seq * 1000,
        sent_ns=seq * 1000,
        done_ns=seq * 1000 + wall,
        verdict=Verdict.CORRECT,
        error=None,
        trace_id=f"{seq:032x}",
        answer="",
        tool_calls=(),
        generations=1,
        input_tokens=None,
        output_tokens=None,
        cached_tokens=None,
        ttft_ns=None,
        served_model=None,
    )


def test_a_question_is_asked_first_once_of_each_process() -> None:
    run = header({"x": "one", "y": "one", "z": "two"})
    outcomes = [outcome(n, name, "a") for n, name in enumerate(("x", "y", "z", "x", "z"))]
    assert list(asked_before(run, outcomes)) == [0, 1, 0, 1, 1]


def test_the_order_of_sending_decides_and_not_the_order_of_the_lines() -> None:
    run = header({"x": "one", "y": "one"})
    late, early = outcome(5, "x", "a"), outcome(2, "y", "a")
    assert list(asked_before(run, [late, early])) == [1, 0]


def test_warm_up_questions_count_as_asked() -> None:
    run = header({"x": "one"}, warm_up=1)
    outcomes = [outcome(n, "x", name) for n, name in enumerate("abc")]
    assert list(asked_before(run, outcomes)) == [1, 0, 0]


def test_the_same_words_under_another_name_are_the_same_question() -> None:
    run = header({"x": "one"})
    twin = replace(QUERIES[0], name="b")
    suite = run.suite.model_copy(update={"queries": (QUERIES[0], twin)})
    run = run.model_copy(update={"suite": suite})
    assert list(asked_before(run, [outcome(1, "x", "a"), outcome(2, "x", "b")])) == [0, 1]


def test_cache_salts_keep_apart_what_one_process_remembers() -> None:
    run = header({"x": "one", "y": "one"}, {"x": {"cache_salt": "x"}, "y": {"cache_salt": "y"}})
    assert list(asked_before(run, [outcome(1, "x", "a"), outcome(2, "y", "a")])) == [0, 0]


def test_rounds_tell_more_where_each_query_has_a_salt_or_each_round_a_process() -> None:
    run = header({"x": "one", "y": "two"}, {"x": {"fresh": "salt"}, "y": {"fresh": "restart"}}, kind="command")
    assert more_rounds_count(run, "x", "y")


def test_what_the_outcome_says_of_itself_goes_first() -> None:
    run = header({"x": "one"})
    forgotten = replace(outcome(2, "x", "a"), asked_before=0)
    known = replace(outcome(3, "x", "b"), asked_before=2)
    assert list(asked_before(run, [outcome(1, "x", "a"), forgotten, known])) == [0, 0, 1]


def test_only_what_is_known_to_keep_nothing_forgets() -> None:
    cold: JsonValue = {"prompt_cache_size": 0}
    assert forgets(header({"x": "one"}, {"x": cold}, kind="mlx_lm"), "x")
    assert not forgets(header({"x": "one"}, {"x": {"prompt_cache_size": 4}}, kind="mlx_lm"), "x")
    assert forgets(header({"x": "one"}, {"x": cold}), "x")
    assert forgets(header({"x": "one"}, {"x": {"prompt_cache_size": 0, "memory": "request"}}), "x")
    assert not forgets(header({"x": "one"}, {"x": {"memory": "request"}}), "x")  # it keeps prompt caches
    assert not forgets(header({"x": "one"}, {"x": {"prompt_cache_size": 0, "memory": "server"}}), "x")
    assert not forgets(header({"x": "one"}, {"x": cold}, kind="url"), "x")
    assert not forgets(header({"x": "one"}), "nobody")


def test_rounds_tell_more_where_both_servers_forget() -> None:
    cold: JsonValue = {"prompt_cache_size": 0}
    run = header({"x": "one", "y": "two", "z": "three"}, {"x": cold, "y": cold}, kind="mlx_lm")
    assert more_rounds_count(run, "x", "y")
    assert not more_rounds_count(run, "x", "z")


def test_walls_that_count_are_first_ones_that_were_answered_and_not_left_out() -> None:
    run = header({"x": "one"})
    failed = replace(outcome(1, "x", "a"), verdict=Verdict.ERROR)
    outcomes = [
        failed,
        outcome(2, "x", "b", 1, 50),
        outcome(3, "x", "b", 2),
        outcome(4, "x", "c", 3),
        outcome(5, "x", "c", 4),
    ]
    assert counted_walls(run, outcomes) == {"x": {("b", 1): 50.0, ("c", 3): 100.0}}
    # What was asked in a round that is left out was asked all the same.
    assert counted_walls(run, outcomes, (3,)) == {"x": {("b", 1): 50.0}}


@given(st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from("abc"))))
def test_no_question_is_first_twice_where_one_process_serves(asks: list[tuple[str, str]]) -> None:
    run = header({"x": "one", "y": "one"})
    outcomes = [outcome(n, name, query) for n, (name, query) in enumerate(asks)]
    first = [one.query for one, before in zip(outcomes, asked_before(run, outcomes), strict=True) if not before]
    assert sorted(first) == sorted({query for _, query in asks})


def test_a_session_was_asked_before_where_its_first_turn_was() -> None:
    turns = (Turn("What is a?"), Turn("And why?"))
    run = header({"x": "one"})
    sessions = (Query("s", "What is a?\nAnd why?", turns=turns), Query("t", "Other\nAnd why?", turns=(Turn("Other"),)))
    run = run.model_copy(update={"suite": run.suite.model_copy(update={"queries": (*QUERIES, *sessions)})})
    outcomes = [outcome(n, "x", name) for n, name in enumerate(("a", "s", "t", "b"))]
    assert list(asked_before(run, outcomes)) == [0, 1, 0, 0]


def test_within_our_process_a_prompt_cache_is_always_there() -> None:
    settings: dict[str, JsonValue] = {"x": {"prompt_cache_size": 0}}
    run = header({"x": "one"}, settings, kind="mlx_lm")
    assert forgets(run, "x")
    record = ConfigurationRecord(path="inprocess", server="one", kind="mlx_lm")
    assert not forgets(run.model_copy(update={"configurations": {"x": record}}), "x")


def test_another_round_tells_more_of_servers_that_were_made_to_forget() -> None:
    run = header({"x": "one", "y": "two"}, {"x": {"fresh": "forget"}, "y": {}})
    assert more_rounds_count(run, "x", "x")
    assert not more_rounds_count(run, "x", "y")
