"""The suite `multi-tool`: what it calls right is what the tools themselves return, by as many calls as it says."""

from __future__ import annotations

import re

import pytest

from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.records import Answer, Verdict
from punie_trace.records import ToolCall as Call
from punie_trace.suite.check import judge
from punie_trace.suite.load import load_suite, sample_workspace
from recipes.multi_tool import FILE, Question, questions, suite_text

QUESTIONS = questions()
BY_NAME = {query.name: query for query in load_suite("multi-tool").queries}
SHOWN_TO_THE_SHIPPED_MODEL = 600


def found_by(question: Question) -> list[str]:
    """What each of the question's calls returns, cut as it is for the shipped model."""
    tools = Toolbox(Workspace(sample_workspace()), max_chars=SHOWN_TO_THE_SHIPPED_MODEL).functions()
    return [tools[call.tool](call.argument) for call in question.calls]


def told_by_the_tools(question: Question) -> str:
    """An answer that is made of nothing but what the tools returned."""
    results = found_by(question)
    if question.name.startswith(("lines-of", "longest-of")):
        counts = [int(re.findall(r", (\d+) line", text)[0]) for text in results]
        lines = {call.argument: count for call, count in zip(question.calls, counts, strict=True)}
        return f"total: {sum(lines.values())}, longest: {max(lines, key=lambda path: lines[path])}"
    if question.name.startswith("methods-of"):
        return f"total: {sum(len(re.findall(r'^    (?:async )?def ', text, re.MULTILINE)) for text in results)}"
    return "\n".join(results)


def test_the_shipped_file_is_what_its_maker_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == suite_text(QUESTIONS)


def test_there_are_questions_of_each_number_of_calls() -> None:
    counts = [len(question.calls) for question in QUESTIONS]
    assert len(QUESTIONS) == len(BY_NAME) >= 24
    assert {number: counts.count(number) >= 4 for number in set(counts)} == dict.fromkeys(range(2, 7), True)
    assert all(len(set(question.calls)) == len(question.calls) for question in QUESTIONS)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda one: one.name)
def test_what_is_right_follows_from_what_the_calls_return(question: Question) -> None:
    query = BY_NAME[question.name]
    called = tuple(Call(call.tool, {"name": call.argument}, ok=True) for call in question.calls)
    answer = told_by_the_tools(question)
    assert judge(query, Answer(answer, called)) is Verdict.CORRECT, answer
    assert judge(query, Answer(answer)) is Verdict.SHOULD_HAVE_CALLED
    assert judge(query, Answer("I do not know.", called)) is Verdict.WRONG_ANSWER
    assert not all(fact.casefold() in query.text.casefold() for fact in question.facts)
