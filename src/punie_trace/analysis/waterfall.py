"""The spans of one query laid out for a waterfall, and the queries that were asked to warm up.

Pure, from span rows alone: what belongs below what, in which order, and which line of the ledger it counts for. Nothing
is drawn here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from typing import Literal, TypeAlias

from punie_trace.spans import names
from punie_trace.spans.span import Span

Segment: TypeAlias = Literal["query", "generation", "tool", "other"]
MARKS = (names.EVENT_FIRST_BYTE, names.EVENT_PREFILL_END, names.EVENT_FIRST_CHUNK, names.EVENT_LAST_CHUNK)


@dataclass(frozen=True, slots=True)
class Bar:
    """One span in a waterfall. Times in ns on the run's clock; `depth` is 0 for a root."""

    name: str
    segment: Segment
    """What the ledger counts it as; 'other' is what belongs to neither generation nor tool."""
    depth: int
    start_ns: int
    end_ns: int
    marks: tuple[tuple[str, int], ...]
    """The events of `MARKS` that it has, with their times."""
    error: str | None
    span_id: str


@dataclass(frozen=True, slots=True)
class WarmUp:
    """One query that was asked before the first round, and counts in no figure. Times in ns on the run's clock."""

    configuration: str
    due_ns: int
    wall_ns: int


def waterfall(spans: Sequence[Span]) -> tuple[Bar, ...]:
    """All spans of one trace, each below its parent, siblings by their start.

    A span whose parent is not there (the run was cut off before it was written) stands as a root; spans that claim to
    be each other's parents stand as roots too, so that none is lost.
    """
    by_id = {span.span_id: span for span in spans}
    children: dict[str | None, list[Span]] = {}
    for span in spans:
        parent = span.parent_id if span.parent_id in by_id and span.parent_id != span.span_id else None
        children.setdefault(parent, []).append(span)
    laid: list[Bar] = []
    seen: set[int] = set()
    for root in chain(_in_order(children.get(None, ())), _left(spans, seen)):
        stack = [(root, 0)]
        while stack:
            span, depth = stack.pop()
            if id(span) in seen:
                continue
            seen.add(id(span))
            laid.append(_bar(span, depth))
            stack.extend((child, depth + 1) for child in reversed(_in_order(children.get(span.span_id, ()))))
    return tuple(laid)


def _left(spans: Sequence[Span], seen: Set[int]) -> Iterator[Span]:
    """What was not seen from any root, once all roots were looked at: members of a circle have none."""
    if len(seen) < len(spans):
        yield from _in_order(spans)


def segment_of(span: Span) -> Segment:
    """The line of the ledger that this span counts for."""
    if span.attributes.get(names.SEGMENT) == names.SEGMENT_GENERATION:
        return "generation"
    if span.attributes.get(names.GEN_AI_OPERATION) == names.OPERATION_EXECUTE_TOOL:
        return "tool"
    return "query" if names.LEDGER_WALL in span.attributes else "other"


def warm_ups(spans: Iterable[Span]) -> tuple[WarmUp, ...]:
    """The warm-up queries among the spans of a run, in the order they were written."""
    return tuple(
        WarmUp(str(span.attributes.get(names.CONFIGURATION, "")), span.start_ns, span.end_ns - span.start_ns)
        for span in spans
        if span.attributes.get(names.WARM_UP) is True and names.LEDGER_WALL in span.attributes
    )


def _in_order(spans: Iterable[Span]) -> list[Span]:
    return sorted(spans, key=lambda span: (span.start_ns, -span.end_ns))


def _bar(span: Span, depth: int) -> Bar:
    marks = tuple((event.name, event.time_ns) for event in span.events if event.name in MARKS)
    return Bar(span.name, segment_of(span), depth, span.start_ns, span.end_ns, marks, span.error, span.span_id)
