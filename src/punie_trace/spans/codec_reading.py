"""The reading half of `codec`: spans from lines of OTLP/JSON, whoever wrote them, and from the OpenTelemetry SDK.

What a `Span` has no place for is passed over: dropped counts, trace states, attributes of links.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from sys import intern
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

from punie_trace.records import JsonValue
from punie_trace.spans.names import ERROR_TYPE
from punie_trace.spans.span import UNKNOWN_SOURCE, AttributeValue, Span, SpanEvent, SpanLink, SpanSource

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

KINDS: Final = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
"""Names of OTLP's span kinds, by their number."""
STATUS_OK: Final = 1
STATUS_ERROR: Final = 2
UNNAMED_ERROR: Final = "error"
"""`Span.error` of a span that failed and does not say how."""
_MOST_SOURCES: Final = 1024
_SHORT: Final = 64
_TIME_LIMIT: Final = 2**63
_TRACE_DIGITS: Final = 32
_SPAN_DIGITS: Final = 16
_RESOURCE: Final = b'{"resourceSpans":[{"resource":{'
_SCOPE: Final = b',"scopeSpans":[{"scope":{'
_SPANS: Final = b',"spans":['
_END: Final = b"]}]}]}"


def from_line(line: str | bytes) -> list[Span]:
    """The spans of one line. Raises ValueError where it is not a whole line of OTLP/JSON (a torn last line).

    `error` is the status message of a failed span, else its `error.type`. Maps and nested lists among the values become
    their JSON text, bytes their base64.
    """
    data = (line.encode() if isinstance(line, str) else line).rstrip()
    try:
        return _of_known_source(data) or _of_any_source(data)
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a line of OTLP/JSON spans: {type(error).__name__}: {error}") from error


_known_sources: dict[bytes, SpanSource] = {}
"""Sources by the text of a line up to its spans."""


def _of_known_source(data: bytes) -> list[Span] | None:
    """The spans of a line that begins as an earlier one did, of which only the rest is parsed; None for others.

    The marks that are looked for hold quotes, which are escaped within a JSON string, so that none is found in one.
    """
    begin = data.find(_SPANS)
    source = _known_sources.get(data[:begin])
    if source is None or not data.endswith(_END):
        return None
    try:
        values = from_json(b"{" + data[begin + 1 : 2 - len(_END)], cache_strings="keys")
    except ValueError:
        return None
    return [_read_span(span, source) for span in values["spans"]]


def _of_any_source(data: bytes) -> list[Span]:
    spans = _spans_of(_parsed(data))
    begin = data[: data.find(_SPANS)]
    if spans and data.count(_SPANS) == 1 and begin.startswith(_RESOURCE) and _SCOPE in begin:
        if len(_known_sources) >= _MOST_SOURCES:
            _known_sources.clear()
        _known_sources[begin] = spans[0].source
    return spans


def _spans_of(values: dict[str, Any]) -> list[Span]:
    spans: list[Span] = []
    for of_resource in values.get("resourceSpans", ()):
        resource = _read_attributes((of_resource.get("resource") or {}).get("attributes") or ())
        for of_scope in of_resource.get("scopeSpans", ()):
            scope = of_scope.get("scope") or {}
            source = _source(resource, scope.get("name"), scope.get("version"))
            spans += [_read_span(span, source) for span in of_scope.get("spans", ())]
    return spans


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        return from_json(data, cache_strings="keys")
    except ValueError:
        return json.loads(data)  # which takes half of a surrogate pair, and nests deeper


def _read_span(values: dict[str, Any], source: SpanSource) -> Span:
    trace_id, span_id, parent_id = values["traceId"], values["spanId"], values.get("parentSpanId")
    attributes = _read_attributes(values.get("attributes") or ())
    error, ok = None, False
    if status := values.get("status"):
        code = status.get("code")
        ok = code in (STATUS_OK, "STATUS_CODE_OK")
        if code in (STATUS_ERROR, "STATUS_CODE_ERROR"):
            error = str(status.get("message") or error_without_message(attributes))
    start_ns = _integer(values["startTimeUnixNano"])
    end_ns = _integer(values.get("endTimeUnixNano", start_ns))
    if not (0 <= start_ns < _TIME_LIMIT and 0 <= end_ns < _TIME_LIMIT):
        raise ValueError(f"{start_ns} to {end_ns} ns are no times")
    events, links = values.get("events"), values.get("links")
    return Span(
        trace_id.lower() if len(trace_id) == _TRACE_DIGITS else _id(trace_id),
        span_id.lower() if len(span_id) == _SPAN_DIGITS else _id(span_id),
        _parent_id(parent_id) if parent_id else None,
        intern(values.get("name") or ""),
        _read_kind(values.get("kind")),
        start_ns,
        end_ns,
        attributes,
        tuple([_read_event(event) for event in events]) if events else (),
        error,
        tuple([_read_link(link) for link in links]) if links else (),
        source,
        ok,
    )


def _read_event(event: dict[str, Any]) -> SpanEvent:
    attributes = event.get("attributes")
    return SpanEvent(
        intern(event.get("name") or ""),
        _integer(event.get("timeUnixNano", 0)),
        _read_attributes(attributes) if attributes else {},
    )


def _read_link(link: dict[str, Any]) -> SpanLink:
    return SpanLink(_id(link["traceId"]), _id(link["spanId"]))


def _read_attributes(attributes: Sequence[dict[str, Any]]) -> dict[str, AttributeValue]:
    """Equal keys and equal short texts are held once: tens of thousands of spans say the same."""
    read: dict[str, AttributeValue] = {}
    for attribute in attributes:
        value = attribute.get("value")
        if not value:
            continue
        key = intern(attribute["key"])
        text = value.get("stringValue")
        if text.__class__ is str:
            read[key] = intern(text) if len(text) < _SHORT else text
            continue
        number = value.get("intValue")
        read[key] = int(number) if number.__class__ is str else _read_value(value)
    return read


def _read_value(value: dict[str, Any]) -> AttributeValue:
    if "arrayValue" in value:
        items = (value["arrayValue"] or {}).get("values") or ()
        return tuple([_read_scalar(item) for item in items])
    return _read_scalar(value)


def _read_scalar(value: dict[str, Any]) -> str | int | float | bool:
    text = value.get("stringValue")
    if isinstance(text, str):
        return text
    plain = _plain(value)
    return plain if isinstance(plain, str | int | float) else _json_text(plain)


def _plain(value: dict[str, Any]) -> JsonValue:
    """A value of OTLP/JSON as a value of JSON."""
    match value:
        case {"intValue": number}:
            return _integer(number)
        case {"stringValue": str(text)}:
            return text
        case {"boolValue": bool(flag)}:
            return flag
        case {"doubleValue": int() | float() | str() as number}:
            return float(number)  # protobuf's JSON has "NaN", "Infinity" and "-Infinity", which float() reads
        case {"arrayValue": array}:
            return [_plain(item) for item in (array or {}).get("values") or ()]
        case {"kvlistValue": pairs}:
            return {str(pair["key"]): _plain(pair.get("value") or {}) for pair in (pairs or {}).get("values") or ()}
        case {"bytesValue": str(text)}:
            return text
    return None if not value else _json_text(value)


def _json_text(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (RecursionError, ValueError):
        return "a value that is nested too deeply to be written"


def _integer(value: object) -> int:
    if value.__class__ is str or value.__class__ is int:
        number = int(value)
        if -_TIME_LIMIT <= number < 2 * _TIME_LIMIT:
            return number
        raise ValueError("an integer of more than 64 bits")
    raise TypeError(f"{value!r} is not an integer")


def _read_kind(value: object) -> str:
    if isinstance(value, int):
        return KINDS[value] if 0 <= value < len(KINDS) else KINDS[0]
    name = str(value or KINDS[0]).removeprefix("SPAN_KIND_")
    return name if name in KINDS else KINDS[0]


def _parent_id(text: str) -> str | None:
    return text.lower() if len(text) == _SPAN_DIGITS else _id(text)


def _id(text: str) -> str:
    """An id in hexadecimal; some writers use protobuf's own JSON, which has base64, a third shorter."""
    if len(text) in (_TRACE_DIGITS, _SPAN_DIGITS):
        return text.lower()
    return base64.b64decode(text, validate=True).hex()


_read_sources: dict[tuple[object, ...], SpanSource] = {}


def _source(resource: dict[str, AttributeValue], scope: str | None, version: str | None) -> SpanSource:
    """The same object for the same source: a run has few of them, and its spans are many."""
    if not (resource or scope or version):
        return UNKNOWN_SOURCE
    key = (*resource.items(), scope, version)
    known = _read_sources.get(key)
    if known is None:
        if len(_read_sources) >= _MOST_SOURCES:
            _read_sources.clear()
        known = _read_sources[key] = SpanSource(resource, scope or "", version or None)
    return known


def error_without_message(attributes: Mapping[str, AttributeValue]) -> str:
    """`Span.error` of a failed span whose status has no message."""
    return str(attributes.get(ERROR_TYPE) or UNNAMED_ERROR)


# ------------------------------------------------------------------------------------------------ from the SDK


def from_sdk(span: ReadableSpan) -> Span:
    """A finished span of the OpenTelemetry SDK. Raises ValueError for one that has not ended.

    Maps and nested lists among the values become their JSON text, bytes their base64.
    """
    context, start, end = span.context, span.start_time, span.end_time
    if context is None or start is None or end is None:
        raise ValueError(f"{span.name} has not ended")
    attributes = _taken(span.attributes)
    status = span.status
    failed = status.status_code.value == STATUS_ERROR
    parent = span.parent
    return Span(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=None if parent is None else f"{parent.span_id:016x}",
        name=span.name,
        kind=span.kind.name,
        start_ns=start,
        end_ns=end,
        attributes=attributes,
        events=tuple([SpanEvent(event.name, event.timestamp, _taken(event.attributes)) for event in span.events]),
        error=(status.description or error_without_message(attributes)) if failed else None,
        links=tuple([SpanLink(f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") for link in span.links]),
        source=_source_of_sdk(span.resource, span.instrumentation_scope),
        ok=status.status_code.value == STATUS_OK,
    )


def _taken(attributes: Mapping[str, object] | None) -> dict[str, AttributeValue]:
    if not attributes:
        return {}
    return {key: _taken_value(attributes[key]) for key in attributes}


def _taken_value(value: object) -> AttributeValue:
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return tuple(item if isinstance(item, str | int | float) else _json_text(_jsonable(item)) for item in value)
    return plain if isinstance(plain := _jsonable(value), str) else _json_text(plain)


def _jsonable(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return dict(value) if isinstance(value, Mapping) else value


_sdk_sources: dict[tuple[int, int], tuple[Resource, InstrumentationScope | None, SpanSource]] = {}


def _source_of_sdk(resource: Resource, scope: InstrumentationScope | None) -> SpanSource:
    # By identity, and what is kept keeps its id: a resource's own hash writes JSON each time.
    key = id(resource), id(scope)
    known = _sdk_sources.get(key)
    if known is None:
        if len(_sdk_sources) >= _MOST_SOURCES:
            _sdk_sources.clear()
        name, version = (None, None) if scope is None else (scope.name, scope.version)
        source = _source(_taken(resource.attributes), name, version)
        known = _sdk_sources[key] = resource, scope, source
    return known[2]
