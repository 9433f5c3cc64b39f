from __future__ import annotations

from punie_trace.analysis.split import (
    NO_CONNECT,
    NO_OUTPUT,
    NO_STEP,
    PHASES,
    WITHHELD,
    server_steps,
    split_generation,
    withheld,
)
from punie_trace.spans import names
from punie_trace.spans.span import AttributeValue, Span, SpanEvent


def make_span(attributes: dict[str, AttributeValue], **events: int) -> Span:
    marks = tuple(SpanEvent(name, time) for name, time in events.items())
    return Span("a" * 32, "b" * 16, None, "POST", "CLIENT", 1000, 2000, attributes, marks)


STREAMED: dict[str, AttributeValue] = {
    names.CONNECT_NS: 10,
    names.CHUNKS: 9,
    names.GEN_AI_OUTPUT_TOKENS: 9,
    names.GEN_AI_FINISH_REASONS: ("stop",),
}
CALL: dict[str, AttributeValue] = {
    **STREAMED,
    names.CHUNKS: 1,
    names.GEN_AI_OUTPUT_TOKENS: 30,
    names.GEN_AI_FINISH_REASONS: ("tool_calls",),
}


def test_a_streamed_answer_shows_all_phases_and_they_add_up() -> None:
    split = split_generation(make_span(STREAMED, prefill_end=1300, first_chunk=1310, last_chunk=1950))
    phases = (split.connect_ns, split.prefill_ns, split.decode_ns, split.transfer_ns)
    assert phases == (10, 290, 650, 50)
    assert split.first_chunk_ns == 310
    assert split.per_token_ns == 80
    assert set(split.not_observable) == {"server_queue"}


def test_without_progress_the_first_chunk_ends_the_prefill() -> None:
    split = split_generation(make_span(STREAMED, first_chunk=1310, last_chunk=1950))
    assert (split.prefill_ns, split.decode_ns) == (300, 640)


def test_a_tool_call_held_back_shows_its_prefill_only_by_progress() -> None:
    split = split_generation(make_span(CALL, prefill_end=1300, first_chunk=1940, last_chunk=1950))
    assert (split.prefill_ns, split.decode_ns, split.first_chunk_ns, split.per_token_ns) == (290, 650, None, None)
    assert split.not_observable["first_chunk"] == WITHHELD


def test_a_tool_call_held_back_without_progress_shows_neither() -> None:
    split = split_generation(make_span(CALL, first_chunk=1940, last_chunk=1950))
    assert (split.prefill_ns, split.decode_ns, split.transfer_ns) == (None, None, 50)
    assert WITHHELD in split.not_observable["decode"]
    assert "draft model" in split.not_observable["prefill"]


def test_no_output_shows_nothing_and_says_so() -> None:
    split = split_generation(make_span({}))
    assert {split.connect_ns, split.prefill_ns, split.decode_ns, split.transfer_ns, split.per_token_ns} == {None}
    assert split.not_observable["connect"] == NO_CONNECT
    assert split.not_observable["transfer"] == NO_OUTPUT


def test_held_back_is_known_by_chunks_and_where_they_are_not_counted_by_the_finish() -> None:
    assert withheld(make_span(CALL))
    assert not withheld(make_span({**CALL, names.CHUNKS: 28}))  # a server that streams its tool calls
    assert not withheld(make_span({**STREAMED, names.CHUNKS: 1, names.GEN_AI_OUTPUT_TOKENS: 2}))
    assert withheld(make_span({names.GEN_AI_FINISH_REASONS: ("tool_calls",)}))
    assert not withheld(make_span({names.GEN_AI_FINISH_REASONS: ("stop",)}))


def served(name: str, start: int, end: int, kind: str = "INTERNAL", parent: str = "c" * 16) -> Span:
    return Span("a" * 32, name[:1] * 16, parent, name, kind, start, end)


def test_a_server_that_tells_gives_all_phases_even_of_a_call_that_it_held_back() -> None:
    call = make_span(CALL, first_chunk=1990, last_chunk=1990)
    server = Span("a" * 32, "c" * 16, call.span_id, "server chat", "SERVER", 1020, 1995)
    rows = [
        server,
        served(names.SPAN_QUEUE, 1030, 1100),
        served(names.SPAN_TOKENIZE, 1100, 1110),
        served(names.SPAN_PREFILL, 1110, 1400),
        served(names.SPAN_DECODE, 1400, 1980),
        served("other", 1, 2, parent="d" * 16),
    ]
    steps = server_steps([call, *rows])
    assert steps.keys() == {call.span_id}
    split = split_generation(call, steps[call.span_id])
    phases = [split.phase(phase) for phase in PHASES]
    assert phases == [10, 90, 300, 580, 20]
    assert sum(phase for phase in phases if phase is not None) == call.end_ns - call.start_ns
    assert set(split.not_observable) == {"first_chunk", "per_token"}  # the client still saw neither


def test_what_a_server_does_not_tell_stays_as_the_client_saw_it() -> None:
    attributes: dict[str, AttributeValue] = {
        **STREAMED,
        names.GEN_AI_FINISH_REASONS: ("length",),
        names.GEN_AI_INPUT_TOKENS: 200,
        names.GEN_AI_CACHED_TOKENS: 150,
    }
    span = make_span(attributes, first_chunk=1400, last_chunk=1990)
    split = split_generation(span, {names.SPAN_QUEUE: served(names.SPAN_QUEUE, 1030, 1100)})
    assert (split.finish_reason, split.cached_share) == ("length", 0.75)
    assert split.first_chunk_ns == split_generation(span).first_chunk_ns is not None


def test_steps_that_a_server_did_not_come_to_are_named_and_times_outside_are_cut() -> None:
    span = make_span({names.CHUNKS: 0})
    steps = {names.SPAN_QUEUE: served(names.SPAN_QUEUE, 900, 5000)}
    split = split_generation(span, steps)
    assert (split.server_queue_ns, split.prefill_ns, split.decode_ns, split.transfer_ns) == (1000, None, None, 0)
    assert split.not_observable["prefill"] == split.not_observable["decode"] == NO_STEP
