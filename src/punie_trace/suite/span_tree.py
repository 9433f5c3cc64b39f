"""The spans of a query as the `SpanTree` in which pydantic-evals' evaluators look.

Its evaluators know a model's request by the operation 'chat'. Where no agent makes such spans, as on the `http` path,
the spans of our own requests are given that operation, so that requests are counted the same on every path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from pydantic_evals.otel import SpanNode, SpanTree

from punie_trace.spans import names
from punie_trace.spans.span import Span

_CHAT = "chat"
_USAGE = "gen_ai.usage."


def span_tree(spans: Sequence[Span]) -> SpanTree:
    """The tree of `spans`, which are of one trace; a span whose parent is not among them is a root."""
    agents_own = any(_is_request(span.attributes) for span in spans)
    tree = SpanTree()
    tree.add_spans([_node(span, mark_requests=not agents_own) for span in spans])
    return tree


def metrics_of(tree: SpanTree) -> dict[str, int | float]:
    """What pydantic-evals counts of a task: `requests`, and the tokens of all of them by the conventions' names."""
    found: dict[str, int | float] = {}
    for node in tree:
        if not _is_request(node.attributes):
            continue
        found["requests"] = found.get("requests", 0) + 1
        for key, value in node.attributes.items():
            if key.startswith(_USAGE) and isinstance(value, int | float) and not isinstance(value, bool):
                name = key.removeprefix(_USAGE).removeprefix("details.")
                found[name] = found.get(name, 0) + value
    return found


def _node(span: Span, *, mark_requests: bool) -> SpanNode:
    attributes = dict(span.attributes)
    if mark_requests and attributes.get(names.SEGMENT) == names.SEGMENT_GENERATION:
        attributes[names.GEN_AI_OPERATION] = _CHAT
        attributes.setdefault(names.GEN_AI_REQUEST_MODEL, "")
    return SpanNode(
        name=span.name,
        trace_id=int(span.trace_id, 16),
        span_id=int(span.span_id, 16),
        parent_span_id=None if span.parent_id is None else int(span.parent_id, 16),
        start_timestamp=datetime.fromtimestamp(span.start_ns / 1e9, tz=UTC),
        end_timestamp=datetime.fromtimestamp(span.end_ns / 1e9, tz=UTC),
        attributes=cast("dict[str, str | float | Sequence[str] | Sequence[float]]", attributes),
        status="unset" if span.error is None else "error",
    )


def _is_request(attributes: Mapping[str, object]) -> bool:
    return attributes.get(names.GEN_AI_OPERATION) == _CHAT and names.GEN_AI_REQUEST_MODEL in attributes
