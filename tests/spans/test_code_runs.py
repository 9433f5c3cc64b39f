"""Runs of code in a trace: what they called, wherever its span stands, and what stopped them."""

from __future__ import annotations

import pytest

from punie_trace.spans import names
from punie_trace.spans.activity import calls_of
from punie_trace.spans.code_runs import code_of, code_runs, problem_of
from punie_trace.spans.span import Span


def tool(
    number: int, name: str, parent: int = 1, call_id: str = "", result: str = "", error: str | None = None
) -> Span:
    attributes = {
        names.GEN_AI_OPERATION: names.OPERATION_EXECUTE_TOOL,
        names.GEN_AI_TOOL_NAME: name,
        names.GEN_AI_TOOL_CALL_ID: call_id or f"call-{number}",
        names.GEN_AI_TOOL_ARGUMENTS: '{"code": "await look()"}' if name == "run_code" else "{}",
        names.GEN_AI_TOOL_RESULT: result,
    }
    return Span("a" * 32, f"{number:016x}", f"{parent:016x}", "execute_tool", "INTERNAL", 0, 9, attributes, error=error)


def test_a_call_is_that_of_the_run_above_it_or_of_the_run_whose_call_it_names() -> None:
    run, below, early, other = (
        tool(2, "run_code", call_id="c1"),
        tool(3, "look", parent=2),
        tool(4, "look", call_id="c1__1"),
        tool(5, "look", call_id="c2__1"),
    )
    (found,) = code_runs([run, below, early, other])
    assert found.nested == (below, early)
    assert code_of(found) == "await look()"
    assert found.problem is None
    assert [call.name for call in calls_of([run, below, early, other])] == ["look", "look", "look"]


def test_code_that_was_stopped_is_a_call_that_says_why_beside_those_that_it_made() -> None:
    spans = [tool(2, "run_code", result="MemoryError: memory limit exceeded: 2 > 1", error="x"), tool(3, "look", 2)]
    stopped, made = calls_of(spans)
    assert (stopped.name, stopped.ok) == ("run_code", False)
    assert stopped.refused == "over a limit: MemoryError: memory limit exceeded: 2 > 1"
    assert (made.name, made.ok, made.refused) == ("look", True, None)


@pytest.mark.parametrize(
    ("result", "kind", "text"),
    [
        ("Type error in code:\nerror[invalid-syntax]: bad end\n --> main.py", "does not parse", "bad end"),
        ("Syntax error in code:\nSyntaxError: bad", "does not parse", "SyntaxError: bad"),
        ("error[unresolved-reference]: Name `x` used", "unknown name", "Name `x` used"),
        ("Runtime error:\nTraceback:\nNameError: name 'x' is not defined", "unknown name", None),
        ("error[missing-argument]: No argument", "wrong types", "No argument"),
        ("error[unresolved-import]: Cannot resolve imported module `socket`", "not allowed", None),
        ("Runtime error:\nTimeoutError: feed time limit exceeded: 2s > 1s\n\nThe code ran", "over a limit", None),
        ("RuntimeError: Code mode allows 100 nested tool calls per `run_code` call", "over a limit", None),
        ("RecursionError: maximum recursion depth exceeded", "over a limit", None),
        ("The code crashed the sandbox worker and the session was reset.", "over a limit", None),
        ("RuntimeError: 'os.environ' is not supported in this environment", "not allowed", None),
        ("Runtime error:\nZeroDivisionError: division", "raised an error", "ZeroDivisionError: division"),
        ("", "raised an error", "what the status says"),
    ],
)  # fmt: skip
def test_what_stopped_it_is_told_by_kind(result: str, kind: str, text: str | None) -> None:
    found = problem_of(tool(2, "run_code", result=result, error="what the status says"))
    assert found is not None
    assert found.kind == kind
    assert text is None or found.text == text
    assert len(found.text) <= 300


def test_a_trace_without_code_has_no_runs() -> None:
    assert code_runs([tool(2, "look"), tool(3, "look")]) == []
