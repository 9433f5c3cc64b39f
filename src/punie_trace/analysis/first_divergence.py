"""The first place where two answers to one query differ: which round, in what of them, and the text around it.

Pure. The texts are a model's: whoever shows them escapes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import zip_longest
from typing import Final

from punie_trace.analysis.figure_kinds import FirstDivergence
from punie_trace.records import Outcome, TurnOutcome

BEFORE: Final = 30
"""Characters of common text that are shown before the place."""
AFTER: Final = 40


def first_divergence(pairs: Iterable[tuple[Outcome, Outcome]]) -> FirstDivergence | None:
    """Of pairs (baseline's, other's) of one query, the first that differ; None where none do."""
    for baseline, other in pairs:
        found = _divergence(baseline, other)
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


def in_words(divergence: FirstDivergence, baseline: str, other: str) -> str:
    """The divergence as one line of text."""

    def continued(text: str) -> str:
        return repr(text) if text else "ends"

    common = f" ({divergence.common!r})" if divergence.common else ""
    return (
        f"{divergence.query} (round {divergence.round}), {divergence.where}, after {divergence.at} characters{common}: "
        f"{baseline} {continued(divergence.baseline)}, {other} {continued(divergence.other)}"
    )


def _divergence(baseline: Outcome, other: Outcome) -> FirstDivergence | None:
    ours, theirs = baseline.turns or (baseline,), other.turns or (other,)
    for number, (first, second) in enumerate(zip(ours, theirs, strict=False), start=1):
        found = _of_turn(first, second)
        if found is not None:
            where, before, after = found
            return _excerpt(baseline, f"turn {number}, {where}" if baseline.turns else where, before, after)
    return None


def _of_turn(first: Outcome | TurnOutcome, second: Outcome | TurnOutcome) -> tuple[str, str, str] | None:
    """Where one question, or a turn of a session, was answered differently, and both texts: first calls, then words."""
    for index, (before, after) in enumerate(zip_longest(_calls(first), _calls(second), fillvalue=""), start=1):
        if before != after:
            return f"tool call {index}", before, after
    return ("answer", first.answer, second.answer) if first.answer != second.answer else None


def _calls(outcome: Outcome | TurnOutcome) -> list[str]:
    return [f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)})" for call in outcome.tool_calls]


def _excerpt(outcome: Outcome, where: str, first: str, second: str) -> FirstDivergence:
    at = common_length(first, second)
    start = max(0, at - BEFORE)
    return FirstDivergence(
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
