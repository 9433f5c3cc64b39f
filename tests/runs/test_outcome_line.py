from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.records import Evaluation, Outcome, ToolCall, TurnOutcome, Verdict
from punie_trace.runs.outcome_line import TIME_LIMIT, decode_outcome, encode_outcome

OUTCOME = Outcome(
    seq=3,
    round=1,
    configuration="baseline",
    query="q",
    path="agent",
    due_ns=10,
    sent_ns=20,
    done_ns=90,
    verdict=Verdict.CORRECT,
    error=None,
    trace_id="ab" * 16,
    answer="yes",
    tool_calls=(ToolCall("read_file", {"path": "a.py", "lines": [1, 2]}, ok=True),),
    generations=2,
    input_tokens=100,
    output_tokens=None,
    cached_tokens=0,
    ttft_ns=5,
    served_model="m",
)

# What a model may put into an answer or an argument, lone surrogates included.
texts = st.text(alphabet=st.characters(), max_size=20)
arguments = st.dictionaries(
    texts, st.one_of(texts, st.integers(), st.booleans(), st.none(), st.lists(texts, max_size=3)), max_size=3
)

# Whoever makes an evaluation keeps its number within 63 bits, and a count of tokens within 53.
numbers = st.integers(-TIME_LIMIT + 1, TIME_LIMIT - 1)
found = st.none() | st.booleans() | numbers | st.floats(allow_nan=False, allow_infinity=False) | texts


@given(
    answer=texts,
    error=st.none() | texts,
    calls=st.lists(st.builds(ToolCall, texts, arguments, st.booleans()), max_size=3),
    verdict=st.sampled_from(Verdict),
    tokens=st.none() | st.integers(0, TIME_LIMIT - 1),
    evaluations=st.lists(st.builds(Evaluation, texts, found, st.none() | texts, texts), max_size=3),
)
def test_an_outcome_comes_back_as_it_was(
    answer: str,
    error: str | None,
    calls: list[ToolCall],
    verdict: Verdict,
    tokens: int | None,
    evaluations: list[Evaluation],
) -> None:
    outcome = replace(
        OUTCOME,
        answer=answer,
        error=error,
        tool_calls=tuple(calls),
        verdict=verdict,
        input_tokens=tokens,
        evaluations=tuple(evaluations),
    )
    line = encode_outcome(outcome)
    assert line.count(b"\n") == 1
    assert decode_outcome(line.decode()) == outcome


def test_a_line_without_evaluations_is_read_as_of_versions_that_had_none() -> None:
    line = encode_outcome(OUTCOME).decode()
    assert "evaluations" not in json.loads(line)
    assert decode_outcome(line).evaluations == ()


TURN = TurnOutcome(
    due_ns=10,
    sent_ns=20,
    done_ns=40,
    verdict=Verdict.CORRECT,
    error=None,
    answer="yes",
    tool_calls=OUTCOME.tool_calls,
    generations=2,
    input_tokens=100,
    output_tokens=None,
    cached_tokens=0,
    ttft_ns=5,
)
SESSION = replace(OUTCOME, turns=(TURN, replace(TURN, due_ns=50, sent_ns=50, done_ns=90, verdict=Verdict.WRONG_ANSWER)))


def test_a_session_comes_back_with_its_turns_and_one_question_writes_none() -> None:
    assert "turns" not in json.loads(encode_outcome(OUTCOME))
    back = decode_outcome(encode_outcome(SESSION).decode())
    assert back == SESSION
    assert back.wall_ns == 30 + 40, "the time between turns is no one's"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"sent_ns": 5}, "of turn 1 are not times"),
        ({"answer": None}, "'answer' of turn 1"),
        ({"verdict": "splendid"}, "splendid"),
        ({"tool_calls": 3}, "'tool_calls'"),
    ],
)
def test_a_turn_that_is_damaged_names_what_is_wrong(change: dict[str, object], names: str) -> None:
    values = json.loads(encode_outcome(SESSION))
    values["turns"][0] |= change
    with pytest.raises(ValueError, match=names):
        decode_outcome(json.dumps(values))
    for turns in ({}, [3], [{}], None):
        with pytest.raises(ValueError, match="turn"):
            decode_outcome(json.dumps(values | {"turns": turns}))


def test_lone_surrogates_and_nan_do_not_lose_an_outcome() -> None:
    outcome = replace(OUTCOME, answer="\ud800", tool_calls=(ToolCall("t", {"x": float("nan"), "y": [1.5]}, ok=False),))
    back = decode_outcome(encode_outcome(outcome).decode())
    assert back.answer == "\ud800"
    assert back.tool_calls[0].arguments == {"x": "nan", "y": [1.5]}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"seq": "1"}, "'seq'"),
        ({"generations": True}, "'generations'"),
        ({"answer": None}, "'answer'"),
        ({"path": "carrier pigeon"}, "'path'"),
        ({"verdict": "splendid"}, "splendid"),
        ({"tool_calls": [{"name": "x"}]}, "'tool_calls'"),
        ({"tool_calls": None}, "'tool_calls'"),
        ({"evaluations": {}}, "'evaluations'"),
        ({"evaluations": [{"value": True}]}, "'evaluations'"),
        ({"evaluations": [{"name": "x", "value": [1]}]}, "evaluation 'x'"),
    ],
)
def test_a_line_that_is_no_outcome_names_what_is_wrong(change: dict[str, object], names: str) -> None:
    values = json.loads(encode_outcome(OUTCOME)) | change
    with pytest.raises(ValueError, match=names):
        decode_outcome(json.dumps(values))


def test_keys_of_a_later_version_are_left_aside() -> None:
    values = json.loads(encode_outcome(OUTCOME)) | {"joules": 3}
    assert decode_outcome(json.dumps(values)) == OUTCOME
