from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from google.protobuf.json_format import Parse
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from punie_trace.spans.otlp_json import (
    KINDS,
    decode_attributes,
    encode_attributes,
    encode_resource,
    encode_scope,
    row_line,
    span_line,
    span_rows,
)
from punie_trace.spans.span import AttributeValue, Span, SpanEvent

texts = st.text(max_size=20)
scalars = st.one_of(
    texts, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=True)
)
attributes = st.dictionaries(texts, scalars | st.lists(scalars, max_size=3).map(tuple), max_size=4)
times = st.integers(0, 2**63 - 1)


def ids(digits: int) -> st.SearchStrategy[str]:
    return st.integers(1, 16**digits - 1).map(lambda number: f"{number:0{digits}x}")


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
)


@given(row=rows)
def test_a_row_comes_back_as_it_went(row: Span) -> None:
    line = row_line(row)
    assert span_rows(line) == [row]
    assert span_rows(line.encode()) == [row]
    assert "\n" not in line


@given(row=rows, more=st.integers(1, 10**9))
def test_a_line_that_differs_in_numbers_alone_is_read_by_its_own(row: Span, more: int) -> None:
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
        assert span_rows(row_line(one)) == [one]


def test_a_number_is_only_taken_where_one_stood() -> None:
    attributes: dict[str, AttributeValue] = {"tokens": 7, "code": "7", "ok": True, "reasons": ("stop", "7"), "wall": 8}
    events = (SpanEvent("first", 9), SpanEvent("7", 10))
    row = Span("a" * 32, "b" * 16, None, "POST", "CLIENT", 1, 2, attributes, events)
    plain = replace(
        row, attributes={**attributes, "code": "404"}, events=(SpanEvent("first", 9), SpanEvent("last", 10))
    )
    for one in (plain, row):
        assert span_rows(row_line(one)) == [one]
        changed = replace(one, attributes={**one.attributes, "tokens": -5, "code": "8", "wall": 70})
        assert span_rows(row_line(changed)) == [changed]
    line = row_line(plain)
    for not_a_number in ('"intValue\0', '"intValue":"7x"'):
        with pytest.raises(ValueError, match=r"line|column|int"):
            span_rows(line.replace('"intValue":"7"', not_a_number))
    (timeless,) = span_rows(line.replace('"timeUnixNano":"10",', ""))
    assert [event.time_ns for event in timeless.events] == [9, 0]


@given(row=rows)
def test_a_torn_line_is_an_error_and_not_another_row(row: Span) -> None:
    line = row_line(row)
    for end in (1, len(line) // 2, len(line) - 1):
        with pytest.raises(ValueError, match=r".+"):
            span_rows(line[:end])


@given(row=rows)
def test_opentelemetrys_own_messages_take_the_lines(row: Span) -> None:
    """Protobuf reads ids as base64; every hex id of ours is valid base64 too, so all other fields can be compared."""
    data = Parse(row_line(row), TracesData())
    (span,) = data.resource_spans[0].scope_spans[0].spans
    assert span.name == row.name
    assert KINDS[span.kind] == row.kind
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (row.start_ns, row.end_ns)
    assert len(span.attributes) == len(row.attributes)
    assert [(event.name, event.time_unix_nano) for event in span.events] == [(e.name, e.time_ns) for e in row.events]
    assert (span.status.code, span.status.message) == (2 if row.error else 0, row.error or "")


def test_the_form_is_the_specifications() -> None:
    line = span_line(
        resource=encode_resource({"service.name": "punie-trace"}),
        scope=encode_scope("lib", "1"),
        trace_id="5b8efff798038103d269b633813fc60c",
        span_id="eee19b7ec3c1b174",
        parent_id="eee19b7ec3c1b173",
        name="POST",
        kind="CLIENT",
        start_ns=1544712660000000000,
        end_ns=1544712661000000000,
        attributes={"a": 1, "b": (1.5, True)},
        events=[("e", 5, None)],
        links=[("5b8efff798038103d269b633813fc60d", "eee19b7ec3c1b175")],
        status_code=1,
    )
    assert json.loads(line) == {
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
    first, second = span_rows(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span, span]}]}]}))
    assert first == second
    assert (first.trace_id, first.span_id) == ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174")
    assert (first.parent_id, first.kind, first.error) == (None, "SERVER", "500")
    assert first.attributes == {"error.type": "500", "map": '{"kvlistValue": {"values": []}}', "int": 7}
    assert span_rows("{}") == []


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
        span_rows(line)


def test_values_without_a_form_of_their_own_are_still_written() -> None:
    values = {
        "nan": math.nan,
        "infinity": -math.inf,
        "large": 2**70,
        "half": "\ud83d!",
        "none": None,
        "map": {"a": 1},
        "bytes": b"x",
    }
    decoded = decode_attributes(json.loads(encode_attributes(values)))
    assert isinstance(decoded["nan"], float)
    assert math.isnan(decoded["nan"])
    assert decoded["infinity"] == -math.inf
    assert decoded["large"] == str(2**70)
    assert decoded["half"] == "?!"
    assert decoded["none"] == "None"
    assert decoded["bytes"] == "b'x'"
    assert "kvlistValue" in str(decoded["map"])
