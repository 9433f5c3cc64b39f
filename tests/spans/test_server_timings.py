"""What servers tell of themselves in their answers, under their own names."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.analysis.drafted import drafted_in
from punie_trace.analysis.split import split_generation
from punie_trace.records import JsonValue
from punie_trace.spans import names
from punie_trace.spans.server_timings import FORMS, reported_timings, timings_in
from punie_trace.spans.span import Span, SpanEvent

LLAMA: dict[str, JsonValue] = {
    "cache_n": 236,
    "prompt_n": 1,
    "prompt_ms": 30.958,
    "predicted_n": 35,
    "predicted_ms": 661.064,
    "draft_n": 12,
    "draft_n_accepted": 9,
}
MS = 1_000_000


def test_llama_cpps_timings() -> None:
    told = reported_timings(json.dumps(timings_in({"timings": LLAMA, "usage": {"prompt_tokens": 3}})))
    assert told is not None
    assert (told.family, told.queue_ns, told.prefill_ns, told.decode_ns) == ("llama.cpp", None, 30_958_000, 661_064_000)
    assert (told.cached_tokens, told.drafted, told.accepted) == (236, 12, 9)


@pytest.mark.parametrize(
    "body",
    [
        {"usage": {"queue_time": 0.02, "prompt_time": 0.001, "completion_time": 0.5, "prompt_tokens": 3}},
        {"time_info": {"queue_time": 0.02, "prompt_time": 0.001, "completion_time": 0.5, "created": 1732000000}},
    ],
)
def test_timings_in_seconds(body: dict[str, object]) -> None:
    found = timings_in(body)  # ty: ignore[invalid-argument-type]
    assert "prompt_tokens" not in found
    told = reported_timings(json.dumps(found))
    assert told is not None
    assert (told.queue_ns, told.prefill_ns, told.decode_ns) == (20 * MS, MS, 500 * MS)


@pytest.mark.parametrize("text", [None, 3, "", "[", "[1]", "{}", '{"prompt_ms": -1, "predicted_ms": 3}', "[" * 9999])
def test_what_is_no_timing_is_none(text: object) -> None:
    assert reported_timings(text) is None


@given(st.recursive(st.none() | st.floats() | st.text() | st.integers(), lambda s: st.dictionaries(st.text(), s)))
def test_any_object_is_read(value: object) -> None:
    body = {"timings": value, "usage": value, "time_info": value}
    found = timings_in(body)  # ty: ignore[invalid-argument-type]
    reported_timings(json.dumps(found))
    mixed = {key: value for form in FORMS for key in (form.prefill, form.decode)}
    assert all(isinstance(one, int | float) for one in timings_in({"timings": mixed}).values())  # ty: ignore


def post(**timings: float) -> Span:
    return Span(
        trace_id="1" * 32,
        span_id="2" * 16,
        parent_id=None,
        name="POST",
        kind="CLIENT",
        start_ns=0,
        end_ns=1000 * MS,
        attributes={
            names.SERVER_TIMINGS: json.dumps(timings),
            names.CONNECT_NS: 10 * MS,
            names.GEN_AI_INPUT_TOKENS: 400,
            names.GEN_AI_OUTPUT_TOKENS: 35,
            names.CHUNKS: 35,
        },
        events=(
            SpanEvent(names.EVENT_FIRST_CHUNK, 300 * MS),
            SpanEvent(names.EVENT_LAST_CHUNK, 990 * MS),
        ),
    )


def test_phases_are_as_the_answer_tells_them_and_fill_the_span() -> None:
    split = split_generation(post(prompt_ms=100.0, predicted_ms=700.0, cache_n=100))
    assert split.source == "llama.cpp's timings"
    assert (split.connect_ns, split.prefill_ns, split.decode_ns, split.transfer_ns) == (
        10 * MS,
        100 * MS,
        700 * MS,
        10 * MS,
    )
    assert split.server_queue_ns == 180 * MS, "what lies before the prompt is read: the way there, and waiting"
    assert (
        sum(split.phase(one) or 0 for one in ("connect", "server_queue", "prefill", "decode", "transfer")) == 1000 * MS
    )
    assert split.cached_share == 0.25
    assert split.first_chunk_ns == 300 * MS


def test_timings_longer_than_the_request_are_kept_within_it() -> None:
    split = split_generation(post(prompt_ms=5000.0, predicted_ms=7000.0))
    assert (split.prefill_ns, split.decode_ns, split.server_queue_ns) == (990 * MS, 0, 0)


def test_a_told_queue_is_taken() -> None:
    split = split_generation(post(queue_time=0.1, prompt_time=0.2, completion_time=0.5))
    assert (split.server_queue_ns, split.transfer_ns) == (100 * MS, 190 * MS)


def test_without_timings_only_the_stream_is_known() -> None:
    split = split_generation(post(nothing=1.0))
    assert split.source == "the stream"
    assert split.server_queue_ns is None


def test_acceptance_is_read_from_answers() -> None:
    (drafted,) = drafted_in([post(prompt_ms=1.0, predicted_ms=2.0, draft_n=12, draft_n_accepted=9)])
    assert (drafted.drafted, drafted.accepted, drafted.drafters) == (12, 9, ("llama.cpp",))
    assert drafted_in([post(prompt_ms=1.0, predicted_ms=2.0)]) == ()
