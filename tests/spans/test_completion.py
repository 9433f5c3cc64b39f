from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.records import JsonValue
from punie_trace.spans.completion import CompletionReader, Form

DONE = b"data: [DONE]\n\n"


def event(**fields: object) -> bytes:
    return b"data: " + json.dumps(fields, ensure_ascii=False).encode() + b"\n\n"


def chunk(finish: str | None = None, **delta: object) -> bytes:
    return event(model="m", choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


def read(body: bytes, form: Form = "events") -> CompletionReader:
    """Fed byte by byte, at the times 0, 1, 2, …"""
    reader = CompletionReader(form)
    for place in range(len(body)):
        reader.feed(body[place : place + 1], place)
    reader.close(len(body))
    return reader


def facts(reader: CompletionReader) -> dict[str, object]:
    ours = {key: value for key, value in vars(reader).items() if not key.startswith("_")}
    return ours | {"tool_calls": reader.tool_calls, "cut": reader.cut, "completion": reader.completion()}


pieces = st.one_of(
    st.sampled_from(
        [
            b": keepalive 128/512\n\n",
            b": keepalive 512/512\n\n",
            b": a comment\r\n\r\n",
            b"data: not json\n\n",
            b"data: [1]\n\n",
            b"event: message\r",
            b"id: 1\n",
            b'data: {"choices":\ndata: [{"delta": {"content": "two lines"}}]}\n\n',
            b"data:" + b"[" * 3000 + b"\n\n",
            b"\r\n",
            b"\xef\xbb\xbf",
            DONE,
            chunk("stop"),
            chunk(role="assistant", content=""),
            chunk(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]),
            chunk(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}, {"index": 1, "id": "b"}]),
            event(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": None}),
            event(error={"message": "out of memory"}),
        ]
    ),
    st.text(max_size=8).map(lambda text: chunk(content=text)),
    st.binary(max_size=12),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner)).map(
        lambda value: event(choices=value, usage=value, error=value, model=value)
    ),
)


@given(body=st.lists(pieces, max_size=12).map(b"".join), cuts=st.lists(st.integers(0, 400), max_size=20), form=...)
def test_what_is_read_does_not_depend_on_how_the_bytes_were_cut(body: bytes, cuts: list[int], form: Form) -> None:
    whole = CompletionReader(form)
    whole.feed(body, 1)
    whole.close(1)
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    cut = CompletionReader(form)
    for begin, end in pairwise(places):
        cut.feed(body[begin:end], 1)
    cut.close(1)
    assert facts(cut) == facts(whole)


def test_a_stream_with_text_and_usage() -> None:
    body = b"".join(
        [
            b": keepalive 3/9\n\n",
            b": keepalive 9/9\n\n",
            chunk(role="assistant"),
            chunk(content="größer "),
            chunk(content="日本"),
            chunk("stop"),
            event(
                choices=[],
                model="served",
                system_fingerprint="fp",
                usage={"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}},
            ),
            DONE,
        ]
    )
    reader = read(body)
    assert (reader.chunks, reader.done, reader.cut, reader.malformed) == (2, True, False, None)
    assert (reader.served_model, reader.fingerprint, reader.finish_reason) == ("served", "fp", "stop")
    assert (reader.input_tokens, reader.output_tokens, reader.cached_tokens) == (9, 4, 5)
    # A fact has the time of the byte that completes it: the empty line after it, for an event.
    assert reader.prefill_end_ns == body.index(b"9/9\n") + 3
    assert (
        reader.first_chunk_ns
        == body.index("größer".encode())
        + len(chunk(content="größer "))
        - (chunk(content="größer ").index("größer".encode()))
        - 1
    )
    assert reader.last_chunk_ns is not None
    assert reader.first_chunk_ns < reader.last_chunk_ns


@pytest.mark.parametrize(
    ("comments", "expected"),
    [
        ([b": keepalive 1/3\n\n", b": keepalive 2/3\n\n"], 1),
        ([b": keepalive 3/3\n\n", b": keepalive 3/3\n\n"], 0),
        ([b": ping\n\n"], None),
    ],
)
def test_prefill_ends_with_the_whole_prompt_or_the_last_progress(comments: list[bytes], expected: int | None) -> None:
    reader = CompletionReader("events")
    for now, comment in enumerate(comments):
        reader.feed(comment, now)
    reader.feed(chunk(content="x"), 10)
    reader.feed(b": keepalive 3/3\n\n", 11)
    assert reader.prefill_end_ns == expected


@pytest.mark.parametrize("part", ["content", "reasoning", "reasoning_content", "refusal"])
def test_all_kinds_of_text_are_output(part: str) -> None:
    assert read(chunk(**{part: "x"})).chunks == 1
    assert read(chunk(**{part: ""})).chunks == 0


def test_text_completions_are_output() -> None:
    assert read(event(choices=[{"text": "x"}])).chunks == 1


def test_pieces_of_one_call_count_once() -> None:
    parts = [
        chunk(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f"}}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}]),
        chunk("tool_calls", tool_calls=[{"index": 1, "id": "b", "function": {"name": "f"}}]),
    ]
    reader = read(b"".join(parts))
    assert (reader.tool_calls, reader.chunks, reader.finish_reason) == (2, 3, "tool_calls")


def test_a_stream_that_stops_is_cut() -> None:
    assert read(chunk(content="x")).cut
    assert read(b"").cut
    assert not read(chunk("stop")).cut
    assert not read(DONE).cut
    half = read(chunk(content="x") + b'data: {"cho')
    assert half.cut
    assert not half.malformed


def test_a_malformed_chunk_is_told_and_the_rest_is_read() -> None:
    reader = read(b"data: {oops\n\n" + chunk(content="x") + DONE)
    assert reader.malformed
    assert reader.chunks == 1
    assert reader.done


def test_an_error_within_the_stream_is_told() -> None:
    assert read(event(error={"message": "no memory"})).error_message == "no memory"
    assert read(event(error="no memory")).error_message == "no memory"


@pytest.mark.parametrize("count", [-1, 2**53 + 1, 10**30, 1e300, True, "9"])
def test_a_count_of_tokens_that_cannot_be_is_none(count: JsonValue) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": count}}
    reader = read(event(choices=[], usage=usage))
    assert (reader.input_tokens, reader.output_tokens, reader.cached_tokens) == (None, 2, None)


def test_a_json_body() -> None:
    body = {
        "model": "m",
        "choices": [
            {"message": {"content": None, "tool_calls": [{"id": "a"}, {"id": "b"}]}, "finish_reason": "tool_calls"}
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    reader = read(json.dumps(body, indent=1).encode(), "unknown")
    assert reader.form == "json"
    assert (reader.tool_calls, reader.finish_reason, reader.input_tokens) == (2, "tool_calls", 3)
    assert reader.first_chunk_ns is None, "one body shows no time of its output"
    assert not reader.cut
    assert read(b"{oops", "unknown").malformed


def test_an_encoded_body_is_left_alone() -> None:
    reader = read(chunk(content="x"), "opaque")
    assert reader.chunks == 0
    assert not reader.cut
    assert "compressed" in str(reader.failure)
