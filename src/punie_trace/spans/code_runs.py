"""Code that a model wrote and a sandbox ran, as a trace shows it: each run of `run_code`, the tools that it called, and
what stopped it.

It is read from the spans of PydanticAI's code mode (`pydantic-ai-harness`), whoever's agent made them. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from punie_trace.spans import conventions, names
from punie_trace.spans.span import Span

ProblemKind: TypeAlias = Literal[
    "does not parse", "unknown name", "wrong types", "over a limit", "not allowed", "raised an error"
]
PROBLEM_KINDS: Final[tuple[ProblemKind, ...]] = get_args(ProblemKind)
_BY_RULE: Final[dict[str, ProblemKind]] = {
    "invalid-syntax": "does not parse",
    "unresolved-reference": "unknown name",
    "unresolved-attribute": "unknown name",
    "unresolved-import": "not allowed",
}
"""By the rule of the type checker that the code broke; other rules are about types."""
_BY_ERROR: Final[dict[str, ProblemKind]] = {
    "SyntaxError": "does not parse",
    "NameError": "unknown name",
    "AttributeError": "unknown name",
    "PermissionError": "not allowed",
    "ModuleNotFoundError": "not allowed",
    "ImportError": "not allowed",
    "NotImplementedError": "not allowed",  # what the sandbox raises for a part of Python that it does not have
    "TypeError": "wrong types",
    "MemoryError": "over a limit",
    "RecursionError": "over a limit",
}
_LIMITS: Final = ("limit exceeded", "suspension limit", "nested tool calls per", "crashed the sandbox worker")
_NO_SUCH_THING: Final = "is not supported in this environment"
_RULE: Final = re.compile(r"^error\[([a-z-]+)\]: (.+)$", re.MULTILINE)
_ERROR: Final = re.compile(r"^([A-Z]\w*(?:Error|Exception|Exit|Interrupt)): ?(.*)$", re.MULTILINE)
_MOST_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class CodeProblem:
    """Why a run of code came to no end: the kind, and the sandbox's own words, at most 300 characters."""

    kind: ProblemKind
    text: str


@dataclass(frozen=True, slots=True)
class CodeRun:
    """One run of code. `nested` are the spans of the tools that it called, in their order."""

    span: Span
    nested: tuple[Span, ...]
    problem: CodeProblem | None


def is_code_run(span: Span) -> bool:
    """Whether the span, a tool's, ran code in a sandbox."""
    return span.attributes.get(names.GEN_AI_TOOL_NAME) == names.RUN_CODE


def code_runs(spans: Sequence[Span]) -> list[CodeRun]:
    """The runs of code in one trace, in their order."""
    tools = conventions.tools(spans)
    runs = [span for span in tools if is_code_run(span)]
    if not runs:
        return []
    by_id = {span.span_id: span for span in spans}
    of_run: dict[str, list[Span]] = {span.span_id: [] for span in runs}
    by_call = {call_id: span for span in runs if (call_id := conventions.tool_of(span).call_id)}
    for span in tools:
        if span.span_id not in of_run and (run := _run_of(span, by_id, of_run, by_call)) is not None:
            of_run[run.span_id].append(span)
    return [CodeRun(span, tuple(of_run[span.span_id]), problem_of(span)) for span in runs]


def problem_of(span: Span) -> CodeProblem | None:
    """What stopped the code of a run; None where it ran to its end."""
    if span.error is None:
        return None
    text = conventions.tool_of(span).result or span.error
    if (broken := _RULE.search(text)) is not None:
        return CodeProblem(_BY_RULE.get(broken[1], "wrong types"), _short(broken[2]))
    raised = list(_ERROR.finditer(text))
    if any(mark in text for mark in _LIMITS):
        limit = next((one for one in raised if any(mark in one[2] for mark in _LIMITS)), None)
        return CodeProblem("over a limit", _short(limit[0] if limit is not None else text))
    if raised and _NO_SUCH_THING in raised[0][2]:
        return CodeProblem("not allowed", _short(raised[0][0]))
    if raised:
        return CodeProblem(_BY_ERROR.get(raised[0][1], "raised an error"), _short(raised[0][0]))
    return CodeProblem("raised an error", _short(text))


def code_of(run: CodeRun) -> str:
    """The program of a run; '' where the trace does not hold it."""
    try:
        arguments = json.loads(conventions.tool_of(run.span).arguments or "")
    except (ValueError, RecursionError):
        return ""
    code = arguments.get("code") if isinstance(arguments, dict) else None
    return code if isinstance(code, str) else ""


def _run_of(span: Span, by_id: Mapping[str, Span], runs: Collection[str], by_call: Mapping[str, Span]) -> Span | None:
    """The run that called the tool: above it, or by the id of its call where it began before the run's own span."""
    above = next((one for one in conventions.ancestors(span, by_id) if one.span_id in runs), None)
    if above is not None:
        return above
    parent_call, mark, _ = (conventions.tool_of(span).call_id or "").rpartition("__")
    return by_call.get(parent_call) if mark else None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_CHARS else f"{line[: _MOST_CHARS - 1]}…"
