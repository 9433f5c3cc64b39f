"""One finished span: the single form in which this package holds what happened.

Nothing here reads or writes: `codec` turns spans into lines and back, and takes them from the OpenTelemetry SDK. All
times are integer nanoseconds of the run's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

AttributeValue: TypeAlias = "str | int | float | bool | tuple[str | int | float | bool, ...]"


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """A named instant within a span."""

    name: str
    time_ns: int
    attributes: dict[str, AttributeValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """One finished span. Ids are lower-case hexadecimal: 32 digits for a trace, 16 for a span."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    """'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER' or 'CONSUMER'."""
    start_ns: int
    end_ns: int
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    error: str | None = None
    """What the span's status says where it is an error; None where it is not."""
