"""Fresh questions: the same for a seed, new for another, and right by the real tools."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.errors import SuiteError
from punie_trace.records import Answer, ToolCall, Verdict
from punie_trace.suite.check import judge
from punie_trace.suite.fresh.questions import MOST_QUESTIONS, TOOLS, FreshSuite, make_fresh
from punie_trace.suite.load import load_suite


def test_the_same_seed_makes_the_same_questions_and_another_makes_others() -> None:
    assert make_fresh(20, 5) == make_fresh(20, 5)
    first = {query.text for query in make_fresh(20, 5).queries}
    assert not first & {query.text for query in make_fresh(20, 6).queries}
    assert make_fresh(20, 5).digest != make_fresh(21, 5).digest


@settings(max_examples=15, deadline=None)
@given(count=st.integers(1, 40), seed=st.integers(0, 10_000))
def test_there_are_as_many_questions_as_were_asked_for_each_with_a_name_of_its_own(count: int, seed: int) -> None:
    suite = make_fresh(count, seed)
    assert len(suite.queries) == count == len({query.name for query in suite.queries})
    assert len({query.text.casefold() for query in suite.queries}) == count


def write_files(suite: FreshSuite, folder: Path) -> Toolbox:
    for path, text in suite.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return Toolbox(Workspace(folder), max_chars=600)


@pytest.mark.parametrize("seed", range(3))
def test_an_agent_that_calls_the_right_tool_and_quotes_its_result_is_right(tmp_path: Path, seed: int) -> None:
    suite = make_fresh(40, seed)
    tools = write_files(suite, tmp_path)
    for query in suite.queries:
        if query.expected == "direct":
            assert judge(query, Answer("It is an idea.")) is Verdict.CORRECT
            continue
        (tool,) = query.tools
        argument = next(name for name in ("name", "pattern", "path") if name in _parameters(tools, tool))
        (subject,) = query.arguments_contain
        result = tools.functions()[tool](**{argument: subject})
        call = ToolCall(tool, {argument: subject}, ok=True)
        assert judge(query, Answer(result, (call,))) is Verdict.CORRECT, (query, result)
        assert judge(query, Answer("I do not know.", (call,))) is Verdict.WRONG_ANSWER


def _parameters(tools: Toolbox, tool: str) -> tuple[str, ...]:
    return tuple(inspect.signature(tools.functions()[tool]).parameters)


def test_every_kind_of_question_is_asked() -> None:
    assert {query.category for query in make_fresh(20, 0).queries} == {*TOOLS, "concept"}


@pytest.mark.parametrize("suite", ["discrimination", "discrimination-40"])
def test_no_question_is_one_of_a_shipped_suite(suite: str) -> None:
    shipped = {query.text.casefold().rstrip("?. ") for query in load_suite(suite).queries}
    assert not shipped & {query.text.casefold().rstrip("?. ") for query in make_fresh(200, 0).queries}


@pytest.mark.parametrize("count", [0, -1, MOST_QUESTIONS + 1])
def test_a_number_of_questions_that_cannot_be_made_is_refused(count: int) -> None:
    with pytest.raises(SuiteError, match="fresh:60"):
        make_fresh(count, 0)
