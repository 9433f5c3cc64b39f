"""A query's spans as pydantic-evals sees them."""

from __future__ import annotations

from pydantic_evals.otel import SpanTree

from punie_trace.spans import names
from punie_trace.spans.span import AttributeValue, Span
from punie_trace.suite.span_tree import metrics_of, span_tree

TRACE = "0123456789abcdef" * 2


def span(number: int, parent: int | None, name: str, attributes: dict[str, AttributeValue], error: str = "") -> Span:
    above = None if parent is None else f"{parent:016x}"
    return Span(TRACE, f"{number:016x}", above, name, "INTERNAL", number, number + 5, attributes, error=error or None)


REQUEST: dict[str, AttributeValue] = {
    names.SEGMENT: names.SEGMENT_GENERATION,
    names.GEN_AI_REQUEST_MODEL: "m",
    names.GEN_AI_OUTPUT_TOKENS: 7,
}
CHAT: dict[str, AttributeValue] = {
    names.GEN_AI_OPERATION: "chat",
    names.GEN_AI_REQUEST_MODEL: "m",
    names.GEN_AI_OUTPUT_TOKENS: 7,
    "gen_ai.usage.details.cache_read_tokens": 3,
}


def chats(tree: SpanTree) -> int:
    return len(tree.find({"has_attributes": {names.GEN_AI_OPERATION: "chat"}}))


def test_parents_times_and_errors_are_kept():
    tree = span_tree([span(2, 1, "inner", {}, "it broke"), span(1, 99, "outer", {"a": (1, 2)})])
    outer, inner = tree.first({"name_equals": "outer"}), tree.first({"name_equals": "inner"})
    assert outer is not None
    assert inner is not None
    assert tree.roots == [outer]
    assert outer.children == [inner]
    assert (inner.status, outer.status) == ("error", "unset")
    assert outer.attributes == {"a": (1, 2)}


def test_requests_are_counted_once_with_an_agents_own_spans_and_without():
    by_agent = span_tree([span(1, None, "chat m", CHAT), span(2, 1, "POST", REQUEST)])
    by_us = span_tree([span(2, None, "POST", REQUEST)])
    assert chats(by_agent) == chats(by_us) == 1
    assert metrics_of(by_agent) == {"requests": 1, "output_tokens": 7, "cache_read_tokens": 3}
    assert metrics_of(by_us) == {"requests": 1, "output_tokens": 7}
