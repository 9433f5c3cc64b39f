"""What came of code mode: runs of the model's code, the calls that they made, and what stopped them, by kind.

Times are the ledger's. Pure, from spans.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from punie_trace.analysis.figure_kinds import CodeFigures
from punie_trace.spans.code_runs import ProblemKind, code_runs
from punie_trace.spans.span import Span


@dataclass(frozen=True, slots=True)
class CodeUse:
    """One query's: how often its model's code ran, how many tools that called, and why runs came to no end."""

    runs: int
    calls: int
    problems: tuple[ProblemKind, ...]


def code_use_in(spans: Sequence[Span]) -> CodeUse | None:
    """What the trace of one query holds; None where no code ran."""
    runs = code_runs(spans)
    if not runs:
        return None
    problems = tuple(one.problem.kind for one in runs if one.problem is not None)
    return CodeUse(len(runs), sum(len(one.nested) for one in runs), problems)


def code_figures(queries: Sequence[CodeUse | None]) -> CodeFigures | None:
    """The figures of one configuration's answered queries; None where none of them ran code."""
    found = [one for one in queries if one is not None]
    if not found:
        return None
    problems = Counter(kind for one in found for kind in one.problems)
    return CodeFigures(
        queries=len(found),
        of=len(queries),
        runs_per_query=sum(one.runs for one in found) / len(queries),
        calls_per_query=sum(one.calls for one in found) / len(queries),
        problems=dict(problems.most_common()),
    )
