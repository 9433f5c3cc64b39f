"""Heads and bodies of HTTP/1.1: the chunks come out as they were framed, however the bytes were cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.agent.http_head import BodyReader, HeadError, parse_head


def read(reader: BodyReader, data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [piece for start, end in pairwise(places) for piece in reader.feed(data[start:end])]


@given(chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=6), cuts=st.lists(st.integers(0, 500), max_size=8))
def test_chunks_come_out_as_they_were_framed(chunks: list[bytes], cuts: list[int]) -> None:
    data = b"".join(b"%X;x=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nt: 1\r\n\r\n"
    reader = BodyReader("chunked")
    assert read(reader, data + b"more", cuts) == chunks
    assert reader.done
    assert reader.rest.startswith(b"more"[: len(reader.rest)])


def test_a_long_chunk_comes_out_as_it_arrives() -> None:
    reader = BodyReader("chunked")
    assert list(reader.feed(b"20000\r\nabc")) == [b"abc"]
    assert list(reader.feed(b"d" * (0x20000 - 3))) == [b"d" * (0x20000 - 3)]
    assert list(reader.feed(b"\r\n0\r\n\r\n")) == []
    assert reader.done


@given(body=st.binary(max_size=40), cuts=st.lists(st.integers(0, 100), max_size=5))
def test_a_body_of_known_length_ends_there(body: bytes, cuts: list[int]) -> None:
    reader = BodyReader("length", len(body))
    assert b"".join(read(reader, body + b"next", cuts)) == body
    assert reader.done
    assert reader.rest == b"next"


def test_a_body_without_a_length_ends_with_its_connection() -> None:
    reader = BodyReader("close")
    assert list(reader.feed(b"a")) == [b"a"]
    assert not reader.done
    reader.end()
    assert reader.done


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_ends_too_early_is_an_error(framing: str) -> None:
    reader = BodyReader("length", 3) if framing == "length" else BodyReader("chunked")
    list(reader.feed(b"1"))
    with pytest.raises(HeadError, match="ended before the body"):
        reader.end()


@pytest.mark.parametrize("data", [b"xyz\r\n", b"-1\r\n", b"\r\n", b"3\r\nabcde", b"f" * 13 + b"\r\n", b"1" * 5000])
def test_framing_that_is_none_is_an_error(data: bytes) -> None:
    with pytest.raises(HeadError):
        list(BodyReader("chunked").feed(data))


def test_a_head_is_read_into_its_parts() -> None:
    head = parse_head(b"POST /v1/x?y=1 HTTP/1.1\r\nHost: a\r\nContent-Length:  3 \r\nX-A: 1\r\nX-A: 2")
    assert (head.first, head.second, head.third) == ("POST", "/v1/x?y=1", "HTTP/1.1")
    assert head.headers == [("host", "a"), ("content-length", "3"), ("x-a", "1"), ("x-a", "2")]
    assert head.framing() == ("length", 3)
    assert head.keeps_alive


@pytest.mark.parametrize(
    ("fields", "keeps"),
    [(b"HTTP/1.1 200 OK", True), (b"HTTP/1.1 200 OK\r\nConnection: close", False), (b"HTTP/1.0 200 OK", False),
     (b"HTTP/1.0 200 OK\r\nConnection: keep-alive", True)],
)  # fmt: skip
def test_whether_a_connection_may_be_used_again(fields: bytes, keeps: bool) -> None:
    assert parse_head(fields).keeps_alive is keeps


@pytest.mark.parametrize(
    "fields",
    [b"transfer-encoding: chunked\r\ncontent-length: 3", b"transfer-encoding: gzip", b"content-length: -1",
     b"content-length: 1\r\ncontent-length: 2", b"content-length: 0x3", b"content-length: 9999999999999999"],
)  # fmt: skip
def test_a_length_that_two_could_read_differently_is_refused(fields: bytes) -> None:
    with pytest.raises(HeadError):
        parse_head(b"HTTP/1.1 200 OK\r\n" + fields).framing()


@pytest.mark.parametrize("data", [b"", b"nonsense", b"GET / HTTP/1.1\r\nno colon", b"GET / HTTP/1.1\r\n : x"])
def test_what_begins_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(HeadError):
        parse_head(data)
