"""One finished span: the single form in which this package holds what happened.

Nothing here reads or writes: `codec` turns spans into lines and messages and back, and takes them from the
OpenTelemetry SDK. All times are integer nanoseconds of the run's clock. Ids are lower-case hexadecimal: 32 digits for
a trace, 16 for a span.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

AttributeValue: TypeAlias = "str | int | float | bool | tuple[str | int | float | bool, ...]"


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """A named instant within a span."""

    name: str
    time_ns: int
    attributes: dict[str, AttributeValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpanLink:
    """Another span that a span has to do with, in whatever trace."""

    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class SpanSource:
    """Who wrote a span: the program (OpenTelemetry's resource) and the library in it (its instrumentation scope)."""

    resource: dict[str, AttributeValue] = field(default_factory=dict)
    scope: str = ""
    scope_version: str | None = None


UNKNOWN_SOURCE: Final = SpanSource()


@dataclass(frozen=True, slots=True)
class Span:
    """One finished span."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    """'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER', or 'UNSPECIFIED'."""
    start_ns: int
    end_ns: int
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    error: str | None = None
    """What the span's status says where it is an error; None where it is not."""
    links: tuple[SpanLink, ...] = ()
    source: SpanSource = UNKNOWN_SOURCE
    ok: bool = False
    """Whether the status says expressly that all went well; most spans say nothing."""
