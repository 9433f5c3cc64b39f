from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from punie_trace.analysis.critical_path import critical_path, parts
from punie_trace.spans import names
from punie_trace.spans.span import AttributeValue, Span


def span(span_id: str, parent: str | None, start: int, end: int, kind: str = "other") -> Span:
    attributes: dict[str, AttributeValue] = {}
    if kind == "query":
        attributes = {names.LEDGER_WALL: end - start, names.SENT_NS: start}
    elif kind == "generation":
        attributes = {names.SEGMENT: names.SEGMENT_GENERATION}
    elif kind != "other":
        attributes = {names.GEN_AI_OPERATION: names.OPERATION_EXECUTE_TOOL, names.GEN_AI_TOOL_NAME: kind}
    return Span("t", span_id, parent, span_id, "INTERNAL", start, end, attributes)


def by_name(spans: list[Span]) -> dict[str, tuple[int, int]]:
    return {one.name: (one.on_path_ns, one.saves_ns) for one in parts(spans)}


# Two tools in parallel between two generations: the longer one is waited for, and saves what it took longer.
PARALLEL = [
    span("q", None, 0, 100, "query"),
    span("agent", "q", 2, 98),
    span("g1", "agent", 5, 30, "generation"),
    span("slow", "agent", 30, 70, "slow"),
    span("fast", "agent", 30, 60, "fast"),
    span("g2", "agent", 70, 95, "generation"),
]


def test_of_two_tools_in_parallel_the_longer_one_is_waited_for() -> None:
    assert by_name(PARALLEL) == {"generation": (50, 50), "tool slow": (40, 10), "framework and queue": (10, 10)}


def test_a_tool_that_began_after_another_ended_is_waited_for_as_well() -> None:
    spans = [*PARALLEL[:4], span("late", "agent", 71, 90, "late")]
    assert by_name(spans)["tool late"] == (19, 19)
    assert by_name(spans)["tool slow"] == (40, 40)


def test_the_parts_are_the_whole_and_lie_end_to_end() -> None:
    path = critical_path(PARALLEL)
    assert path[0].start_ns == 0
    assert all(before.end_ns == after.start_ns for before, after in pairwise(path))
    assert path[-1].end_ns == 100


def test_without_the_span_of_the_query_there_is_no_path() -> None:
    assert critical_path(PARALLEL[1:]) == ()
    assert parts([]) == ()


def test_spans_that_claim_to_be_each_others_parents_do_no_harm() -> None:
    spans = [*PARALLEL, span("a", "b", 10, 20), span("b", "a", 10, 20), span("c", "c", 10, 20)]
    assert sum(one.on_path_ns for one in parts(spans)) == 100


def test_a_span_without_its_parent_still_happened_within_the_query() -> None:
    spans = [PARALLEL[0], span("g", "lost", 10, 90, "generation")]
    assert by_name(spans) == {"generation": (80, 80), "framework and queue": (20, 20)}


@st.composite
def traces(draw: st.DrawFn) -> list[Span]:
    spans = [span("q", None, 0, 1000, "query")]
    for index in range(draw(st.integers(0, 12))):
        parent = draw(st.sampled_from([one.span_id for one in spans]))
        start = draw(st.integers(-50, 1050))
        end = start + draw(st.integers(0, 500))
        kind = draw(st.sampled_from(["other", "generation", "read", "search"]))
        spans.append(span(f"s{index}", parent, start, end, kind))
    return spans


@given(traces())
def test_every_instant_belongs_to_one_span_and_nothing_saves_more_than_it_took(spans: list[Span]) -> None:
    path = critical_path(spans)
    assert [path[0].start_ns, path[-1].end_ns] == [0, 1000]
    assert all(before.end_ns == after.start_ns for before, after in pairwise(path))
    found = parts(spans)
    assert sum(one.on_path_ns for one in found) == 1000
    assert all(0 <= one.saves_ns <= one.on_path_ns for one in found)
