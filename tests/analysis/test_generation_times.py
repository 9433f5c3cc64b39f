"""Times to first token are of turns of one kind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from punie_trace.analysis.generation_times import time_to_first_token
from punie_trace.analysis.observations import Observation, observe
from punie_trace.runs.reader import read_run
from tests.synthetic_run import Arm, write_run


@pytest.fixture(scope="module")
def observations(tmp_path_factory: pytest.TempPathFactory) -> list[Observation]:
    """Of three questions whose first turn calls a tool, and two that are answered at once, in three rounds."""
    return observe(read_run(write_run(tmp_path_factory.mktemp("runs") / "r", {"only": Arm()})))["only"]


def streamed(one: Observation, first_chunk_ns: int) -> Observation:
    """The same of a server that streams whatever it makes."""
    return replace(one, splits=tuple(replace(split, first_chunk_ns=first_chunk_ns) for split in one.splits))


def test_a_call_that_is_held_back_does_not_count_among_answers(observations: list[Observation]) -> None:
    answers, calls = (time_to_first_token(observations, calls=calls) for calls in (False, True))
    assert (answers.n, answers.of, answers.value) == (6, 6, pytest.approx(81.4))
    assert (calls.n, calls.of, calls.value) == (0, 9, None)


def test_a_server_that_streams_calls_early_is_not_told_as_faster_for_it(observations: list[Observation]) -> None:
    early = [streamed(one, 27_000_000 if len(one.splits) > 1 else 107_000_000) for one in observations]
    assert time_to_first_token(early, calls=False).value == pytest.approx(107)
    assert time_to_first_token(early, calls=True).value == pytest.approx(27)


def test_a_turn_that_another_follows_called_a_tool_whatever_its_server_says(observations: list[Observation]) -> None:
    stopped = [
        replace(one, splits=tuple(replace(split, finish_reason="stop") for split in one.splits)) for one in observations
    ]
    assert time_to_first_token(stopped, calls=True).of == 9


def test_queries_without_spans_may_have_been_of_either_kind(observations: list[Observation]) -> None:
    bare = [replace(one, splits=()) for one in observations]
    found = time_to_first_token(bare, calls=False)
    assert (found.n, found.of) == (0, 15)
    assert found.not_observable == "no first turn was seen to answer"
