"""Which spans a query really waited for, and the most that each could have saved.

Walked backwards from the query's end: of the spans below the current one, the one that ended last was waited for; what
lies between its end and here is the current span's own. So every instant of the query belongs to one span, and the
parts add up to its wall time to the nanosecond, however tools overlap. What a part could save, had it taken no time, is
its time on the path in which nothing else ran beside it: of two tools in parallel the longer one only saves what it
took longer. Pure, from span rows alone. (The walk is that of CRISP: Zhang et al. 2022, USENIX ATC.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from punie_trace.analysis.ledger import query_spans, tools_unseen
from punie_trace.analysis.waterfall import Segment, segment_of
from punie_trace.spans import names
from punie_trace.spans.span import Span

Interval = tuple[int, int]
_DEEPEST: Final = 100
BETWEEN: Final = "between generations, and queue"
"""What is done beside asking where tools make no spans, and cannot be told from the rest."""
"""Levels of spans that are told apart; what lies deeper counts for the span above it."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of the path, in ns on the run's clock, and the span whose own it is."""

    span: Span
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Part:
    """All spans of one name on the path. `saves_ns` is the most that could be saved if they took no time."""

    name: str
    segment: Segment
    on_path_ns: int
    saves_ns: int
    spans: int


def critical_path(spans: Sequence[Span]) -> tuple[Stretch, ...]:
    """The path of one query's trace from due to done, first things first; empty where the query's span is missing."""
    roots = query_spans(spans)
    if len(roots) != 1:
        return ()
    below: dict[str, list[Span]] = {}
    for span in spans:
        if span.parent_id is not None and span.parent_id != span.span_id:
            below.setdefault(span.parent_id, []).append(span)
    root = roots[0]
    known = {span.span_id for span in spans}
    # What has lost its parent (a span that was never written) still happened within the query.
    orphans = [one for one in spans if one is not root and one.parent_id not in known]
    below.setdefault(root.span_id, []).extend(orphans)
    found: list[Stretch] = []
    _walk(root, root.start_ns, root.end_ns, below, found, frozenset())
    return tuple(reversed(found))


def parts(spans: Sequence[Span]) -> tuple[Part, ...]:
    """The path by the names of its spans, the longest first; their times add up to the query's wall time."""
    path = critical_path(spans)
    rest = BETWEEN if any(tools_unseen(one) for one in spans) else "framework and queue"
    grouped: dict[tuple[str, Segment], list[Stretch]] = {}
    for stretch in path:
        segment = segment_of(stretch.span)
        # The agent's own spans and the query's own time are what the ledger calls framework and client queue.
        key = (_label(stretch.span), segment) if segment in ("generation", "tool") else (rest, "other")
        grouped.setdefault(key, []).append(stretch)
    found = [
        Part(
            name=name,
            segment=segment,
            on_path_ns=sum(one.end_ns - one.start_ns for one in stretches),
            saves_ns=_alone(stretches, spans),
            spans=len({one.span.span_id for one in stretches}),
        )
        for (name, segment), stretches in grouped.items()
    ]
    return tuple(sorted(found, key=lambda one: -one.on_path_ns))


def _walk(
    span: Span, start: int, end: int, below: dict[str, list[Span]], found: list[Stretch], above: frozenset[str]
) -> None:
    """Adds the stretches of `span` between `start` and `end`, the last one first."""
    above = above | {span.span_id}
    inside = (
        []
        if len(above) > _DEEPEST
        else sorted(
            (one for one in below.get(span.span_id, ()) if one.span_id not in above),
            key=lambda one: (min(one.end_ns, end), -one.start_ns),
        )
    )
    cursor = end
    while inside:
        last = inside.pop()
        finished, begun = min(last.end_ns, end), max(last.start_ns, start)
        if finished > cursor or finished <= begun:
            continue  # it ran beside the one that was waited for, or lies outside
        if finished < cursor:
            found.append(Stretch(span, finished, cursor))
        _walk(last, begun, finished, below, found, above)
        cursor = begun
    if cursor > start:
        found.append(Stretch(span, start, cursor))


def _label(span: Span) -> str:
    tool = span.attributes.get(names.GEN_AI_TOOL_NAME)
    return f"tool {tool}" if isinstance(tool, str) and segment_of(span) == "tool" else "generation"


def _alone(stretches: Sequence[Stretch], spans: Sequence[Span]) -> int:
    """How long the stretches are where no span runs that is neither above nor below one of theirs."""
    own = {one.span.span_id for one in stretches}
    parents = {span.span_id: span.parent_id for span in spans}
    related = set(own)
    for span_id in own:
        related.update(_above(span_id, parents))
    beside = [
        (span.start_ns, span.end_ns)
        for span in spans
        if span.span_id not in related
        and not own.intersection(_above(span.span_id, parents))
        and segment_of(span) in ("generation", "tool")
    ]
    mine = [(one.start_ns, one.end_ns) for one in stretches]
    return _length(mine) - _overlap(mine, beside)


def _above(span_id: str, parents: dict[str, str | None]) -> list[str]:
    found: list[str] = []
    parent = parents.get(span_id)
    while parent is not None and parent not in found and parent != span_id:
        found.append(parent)
        parent = parents.get(parent)
    return found


def _length(intervals: Sequence[Interval]) -> int:
    return sum(end - start for start, end in intervals)


def _overlap(first: Sequence[Interval], second: Sequence[Interval]) -> int:
    """How much of `first` (which do not overlap each other) the union of `second` covers."""
    union: list[Interval] = []
    for start, end in sorted(second):
        if union and start <= union[-1][1]:
            union[-1] = union[-1][0], max(union[-1][1], end)
        elif start < end:
            union.append((start, end))
    return sum(max(0, min(end, other) - max(start, begin)) for start, end in first for begin, other in union)
