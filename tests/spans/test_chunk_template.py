"""A chunk that the template tells apart is one whose JSON differs in its text alone; all others must be parsed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie_trace.records import JsonValue
from punie_trace.spans.chunk_template import ChunkTemplate
from punie_trace.spans.completion import CompletionReader


def chunk(content: str, **more: JsonValue) -> dict[str, JsonValue]:
    delta: JsonValue = {"role": "assistant", "content": content}
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}], **more}


def written(value: JsonValue, *, ascii_only: bool = True) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only).encode()


def learned(content: str = "first ") -> ChunkTemplate:
    template = ChunkTemplate()
    template.learn(written(chunk(content)), chunk(content))
    return template


def test_the_next_chunk_of_text_is_told_apart() -> None:
    assert learned().text_of(written(chunk("second "))) == "second "


@settings(deadline=None)
@given(st.text(max_size=20), st.booleans())
def test_what_it_says_is_what_parsing_says(text: str, ascii_only: bool) -> None:
    data = written(chunk(text), ascii_only=ascii_only and text.isascii())
    found = learned().text_of(data)
    assert found in (None, text)
    if text and text.isascii() and text.isprintable() and not set(text) & {'"', "\\"}:
        assert found == text


@pytest.mark.parametrize(
    "other",
    [
        written(chunk("x", model="other")),
        written(chunk("x", usage={"prompt_tokens": 1})),
        written(chunk("")),
        written(chunk('say "x"')),
        written(chunk("two\nlines")),
        written({"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": "stop"}]}),
        written(chunk("x"))[:-1],
        written(chunk("x")).replace(b'"x"', b'"\xff"'),
        written(chunk("x")).replace(b'"x"', b'"a", "tool_calls": [{"index": 0}], "b": "c"'),
        b"",
    ],
)
def test_anything_else_must_be_parsed(other: bytes) -> None:
    assert learned().text_of(other) is None


@pytest.mark.parametrize(
    "value",
    [
        {"choices": [{"delta": {"content": "x", "tool_calls": [{"index": 0}]}}]},
        {"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]},
        {"choices": [{"delta": {"content": "x"}}, {"delta": {"content": "y"}}]},
        {"choices": [{"delta": {"content": "x"}}], "usage": {"prompt_tokens": 1}},
        {"choices": [{"delta": {"content": "x"}}], "error": "bad"},
        {"choices": [{"delta": {"content": "x", "reasoning": "y"}}]},
        {"choices": [{"delta": {"content": None}}]},
        {"choices": [{"delta": "x"}]},
        {"choices": []},
        ["x"],
        None,
    ],
)
def test_what_brings_more_than_text_is_no_template(value: JsonValue) -> None:
    template = ChunkTemplate()
    template.learn(written(value), value)
    assert template.text_of(written(value)) is None


def test_a_chunk_that_holds_the_key_twice_is_no_template() -> None:
    value = chunk("x", note={"content": "y"})
    template = ChunkTemplate()
    template.learn(written(value), value)
    assert template.text_of(written(value)) is None


@settings(deadline=None)
@given(st.lists(st.text(max_size=8), max_size=12), st.integers(1, 200))
def test_a_reader_learns_the_same_as_from_chunks_that_are_all_different(texts: list[str], size: int) -> None:
    def read(differ: bool) -> CompletionReader:
        reader = CompletionReader("events")
        chunks = [chunk(text, **({"number": n} if differ else {})) for n, text in enumerate(texts)]
        data = b"".join(b"data: " + written(one) + b"\n\n" for one in chunks) + b"data: [DONE]\n\n"
        for start in range(0, len(data), size):
            reader.feed(data[start : start + size], 1)
        reader.close(2)
        return reader

    same, different = read(differ=False), read(differ=True)
    for fact in ("chunks", "done", "malformed", "served_model", "finish_reason", "first_chunk_ns", "last_chunk_ns"):
        assert getattr(same, fact) == getattr(different, fact)
    assert same.chunks == sum(bool(text) for text in texts)
