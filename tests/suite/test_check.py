"""Verdicts: the order of what is judged, what counts as a call, and what 'correct' stands for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie_trace.records import (
    Answer,
    EndedQuery,
    Evaluation,
    Expectation,
    Generation,
    JsonValue,
    Judgement,
    Query,
    ToolCall,
    Turn,
    Verdict,
)
from punie_trace.suite.check import constant_answers, judge, judge_ended, settle

LOOKUP = Query("q", "Where is Loan?", "tool", ("find", "search"), ("Loan", "models"), ("due_on",))
RIGHT = ToolCall("search", {"pattern": "class loan", "path": "MODELS.py"}, ok=True)
DIRECT = Query("d", "What is a loan?", "direct", answer_contains=("money",))
UNPARSED = Generation(sent_ns=0, done_ns=1, finish_reason="tool_calls", tool_calls=0)
PARSED = Generation(sent_ns=0, done_ns=1, finish_reason="tool_calls", tool_calls=1)


def test_a_right_call_and_a_right_answer_are_correct():
    assert judge(LOOKUP, Answer("It has DUE_ON.", (RIGHT,), (PARSED,))) is Verdict.CORRECT


def test_a_deadline_comes_before_an_error():
    assert judge(LOOKUP, None, timed_out=True, error="boom") is Verdict.TIMEOUT


@pytest.mark.parametrize(
    ("answer", "error"),
    [(None, None), (Answer("due_on", (RIGHT,)), "cut off"), (Answer("due_on", (RIGHT,), error="HTTP 500"), None)],
)
def test_an_error_comes_before_what_was_answered(answer: Answer | None, error: str | None):
    assert judge(LOOKUP, answer, error=error) is Verdict.ERROR


def test_an_error_without_words_is_an_error():
    assert judge(LOOKUP, Answer("due_on", (RIGHT,)), error="") is Verdict.ERROR


@pytest.mark.parametrize(
    "answer",
    [
        Answer("due_on", (RIGHT,), (PARSED, UNPARSED)),
        Answer('due_on <tool_call>{"name": "search"', (RIGHT,)),
        Answer("<tool_call>"),
    ],
)
def test_a_call_that_did_not_parse_is_named_so(answer: Answer):
    assert judge(LOOKUP, answer) is Verdict.UNPARSED_CALL
    assert judge(DIRECT, answer) is Verdict.UNPARSED_CALL


def test_a_call_that_is_only_written_about_does_not_count():
    assert judge(LOOKUP, Answer("I would call search('class Loan'): due_on")) is Verdict.SHOULD_HAVE_CALLED


def test_another_tool_is_the_wrong_tool():
    other = ToolCall("list", {"path": "loan models"}, ok=True)
    assert judge(LOOKUP, Answer("due_on", (other,))) is Verdict.WRONG_TOOL
    assert judge(LOOKUP, Answer("due_on", (other, RIGHT))) is Verdict.CORRECT


@pytest.mark.parametrize(
    "calls",
    [
        (ToolCall("search", {"pattern": "book"}, ok=True),),
        (ToolCall("search", {}, ok=True),),
        (ToolCall("search", {"loan": "models"}, ok=True),),
        (ToolCall("search", {"pattern": "loan"}, ok=True), ToolCall("search", {"pattern": "models"}, ok=True)),
        (ToolCall("search", {"pattern": "book"}, ok=True), ToolCall("list", {"path": "loan/models"}, ok=True)),
        (ToolCall("search", {"pattern": "loan", "path": "models"}, ok=False),),
    ],
    ids=[
        "other",
        "none",
        "only the name of an argument",
        "split over two calls",
        "of a wrong tool",
        "of a failed call",
    ],
)
def test_arguments_must_hold_in_one_call_of_a_right_tool(calls: tuple[ToolCall, ...]):
    assert judge(LOOKUP, Answer("due_on", calls)) is Verdict.BAD_ARGUMENTS


def test_a_failed_call_was_executed():
    failed = ToolCall("search", {"pattern": "x"}, ok=False)
    assert judge(Query("q", "t", "tool", ("search",)), Answer("a", (failed,))) is Verdict.CORRECT
    assert judge(Query("q", "t", "tool", ("find",)), Answer("a", (failed,))) is Verdict.WRONG_TOOL
    assert judge(DIRECT, Answer("money", (failed,))) is Verdict.SHOULD_NOT_HAVE_CALLED


def test_arguments_are_looked_for_at_any_depth():
    nested: dict[str, JsonValue] = {"filter": {"any": ["Loan", 3, None, {"file": "models.py"}]}}
    assert judge(LOOKUP, Answer("due_on", (ToolCall("find", nested, ok=True),))) is Verdict.CORRECT


def test_values_are_not_glued_together():
    query = Query("q", "t", "tool", arguments_contain=("ab",))
    assert judge(query, Answer("a", (ToolCall("f", {"x": "a", "y": "b"}, ok=True),))) is Verdict.BAD_ARGUMENTS


def test_tools_or_arguments_alone_ask_for_a_call():
    assert judge(Query("q", "t", tools=("find",)), Answer("a")) is Verdict.SHOULD_HAVE_CALLED
    assert judge(Query("q", "t", arguments_contain=("x",)), Answer("a")) is Verdict.SHOULD_HAVE_CALLED


def test_any_tool_is_right_where_none_is_named():
    assert judge(Query("q", "t", "tool"), Answer("a", (RIGHT,))) is Verdict.CORRECT


def test_a_direct_question_wants_no_call():
    assert judge(DIRECT, Answer("Money, lent.", (RIGHT,))) is Verdict.SHOULD_NOT_HAVE_CALLED
    assert judge(DIRECT, Answer("Money, lent.")) is Verdict.CORRECT


@pytest.mark.parametrize("text", ["", " \n", "A book."])
def test_an_answer_that_lacks_what_was_asked_for_is_wrong(text: str):
    assert judge(DIRECT, Answer(text)) is Verdict.WRONG_ANSWER


@pytest.mark.parametrize("answer", [Answer("x"), Answer("x", (RIGHT,)), Answer("")])
def test_where_nothing_says_what_is_right_nothing_is_judged(answer: Answer):
    assert judge(Query("q", "t"), answer) is Verdict.NOT_JUDGED
    assert judge(Query("q", "t", category="c"), answer) is Verdict.NOT_JUDGED
    assert judge(Query("q", "t"), answer, error="gone") is Verdict.ERROR


HOLDS, FAILS = Evaluation("Contains", True), Evaluation("Contains", False, "it lacks 'x'")
BROKEN = Evaluation("Mine", None, "ValueError: no")
FIGURES = (Evaluation("score", 0.5), Evaluation("tone", "kind"))


@pytest.mark.parametrize(
    ("before", "evaluations", "verdict", "reason"),
    [
        (Verdict.NOT_JUDGED, (), Verdict.NOT_JUDGED, None),
        (Verdict.NOT_JUDGED, FIGURES, Verdict.NOT_JUDGED, None),
        (Verdict.NOT_JUDGED, (*FIGURES, HOLDS), Verdict.CORRECT, None),
        (Verdict.CORRECT, FIGURES, Verdict.CORRECT, None),
        (Verdict.CORRECT, (HOLDS, FAILS), Verdict.WRONG_ANSWER, "Contains: it lacks 'x'"),
        (Verdict.CORRECT, (Evaluation("Equals", False),), Verdict.WRONG_ANSWER, "Equals: does not hold"),
        (Verdict.CORRECT, (HOLDS, BROKEN), Verdict.NOT_JUDGED, "Mine: ValueError: no"),
        (Verdict.NOT_JUDGED, (BROKEN, FAILS), Verdict.WRONG_ANSWER, "Contains: it lacks 'x'"),
        (Verdict.BAD_ARGUMENTS, (HOLDS, BROKEN), Verdict.BAD_ARGUMENTS, None),
        (Verdict.WRONG_ANSWER, (HOLDS,), Verdict.WRONG_ANSWER, None),
    ],
)
def test_facts_first_then_failed_assertions_then_failed_evaluators(
    before: Verdict, evaluations: tuple[Evaluation, ...], verdict: Verdict, reason: str | None
):
    assert settle(Judgement(before), evaluations) == Judgement(verdict, reason, evaluations)


TURNS = (
    Turn("Where is Loan?", "tool", ("search",), answer_contains=("due_on",)),
    Turn("And then?"),
    Turn("What is a loan?", "direct", answer_contains=("money",)),
)
SESSION = Query("s", "three turns", turns=TURNS)
GOOD = (Answer("due_on", (RIGHT,)), Answer(""), Answer("money"))


def ended(
    *turns: Answer | None, query: Query = SESSION, timed_out: bool = False, error: str | None = None
) -> EndedQuery:
    came = [one for one in turns if one is not None]
    calls = tuple(call for one in came for call in one.tool_calls)
    generations = tuple(generation for one in came for generation in one.generations)
    failed = next((one.error for one in came if one.error), None)
    whole = Answer(came[-1].text if came else "", calls, generations, failed, turns=turns)
    return EndedQuery(query, whole, "t", 1, timed_out=timed_out, error=error)


C, N, W = Verdict.CORRECT, Verdict.NOT_JUDGED, Verdict.WRONG_ANSWER


@pytest.mark.parametrize(
    ("case", "verdict", "turns"),
    [
        (ended(*GOOD), C, (C, N, C)),
        (ended(Answer("due_on"), *GOOD[1:]), Verdict.SHOULD_HAVE_CALLED, (Verdict.SHOULD_HAVE_CALLED, N, C)),
        (ended(*GOOD[:2], Answer("no")), W, (C, N, W)),
        (ended(Answer("no", (RIGHT,)), Answer(""), Answer("money", (RIGHT,))), W,
         (W, N, Verdict.SHOULD_NOT_HAVE_CALLED)),
        (ended(GOOD[0], Answer("", error="HTTP 500")), Verdict.ERROR, (C, Verdict.ERROR)),
        (ended(GOOD[0], Answer("x", (), (UNPARSED,)), GOOD[2]), Verdict.UNPARSED_CALL, (C, Verdict.UNPARSED_CALL, C)),
        (ended(GOOD[0], None, timed_out=True), Verdict.TIMEOUT, (C, Verdict.TIMEOUT)),
        (ended(*GOOD[:2], timed_out=True), Verdict.TIMEOUT, (C, N)),
        (ended(*GOOD, error="the server died"), Verdict.ERROR, (C, N, C)),
        (ended(Answer("x"), query=Query("s", "t", turns=(Turn("a"),))), N, (N,)),
    ],
)  # fmt: skip
def test_a_session_is_correct_where_every_judged_turn_is(
    case: EndedQuery, verdict: Verdict, turns: tuple[Verdict, ...]
):
    assert judge_ended(case) == Judgement(verdict, turns=turns)


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        ({"answer_contains": ("money",)}, C),
        ({"answer_contains": ("due_on",)}, W),
        ({"tools": ("search",)}, C),
        ({"expected": "direct"}, Verdict.SHOULD_NOT_HAVE_CALLED),
    ],
)
def test_facts_beside_the_turns_are_of_all_calls_and_the_last_answer(facts: dict[str, object], verdict: Verdict):
    assert judge_ended(ended(*GOOD, query=replace(SESSION, **facts))).verdict is verdict


def test_a_failed_assertion_makes_a_session_wrong_and_leaves_its_turns():
    judgement = settle(judge_ended(ended(*GOOD)), (FAILS,))
    assert (judgement.verdict, judgement.turns) == (W, (C, N, C))


WORDS = st.sampled_from(["", "a", "B", "ab", "view", "ß", "<tool_call>", "İ"])
TOOLS = st.sampled_from(["find", "search", "list"])
EXPECTED: st.SearchStrategy[Expectation | None] = st.sampled_from(["tool", "direct", None])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=5,
)
QUERIES = st.builds(
    Query,
    name=st.just("q"),
    text=st.just("t"),
    expected=EXPECTED,
    tools=st.lists(TOOLS, max_size=2).map(tuple),
    arguments_contain=st.lists(WORDS, max_size=2).map(tuple),
    answer_contains=st.lists(WORDS, max_size=2).map(tuple),
)
CALLS = st.builds(ToolCall, name=TOOLS, arguments=st.dictionaries(WORDS, VALUES, max_size=3), ok=st.booleans())
ANSWERS = st.builds(
    Answer,
    text=st.lists(WORDS, max_size=4).map(" ".join),
    tool_calls=st.lists(CALLS, max_size=3).map(tuple),
    generations=st.lists(st.sampled_from([PARSED, PARSED, UNPARSED]), max_size=2).map(tuple),
    error=st.none() | st.none() | st.text(max_size=3),
)
MAYBE_ERROR = st.none() | st.text(max_size=3)


@settings(deadline=None)
@given(query=QUERIES, answer=st.none() | ANSWERS, timed_out=st.booleans(), error=MAYBE_ERROR)
def test_every_answer_gets_a_verdict(query: Query, answer: Answer | None, timed_out: bool, error: str | None):
    verdict = judge(query, answer, timed_out=timed_out, error=error)
    assert isinstance(verdict, Verdict)
    assert (verdict is Verdict.TIMEOUT) == timed_out
    failed = answer is None or error is not None or answer.error is not None
    if verdict is Verdict.ERROR:
        assert failed
        assert not timed_out
    elif failed:
        assert timed_out or verdict is Verdict.UNPARSED_CALL  # which is often what the answer's own error comes from


@settings(deadline=None)
@given(query=QUERIES, answer=ANSWERS)
def test_correct_implies_every_condition(query: Query, answer: Answer):
    if judge(query, answer) is not Verdict.CORRECT:
        return
    assert answer.error is None
    assert answer.text.strip()
    assert "<tool_call>" not in answer.text
    assert UNPARSED not in answer.generations
    assert all(wanted.casefold() in answer.text.casefold() for wanted in query.answer_contains)
    if query.expected == "direct":
        assert not answer.tool_calls
        return
    if query.expected == "tool" or query.tools:
        assert any(not query.tools or call.name in query.tools for call in answer.tool_calls)
    for wanted in query.arguments_contain:
        assert any(call.ok and wanted.casefold() in repr(call.arguments).casefold() for call in answer.tool_calls)


@settings(deadline=None)
@given(query=QUERIES, text=st.text(min_size=1).filter(str.strip), argument=st.text())
def test_an_answer_made_to_fit_is_correct(query: Query, text: str, argument: str):
    told = Answer("\n".join([text, *query.answer_contains]))
    if "<tool_call>" in told.text:
        assert judge(query, told) is Verdict.UNPARSED_CALL
        return
    tool = query.tools[0] if query.tools else "any"
    arguments: dict[str, JsonValue] = {"first": argument, "rest": list(query.arguments_contain)}
    looked = Answer(told.text, (ToolCall(tool, arguments, ok=True),))
    fitting = told if query.expected == "direct" else looked
    assert judge(query, fitting) is (Verdict.CORRECT if query.has_facts else Verdict.NOT_JUDGED)


def test_constant_answers_are_shares_of_what_is_expected():
    queries = [Query("a", "a", "tool"), Query("b", "b", "tool"), Query("c", "c", "direct"), Query("d", "d")]
    assert constant_answers(queries) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert constant_answers([Query("d", "d")]) == (0.0, 0.0)
    assert constant_answers([]) == (0.0, 0.0)


@settings(deadline=None)
@given(queries=st.lists(QUERIES))
def test_constant_answers_add_up_to_one(queries: list[Query]):
    always, never = constant_answers(queries)
    stated = any(query.expected for query in queries)
    assert always + never == pytest.approx(1.0 if stated else 0.0)
