"""Spans as lines of OTLP/JSON, in the form of OpenTelemetry's file exporter: one `TracesData` object a line.

Pure text: `span_line` writes one span, `span_rows` reads any line of that form. Ids are lower-case hex, enums are
numbers and 64-bit integers are strings, as OTLP/JSON wants it (protobuf's own JSON has base64 ids and is not it). No
file is opened here. Written by hand rather than through a dictionary because it runs once for every span while a run is
measured.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from json.encoder import encode_basestring
from typing import Final

from pydantic_core import from_json

from punie_trace.records import JsonValue
from punie_trace.spans.otlp_forms import FORMS, remember, without_numbers
from punie_trace.spans.span import AttributeValue, Span, SpanEvent

KINDS: Final = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
"""Names of OTLP's span kinds, by their number."""
STATUS_ERROR: Final = 2
UNNAMED_ERROR: Final = "error"
"""`Span.error` of a span that failed and does not say how."""
_BEGIN: Final = '{"resourceSpans":[{"resource":'
_SPANS: Final = '"spans":['
_KEY: Final = '{"key":'
_END: Final = "}]}]}]}"
_HEAD: Final = re.compile(
    r'\{"traceId":"([0-9a-f]{32})","spanId":"([0-9a-f]{16})",(?:"parentSpanId":"([0-9a-f]{16})",)?"flags":257,'
    r'"name":"([^"\\\x00-\x1f]*)","kind":([0-5]),"startTimeUnixNano":"(\d+)","endTimeUnixNano":"(\d+)","attributes":\['
)
_KNOWN: Final[dict[str, tuple[str, AttributeValue]]] = {}
"""Attributes by their own text: a run has few, and its spans many."""
_MOST_KNOWN: Final = 4096
_LONGEST_KNOWN: Final = 200
_LONGEST_KNOWN_INTEGER: Final = len('"intValue":"99999"')
_INT64 = range(-(2**63), 2**63)


def encode_attributes(attributes: Mapping[str, object] | None) -> str:
    """An OTLP/JSON list of attributes. Values that OTLP has no form for become their text."""
    if not attributes:
        return "[]"
    return "[" + ",".join([f'{{"key":{_text(key)},"value":{_value(attributes[key])}}}' for key in attributes]) + "]"


def encode_resource(attributes: Mapping[str, object] | None) -> str:
    """An OTLP/JSON resource; made once a run, and given to `span_line`."""
    return f'{{"attributes":{encode_attributes(attributes)}}}'


def encode_scope(name: str, version: str | None) -> str:
    """An OTLP/JSON instrumentation scope; made once for each library."""
    return f'{{"name":{_text(name)}}}' if not version else f'{{"name":{_text(name)},"version":{_text(version)}}}'


def span_line(
    *,
    resource: str,
    scope: str,
    trace_id: str,
    span_id: str,
    parent_id: str | None,
    name: str,
    kind: str,
    start_ns: int,
    end_ns: int,
    attributes: Mapping[str, object] | None = None,
    events: Iterable[tuple[str, int, Mapping[str, object] | None]] = (),
    links: Iterable[tuple[str, str]] = (),
    status_code: int = 0,
    status_message: str | None = None,
) -> str:
    """One span as one line, without its line end.

    `resource` and `scope` come from `encode_resource` and `encode_scope`; ids are lower-case hex, times ns since the
    epoch, `kind` one of `KINDS`, `events` (name, time, attributes), `links` (trace id, span id), `status_code` OTLP's
    0 unset, 1 ok, 2 error.
    """
    parts = [
        f'{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"scope":{scope},"spans":[{{'
        f'"traceId":"{trace_id}","spanId":"{span_id}",'
    ]
    if parent_id is not None:
        parts.append(f'"parentSpanId":"{parent_id}",')
    parts.append(
        f'"flags":257,"name":{_text(name)},"kind":{KINDS.index(kind)},"startTimeUnixNano":"{start_ns}",'
        f'"endTimeUnixNano":"{end_ns}","attributes":{encode_attributes(attributes)}'
    )
    shown = [
        f'{{"timeUnixNano":"{time_ns}","name":{_text(event)}'
        + (f',"attributes":{encode_attributes(more)}}}' if more else "}")
        for event, time_ns, more in events
    ]
    if shown:
        parts.append(f',"events":[{",".join(shown)}]')
    linked = [f'{{"traceId":"{trace}","spanId":"{span}"}}' for trace, span in links]
    if linked:
        parts.append(f',"links":[{",".join(linked)}]')
    if status_message:
        parts.append(f',"status":{{"message":{_text(status_message)},"code":{status_code}}}')
    elif status_code:
        parts.append(f',"status":{{"code":{status_code}}}')
    else:
        parts.append(',"status":{}')
    parts.append("}]}]}]}")
    return "".join(parts)


def row_line(row: Span, resource: str = '{"attributes":[]}', scope: str = '{"name":"punie_trace"}') -> str:
    """`span_line` of a `Span`: what `span_rows` reads back as the same row."""
    return span_line(
        resource=resource,
        scope=scope,
        trace_id=row.trace_id,
        span_id=row.span_id,
        parent_id=row.parent_id,
        name=row.name,
        kind=row.kind,
        start_ns=row.start_ns,
        end_ns=row.end_ns,
        attributes=row.attributes,
        events=[(event.name, event.time_ns, event.attributes) for event in row.events],
        status_code=STATUS_ERROR if row.error is not None else 0,
        status_message=row.error,
    )


def span_rows(line: str | bytes) -> list[Span]:
    """The spans of one line. Raises ValueError where it is not a whole line of OTLP/JSON (a torn last line).

    Unknown fields are passed over, and what may be absent may be absent. `error` is the status message of a failed
    span, else its `error.type`.
    """
    try:
        if (own := _own_row(line)) is not None:
            return [own]
        data = json.loads(line)
        return [
            _row(span)
            for of_resource in data.get("resourceSpans", ())
            for of_scope in of_resource.get("scopeSpans", ())
            for span in of_scope.get("spans", ())
        ]
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a line of OTLP/JSON spans: {type(error).__name__}: {error}") from error


def _own_row(line: str | bytes) -> Span | None:
    """The span of a line as `span_line` writes it, read where it differs from other lines; None for any other form.

    A run has tens of thousands of such lines, and most of each is the same in all. Every mark that is looked for holds
    quotes, which are escaped within a JSON string, so that none is found in one.
    """
    text = (line if isinstance(line, str) else line.decode("utf-8")).rstrip()
    head = _HEAD.match(text, text.find(_SPANS) + len(_SPANS))
    if head is None or not text.startswith(_BEGIN) or not text.endswith(_END):
        return None
    trace_id, span_id, parent_id, name, kind, start, end = head.groups()
    body = text[head.end() : -len(_END)]
    static, numbers = without_numbers(body)
    try:
        if (form := FORMS.get(static)) is not None:
            start_ns, end_ns = int(start), int(end)
            name, kind = sys.intern(name), KINDS[int(kind)]
            return Span(trace_id, span_id, parent_id, name, kind, start_ns, end_ns, *form.filled(numbers))
        if (read := _own_body(body)) is None:
            return None
        row = _row_of(*read, trace_id, span_id, parent_id, name, int(kind), int(start), int(end))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    if static and row.error is None:
        remember(static, numbers, row.attributes, row.events)
    return row


def _own_body(body: str) -> tuple[dict[str, JsonValue], dict[str, AttributeValue]] | None:
    """What follows the attributes, and these, of the text of a span from its first attribute on."""
    attributes: dict[str, AttributeValue] = {}
    last = body.find('}}],"')
    if body.startswith('],"'):
        return from_json("{" + body[2:] + "}"), attributes
    if last < 0 or not body.startswith(_KEY):
        return None
    for piece in body[len(_KEY) : last].split("}}," + _KEY):
        key, value = _KNOWN.get(piece) or _attribute(piece)
        attributes[key] = value
    return from_json("{" + body[last + 4 :] + "}"), attributes


def _attribute(piece: str) -> tuple[str, AttributeValue]:
    """One attribute, without the marks around it; short ones are known again. Raises ValueError where it is not one."""
    name, _, value = piece.partition(',"value":{')
    if "\\" in piece or piece.count('"') != 8 or not value.startswith(('"intValue":"', '"stringValue":"')):
        (known,) = decode_attributes([json.loads(_KEY + piece + "}}")]).items()
    elif value.startswith('"intValue'):
        known = sys.intern(name[1:-1]), int(value[12:-1])
        if len(value) > _LONGEST_KNOWN_INTEGER:  # times, of which no two are the same
            return known
    else:
        known = sys.intern(name[1:-1]), value[15:-1]
    if len(piece) < _LONGEST_KNOWN:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[piece] = known
    return known


def _row(span: dict[str, JsonValue]) -> Span:
    return _row_of(
        span,
        decode_attributes(span.get("attributes")),
        str(span["traceId"]).lower(),
        str(span["spanId"]).lower(),
        str(span.get("parentSpanId") or "").lower() or None,
        str(span.get("name") or ""),
        span.get("kind"),
        _integer(span["startTimeUnixNano"]),
        _integer(span["endTimeUnixNano"]),
    )


def _row_of(
    rest: dict[str, JsonValue],
    attributes: dict[str, AttributeValue],
    trace_id: str,
    span_id: str,
    parent_id: str | None,
    name: str,
    kind: JsonValue,
    start_ns: int,
    end_ns: int,
) -> Span:
    """A row of what was read already; of `rest` the status and the events."""
    status = rest.get("status")
    error = None
    if isinstance(status, dict) and status.get("code") in (STATUS_ERROR, "STATUS_CODE_ERROR"):
        error = str(status.get("message") or attributes.get("error.type") or UNNAMED_ERROR)
    events = rest.get("events")
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent_id,
        name=sys.intern(name),
        kind=_kind(kind),
        start_ns=start_ns,
        end_ns=end_ns,
        attributes=attributes,
        events=tuple(_event(event) for event in events) if isinstance(events, list) else (),
        error=error,
    )


def _event(event: JsonValue) -> SpanEvent:
    if not isinstance(event, dict):
        raise TypeError("an event is not an object")
    return SpanEvent(
        name=sys.intern(str(event.get("name") or "")),
        time_ns=_integer(event.get("timeUnixNano", 0)),
        attributes=decode_attributes(event.get("attributes")),
    )


def decode_attributes(attributes: JsonValue) -> dict[str, AttributeValue]:
    """An OTLP/JSON list of attributes as a dictionary. Maps, bytes and nested lists become their JSON text."""
    if not isinstance(attributes, list):
        return {}
    decoded: dict[str, AttributeValue] = {}
    for attribute in attributes:
        if isinstance(attribute, dict) and isinstance(value := attribute.get("value"), dict) and value:
            decoded[sys.intern(str(attribute["key"]))] = _decoded(value)
    return decoded


def _decoded(value: dict[str, JsonValue]) -> AttributeValue:
    if "arrayValue" in value:
        array = value["arrayValue"]
        values = array.get("values", []) if isinstance(array, dict) else []
        return tuple(_scalar(item) for item in values if isinstance(item, dict)) if isinstance(values, list) else ()
    return _scalar(value)


def _scalar(value: dict[str, JsonValue]) -> str | int | float | bool:
    match value:
        case {"stringValue": str(text)}:
            return text
        case {"boolValue": bool(flag)}:
            return flag
        case {"intValue": number}:
            return _integer(number)
        case {"doubleValue": int() | float() | str() as number}:
            return float(number)  # protobuf's JSON has "NaN", "Infinity" and "-Infinity", which float() reads
    return json.dumps(value, ensure_ascii=False)


def _integer(value: JsonValue) -> int:
    if isinstance(value, str | int):
        return int(value)
    raise TypeError(f"{value!r} is not an integer")


def _kind(value: JsonValue) -> str:
    if isinstance(value, int):
        return KINDS[value] if 0 <= value < len(KINDS) else KINDS[0]
    name = str(value or KINDS[0]).removeprefix("SPAN_KIND_")
    return name if name in KINDS else KINDS[0]


def _text(text: str) -> str:
    """A JSON string. Half of a surrogate pair, which a model may well write, has no UTF-8 and becomes '?'."""
    encoded = encode_basestring(text)
    return encoded if encoded.isascii() else encoded.encode("utf-8", "replace").decode("utf-8")


def _value(value: object) -> str:
    # The commonest first; bool before int, of which it is a kind.
    if isinstance(value, str):
        return f'{{"stringValue":{_text(value)}}}'
    if isinstance(value, bool):
        return '{"boolValue":true}' if value else '{"boolValue":false}'
    if isinstance(value, int) and value in _INT64:
        return f'{{"intValue":"{int(value)}"}}'
    if isinstance(value, float):
        return f'{{"doubleValue":{_double(value)}}}'
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return f'{{"arrayValue":{{"values":[{",".join(map(_value, value))}]}}}}'
    if isinstance(value, Mapping):
        return f'{{"kvlistValue":{{"values":{encode_attributes({str(key): value[key] for key in value})}}}}}'
    return f'{{"stringValue":{_text(str(value))}}}'


def _double(value: float) -> str:
    if math.isfinite(value):
        return repr(float(value))
    return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'
