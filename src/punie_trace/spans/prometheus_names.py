"""What Prometheus calls our metrics and attributes when they come in by OTLP.

The rules are those of Prometheus 3 with its default translation (`UnderscoreEscapingWithSuffixes`): what is neither
letter nor digit becomes one underscore, the unit follows the name, counters end in `_total`, histograms are three
series. Units in braces are no units. Pure text.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

from punie_trace.spans.metrics import COUNTERS, GAUGES, HISTOGRAMS

Kind: TypeAlias = Literal["histogram", "counter", "gauge"]

_UNITS: Final = {"s": "seconds", "ms": "milliseconds", "By": "bytes", "J": "joules"}
_PARTS: Final = ("bucket", "sum", "count")


def label_name(attribute: str) -> str:
    """The label that an attribute becomes."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", attribute)


def metric_name(name: str, unit: str, kind: Kind) -> str:
    """The metric that an instrument becomes; a histogram's series have `_bucket`, `_sum` and `_count` after it."""
    words = [word for word in re.split(r"[^a-zA-Z0-9]+", name) if word]
    suffix = "" if unit.startswith("{") else _UNITS.get(unit, unit)
    if kind == "gauge" and unit == "1":
        suffix = "ratio"
    if suffix and suffix not in words:
        words.append(suffix)
    if kind == "counter":
        words = [*(word for word in words if word != "total"), "total"]
    return "_".join(words)


_NAMES: Final = {
    **{name: metric_name(name, unit, "histogram") for name, unit, _, _ in HISTOGRAMS},
    **{name: metric_name(name, unit, "counter") for name, unit, _ in COUNTERS},
    **{name: metric_name(name, unit, "gauge") for name, unit, _ in GAUGES},
}


def series_name(metric: str, part: str | None = None) -> str:
    """The name of a series of one of our metrics; `part` is 'bucket', 'sum' or 'count' for a histogram, else None.

    Raises KeyError for a metric that is not ours, and ValueError for a part that it does not have.
    """
    histogram = any(metric == name for name, *_ in HISTOGRAMS)
    if (part in _PARTS) is not histogram:
        raise ValueError(f"{metric} has no part {part!r}")
    return _NAMES[metric] if part is None else f"{_NAMES[metric]}_{part}"
