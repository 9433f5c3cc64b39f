from __future__ import annotations

from dataclasses import replace

from punie_trace.analysis.client_findings import descriptor_findings, left_open_findings
from punie_trace.analysis.observations import Ask, Observation
from punie_trace.analysis.split import GenerationSplit, split_generation
from punie_trace.descriptors import OURS
from punie_trace.records import Outcome, Verdict
from punie_trace.spans import names
from punie_trace.spans.span import AttributeValue, Span, SpanEvent

SECOND = 1_000_000_000
OUTCOME = Outcome(
    seq=0, round=0, configuration="baseline", query="q", path="http", due_ns=0, sent_ns=0, done_ns=SECOND,
    verdict=Verdict.ERROR, error=None, trace_id="", answer="", tool_calls=(), generations=1, input_tokens=None,
    output_tokens=None, cached_tokens=None, ttft_ns=None, served_model=None,
)  # fmt: skip


def observation(error: str | None = None, *splits: GenerationSplit) -> Observation:
    return Observation(replace(OUTCOME, error=error), Ask("tool", True, False, True), None, None, splits)


def generation(*, left_open: bool) -> GenerationSplit:
    events = (SpanEvent(names.EVENT_FIRST_CHUNK, SECOND, {}), SpanEvent(names.EVENT_LAST_CHUNK, 2 * SECOND, {}))
    attributes: dict[str, AttributeValue] = {names.LEFT_OPEN: True} if left_open else {}
    return split_generation(Span("t", "s", None, "POST", "CLIENT", 0, 2 * SECOND + SECOND // 2, attributes, events))


def test_queries_that_failed_of_our_own_limit_are_told_as_ours() -> None:
    failed = [observation(f"{OURS}: ConnectError: refused"), observation("ConnectError: refused"), observation()]
    (finding,) = descriptor_findings({"baseline": failed, "other": [observation("500")]})
    assert finding.startswith("baseline: 1 query failed because this process could open no more files")
    assert "ulimit -n" in finding


def test_streams_that_were_left_open_are_told_with_what_waiting_for_them_took() -> None:
    observed = {"a": [observation(None, generation(left_open=True), generation(left_open=False))], "b": [observation()]}
    (finding,) = left_open_findings(observed)
    assert finding.startswith("a: the server left 1 of 2 streams open after their finish reason")
    assert "(500 ms each" in finding
