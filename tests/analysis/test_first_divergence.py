from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.analysis.first_divergence import common_length, first_divergence, in_words
from punie_trace.analysis.summary import summarize
from punie_trace.records import Outcome, ToolCall
from punie_trace.report.console import plain
from punie_trace.runs.reader import read_run
from tests.synthetic_run import write_run


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return read_run(write_run(tmp_path_factory.mktemp("runs") / "r", rounds=1)).outcomes[0]


@given(st.text(), st.text(), st.text())
def test_what_texts_have_in_common_is_their_beginning(start: str, one: str, other: str) -> None:
    found = common_length(start + one, start + other)
    assert found >= len(start)
    assert (start + one)[:found] == (start + other)[:found]
    assert (start + one)[found : found + 1] != (start + other)[found : found + 1] or start + one == start + other


def test_the_first_place_is_told_with_what_comes_before_it(outcome: Outcome) -> None:
    text = "In all files of the accounts folder the class is used "
    one = replace(outcome, answer=text + "twice.")
    found = first_divergence([(one, one), (one, replace(one, answer=text + "three times."))])
    assert found is not None
    assert (found.where, found.at, found.baseline, found.other) == ("answer", len(text) + 1, "wice.", "hree times.")
    assert found.common.startswith("...")
    assert found.common.endswith("is used t")


def test_a_tool_call_that_differs_comes_before_the_answer(outcome: Outcome) -> None:
    other = replace(outcome, tool_calls=(ToolCall("read_file", {"path": "b"}, ok=True),), answer="Another.")
    one = replace(outcome, tool_calls=(ToolCall("read_file", {"path": "a"}, ok=True),))
    found = first_divergence([(one, other)])
    assert found is not None
    assert found.where == "tool call 1"
    assert found.common.endswith('"path": "')
    none = first_divergence([(one, replace(one, tool_calls=()))])
    assert none is not None
    assert (none.at, none.other) == (0, "")
    assert in_words(none, "a", "b").endswith("b ends")
    assert first_divergence([(one, one)]) is None


def test_hostile_texts_reach_no_terminal(outcome: Outcome) -> None:
    other = replace(outcome, tool_calls=outcome.tool_calls, answer="\x1b[2J\x07<script>\u202e")
    found = first_divergence([(outcome, other)])
    assert found is not None
    assert plain(in_words(found, "a", "b")).plain.isprintable()


def test_a_run_tells_where_its_answers_first_differ(tmp_path: Path) -> None:
    same = summarize(read_run(write_run(tmp_path / "r"))).configurations["speculative-3"].answers_identical_to_baseline
    assert same is not None
    assert [one.query for one in same.divergences] == list(same.different) == ["django-views", "async-await"]
    assert same.divergences[0].other == "Other text."
