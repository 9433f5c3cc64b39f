from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from google.protobuf.json_format import Parse
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from punie_trace.spans.codec import KINDS, from_line, to_line, to_proto
from punie_trace.spans.span import AttributeValue, Span, SpanEvent, SpanLink, SpanSource

texts = st.text(max_size=20)
scalars = st.one_of(
    texts, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=True)
)
attributes = st.dictionaries(texts, scalars | st.lists(scalars, max_size=3).map(tuple), max_size=4)
times = st.integers(0, 2**63 - 1)


def ids(digits: int) -> st.SearchStrategy[str]:
    return st.integers(1, 16**digits - 1).map(lambda number: f"{number:0{digits}x}")


sources = st.builds(SpanSource, attributes, texts, st.none() | st.text(min_size=1, max_size=5))
rows = st.builds(
    Span,
    trace_id=ids(32),
    span_id=ids(16),
    parent_id=st.none() | ids(16),
    name=texts,
    kind=st.sampled_from(KINDS),
    start_ns=times,
    end_ns=times,
    attributes=attributes,
    events=st.lists(st.builds(SpanEvent, name=texts, time_ns=times, attributes=attributes), max_size=3).map(tuple),
    error=st.none() | st.text(min_size=1, max_size=20),
    links=st.lists(st.builds(SpanLink, ids(32), ids(16)), max_size=2).map(tuple),
    source=sources,
)


@settings(deadline=None)
@given(row=rows)
def test_a_row_comes_back_as_it_went(row: Span) -> None:
    line = to_line(row)
    for _ in range(2):  # the second time its source is known
        assert from_line(line) == [row]
        assert from_line(line.decode()) == [row]
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")


@settings(deadline=None)
@given(row=rows, more=st.integers(1, 10**9))
def test_lines_that_differ_in_numbers_alone_are_told_apart(row: Span, more: int) -> None:
    def later(attributes: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
        return {key: value - more if type(value) is int and value > 0 else value for key, value in attributes.items()}

    other = replace(
        row,
        attributes=later(row.attributes),
        events=tuple(replace(one, time_ns=max(one.time_ns - more, 0)) for one in row.events),
        start_ns=row.start_ns // 2,
        end_ns=row.end_ns // 3,
    )
    for one in (row, other, row):
        assert from_line(to_line(one)) == [one]


def test_what_is_no_number_is_no_span() -> None:
    line = to_line(Span("a" * 32, "b" * 16, None, "POST", "CLIENT", 1, 2, {"tokens": 7}, (SpanEvent("e", 9),)))
    for not_a_number in (b'"intValue\0', b'"intValue":"7x"'):
        with pytest.raises(ValueError, match=r"line|column|int|literal"):
            from_line(line.replace(b'"intValue":"7"', not_a_number))
    (timeless,) = from_line(line.replace(b'"timeUnixNano":"9",', b""))
    assert [event.time_ns for event in timeless.events] == [0]


def test_equal_sources_and_short_texts_are_held_once() -> None:
    span = Span("a" * 32, "b" * 16, None, "q", "CLIENT", 1, 2, {"k": "some text"}, source=SpanSource({"a": "b"}, "lib"))
    (first,), (second,) = (from_line(to_line(replace(span, start_ns=n))) for n in (1, 2))
    assert first.source is second.source
    assert first.attributes["k"] is second.attributes["k"]


def test_a_line_of_several_sources_is_not_read_by_its_beginning() -> None:
    """The first line teaches what source such a beginning has; in the second one more follows."""
    one, other = (
        Span("a" * 32, "b" * 16, None, "q", "CLIENT", 1, 2, source=SpanSource({"a": "b"}, scope))
        for scope in ("lib", "other")
    )
    assert from_line(to_line(one)) == [one]
    scopes = [json.loads(to_line(span))["resourceSpans"][0]["scopeSpans"][0] for span in (one, other)]
    resource = {"attributes": [{"key": "a", "value": {"stringValue": "b"}}]}
    line = json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": scopes}]}, separators=(",", ":"))
    assert from_line(line) == [one, other]
    assert from_line(to_line(one)) == [one]


@settings(deadline=None)
@given(row=rows)
def test_a_torn_line_is_an_error_and_not_another_row(row: Span) -> None:
    line = to_line(row)
    for end in (1, len(line) // 2, len(line) - 2):
        with pytest.raises(ValueError, match=r".+"):
            from_line(line[:end])


@settings(deadline=None)
@given(row=rows)
def test_opentelemetrys_own_messages_take_the_lines(row: Span) -> None:
    """Protobuf reads ids as base64; every hex id of ours is valid base64 too, so all other fields can be compared."""
    (read,) = Parse(to_line(row), TracesData()).resource_spans
    (message,) = to_proto([row]).resource_spans
    for resource in (read, message):
        (span,) = resource.scope_spans[0].spans
        span.trace_id = span.span_id = span.parent_span_id = b""
        for link in span.links:
            link.trace_id = link.span_id = b""
    assert read == message


@settings(deadline=None)
@given(row=rows)
def test_a_message_says_what_the_span_says(row: Span) -> None:
    (resource,) = to_proto([row]).resource_spans
    (span,) = resource.scope_spans[0].spans
    assert (span.trace_id.hex(), span.span_id.hex()) == (row.trace_id, row.span_id)
    assert span.parent_span_id.hex() == (row.parent_id or "")
    assert (span.name, KINDS[span.kind]) == (row.name, row.kind)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (row.start_ns, row.end_ns)
    assert [one.key for one in span.attributes] == list(row.attributes)
    assert [(event.name, event.time_unix_nano) for event in span.events] == [(e.name, e.time_ns) for e in row.events]
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in span.links] == [
        (link.trace_id, link.span_id) for link in row.links
    ]
    assert span.status.code == (2 if row.error is not None else 0)


def test_spans_of_one_source_share_it_in_a_message() -> None:
    one, other = SpanSource({"a": 1}, "lib"), SpanSource({"a": 1}, "other")
    spans = [Span("a" * 32, f"{n:016x}", None, "s", "CLIENT", 1, 2, source=one if n < 3 else other) for n in range(5)]
    request = to_proto(spans)
    (resource,) = request.resource_spans
    assert [len(scope.spans) for scope in resource.scope_spans] == [3, 2]
    elsewhere = replace(spans[0], source=SpanSource({"a": 2}, "lib"))
    assert len(to_proto([*spans, elsewhere]).resource_spans) == 2


def test_the_form_is_the_specifications() -> None:
    span = Span(
        trace_id="5b8efff798038103d269b633813fc60c",
        span_id="eee19b7ec3c1b174",
        parent_id="eee19b7ec3c1b173",
        name="POST",
        kind="CLIENT",
        start_ns=1544712660000000000,
        end_ns=1544712661000000000,
        attributes={"a": 1, "b": (1.5, True)},
        events=(SpanEvent("e", 5),),
        links=(SpanLink("5b8efff798038103d269b633813fc60d", "eee19b7ec3c1b175"),),
        source=SpanSource({"service.name": "punie-trace"}, "lib", "1"),
        ok=True,
    )
    assert json.loads(to_line(span)) == {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "punie-trace"}}]},
                "scopeSpans": [
                    {
                        "scope": {"name": "lib", "version": "1"},
                        "spans": [
                            {
                                "traceId": "5b8efff798038103d269b633813fc60c",
                                "spanId": "eee19b7ec3c1b174",
                                "parentSpanId": "eee19b7ec3c1b173",
                                "flags": 257,
                                "name": "POST",
                                "kind": 3,
                                "startTimeUnixNano": "1544712660000000000",
                                "endTimeUnixNano": "1544712661000000000",
                                "attributes": [
                                    {"key": "a", "value": {"intValue": "1"}},
                                    {
                                        "key": "b",
                                        "value": {
                                            "arrayValue": {"values": [{"doubleValue": 1.5}, {"boolValue": True}]}
                                        },
                                    },
                                ],
                                "events": [{"timeUnixNano": "5", "name": "e"}],
                                "links": [
                                    {"traceId": "5b8efff798038103d269b633813fc60d", "spanId": "eee19b7ec3c1b175"}
                                ],
                                "status": {"code": 1},
                            }
                        ],
                    }
                ],
            }
        ]
    }


def test_lines_of_other_writers_are_read() -> None:
    """A collector's file exporter: several spans a line, times as numbers, kinds by name, absent fields."""
    span = {
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "EEE19B7EC3C1B174",
        "parentSpanId": "",
        "name": "s",
        "kind": "SPAN_KIND_SERVER",
        "startTimeUnixNano": 1,
        "endTimeUnixNano": "2",
        "unknown": {},
        "status": {"code": "STATUS_CODE_ERROR"},
        "attributes": [
            {"key": "error.type", "value": {"stringValue": "500"}},
            {"key": "empty", "value": {}},
            {"key": "map", "value": {"kvlistValue": {"values": []}}},
            {"key": "int", "value": {"intValue": 7}},
        ],
    }
    first, second = from_line(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span, span]}]}]}))
    assert first == second
    assert (first.trace_id, first.span_id) == ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174")
    assert (first.parent_id, first.kind, first.error) == (None, "SERVER", "500")
    assert first.attributes == {"error.type": "500", "map": "{}", "int": 7}
    assert from_line("{}") == []


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "1",
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "a"}]}]}]}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [1]}]}]}',
        '{"resourceSpans": 1}',
    ],
)
def test_what_is_no_line_of_spans_is_a_value_error(line: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_line(line)


def test_values_without_a_form_of_their_own_are_still_written() -> None:
    span = Span(
        "a" * 32,
        "b" * 16,
        None,
        "half \ud83d!",
        "CLIENT",
        1,
        2,
        {"nan": math.nan, "infinity": -math.inf, "large": 2**70, "half": "\ud83d!"},
    )
    (read,) = from_line(to_line(span))
    assert isinstance(read.attributes["nan"], float)
    assert math.isnan(read.attributes["nan"])
    assert read.attributes["infinity"] == -math.inf
    assert read.attributes["large"] == str(2**70)
    assert (read.attributes["half"], read.name) == ("?!", "half ?!")
    (resource,) = to_proto([span]).resource_spans
    message = resource.scope_spans[0].spans[0]
    assert message.name == "half ?!"
    assert [one.value.WhichOneof("value") for one in message.attributes] == [
        "double_value",
        "double_value",
        "string_value",
        "string_value",
    ]


@pytest.mark.parametrize("depth", [100, 960, 100_000])
def test_values_nested_deeply_are_text_or_a_value_error(depth: int) -> None:
    value = '{"arrayValue":{"values":[' * depth + '{"intValue":"1"}' + "]}}" * depth
    line = to_line(Span("a" * 32, "b" * 16, None, "s", "CLIENT", 1, 2, {"deep": "x"}))
    line = line.replace(b'{"stringValue":"x"}', value.encode())
    try:
        (span,) = from_line(line)
    except ValueError:
        return
    assert span.attributes["deep"]
