"""The first place where two answers to one query part: which round, in what of them, and the text around it.

Pure. The texts are a model's: whoever shows them escapes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from punie_trace.analysis.figures import Parting
from punie_trace.records import Outcome

BEFORE: Final = 30
"""Characters of common text that are shown before the place."""
AFTER: Final = 40


def first_parting(pairs: Iterable[tuple[Outcome, Outcome]]) -> Parting | None:
    """Of pairs (baseline's, other's) of one query, the first that differ; None where none do."""
    for baseline, other in pairs:
        found = _parting(baseline, other)
        if found is not None:
            return found
    return None


def common_length(first: str, second: str) -> int:
    """How many characters the texts have in common at their beginning."""
    most = min(len(first), len(second))
    low, high = 0, most
    while low < high:  # equality of slices is far quicker than going through characters
        middle = (low + high + 1) // 2
        if first[:middle] == second[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _parting(baseline: Outcome, other: Outcome) -> Parting | None:
    ours = [(f"tool call {number}", text) for number, text in enumerate(_calls(baseline), start=1)]
    theirs = [(f"tool call {number}", text) for number, text in enumerate(_calls(other), start=1)]
    for index in range(max(len(ours), len(theirs))):
        where = (ours[index] if index < len(ours) else theirs[index])[0]
        first = ours[index][1] if index < len(ours) else ""
        second = theirs[index][1] if index < len(theirs) else ""
        if first != second:
            return _excerpt(baseline, where, first, second)
    return _excerpt(baseline, "answer", baseline.answer, other.answer) if baseline.answer != other.answer else None


def _calls(outcome: Outcome) -> list[str]:
    return [f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)})" for call in outcome.tool_calls]


def _excerpt(outcome: Outcome, where: str, first: str, second: str) -> Parting:
    at = common_length(first, second)
    start = max(0, at - BEFORE)
    return Parting(
        query=outcome.query,
        round=outcome.round,
        where=where,
        at=at,
        common=("..." if start else "") + first[start:at],
        baseline=_cut(first[at:]),
        other=_cut(second[at:]),
    )


def _cut(text: str) -> str:
    return text if len(text) <= AFTER else f"{text[:AFTER]}..."


def in_words(parting: Parting, baseline: str, other: str) -> str:
    """The parting as one line of text."""

    def said(text: str) -> str:
        return repr(text) if text else "ends"

    return (
        f"{parting.query} (round {parting.round}), {parting.where}, after {parting.at} characters"
        f"{f' ({parting.common!r})' if parting.common else ''}: "
        f"{baseline} {said(parting.baseline)}, {other} {said(parting.other)}"
    )
