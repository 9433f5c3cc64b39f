from __future__ import annotations

from punie_trace.analysis.waterfall import segment_of, warm_ups, waterfall
from punie_trace.spans import names
from punie_trace.spans.span import AttributeValue, Span, SpanEvent


def span(
    span_id: str,
    parent: str | None,
    start: int,
    end: int,
    attributes: dict[str, AttributeValue] | None = None,
    events: tuple[SpanEvent, ...] = (),
) -> Span:
    return Span("t", span_id, parent, f"span {span_id}", "INTERNAL", start, end, attributes or {}, events)


QUERY = span("q", None, 0, 100, {names.LEDGER_WALL: 100, names.CONFIGURATION: "a"})
POST = span(
    "p",
    "c",
    10,
    40,
    {names.SEGMENT: names.SEGMENT_GENERATION},
    (SpanEvent(names.EVENT_FIRST_CHUNK, 30), SpanEvent("other", 31)),
)
CHAT = span("c", "q", 5, 45)
TOOL = span("t", "q", 50, 60, {names.GEN_AI_OPERATION: names.OPERATION_EXECUTE_TOOL})


def test_children_stand_below_their_parents_in_order_of_their_start() -> None:
    bars = waterfall([TOOL, POST, CHAT, QUERY])
    assert [(bar.name, bar.depth) for bar in bars] == [("span q", 0), ("span c", 1), ("span p", 2), ("span t", 1)]
    assert [bar.segment for bar in bars] == ["query", "other", "generation", "tool"]
    assert bars[2].marks == ((names.EVENT_FIRST_CHUNK, 30),)


def test_a_span_without_its_parent_and_a_circle_are_not_lost() -> None:
    orphan = span("o", "gone", 1, 2)
    circle = [span("x", "y", 3, 4), span("y", "x", 3, 5), span("z", "z", 6, 7)]
    bars = waterfall([orphan, *circle])
    assert sorted(bar.name for bar in bars) == ["span o", "span x", "span y", "span z"]


def test_nothing_makes_no_bars() -> None:
    assert waterfall([]) == ()


def test_deep_traces_need_no_recursion() -> None:
    chain = [span(str(n), str(n - 1) if n else None, n, 10_000) for n in range(3_000)]
    assert waterfall(chain)[-1].depth == 2_999


def test_warm_up_queries_are_found() -> None:
    warm = span("w", None, 5, 9, {names.LEDGER_WALL: 4, names.CONFIGURATION: "a", names.WARM_UP: True})
    found = warm_ups([QUERY, warm, POST])
    assert [(one.configuration, one.due_ns, one.wall_ns) for one in found] == [("a", 5, 4)]
    assert segment_of(warm) == "query"
