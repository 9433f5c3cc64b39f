"""What writing and reading a span as a line costs, and what the codec's one shortcut wins.

Every span of a run is written while it is measured, and a report reads them all. The codec goes through dictionaries
and pydantic's JSON; a line's beginning, which is the same for all spans of a source, is encoded and decoded once. Ways
take turns over the same spans, and the CPU time of each is divided by the number of lines:

    write, json           the same dictionaries through the standard library
    write, whole          pydantic's JSON, the beginning encoded for each line
    write                 the codec's `to_line`
    read, json            the standard library, then the codec's reading
    read, whole           pydantic's JSON, the beginning decoded for each line
    read                  the codec's `from_line`

    uv run python bench/span_codec.py RUN [--rounds 31]

Printed: for each way the median over rounds in us a line, and the median of its ratio to the codec's own, with the
order-statistic interval of 95 %.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import to_json

from punie_trace.runs.reader import SPANS_FILE
from punie_trace.spans import codec, codec_reading
from punie_trace.spans.codec import from_line, to_line
from punie_trace.spans.span import Span

Way = Callable[[Any], object]
_DUMPS = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def as_data(span: Span) -> dict[str, Any]:
    """The whole line as dictionaries."""
    source = span.source
    scope = {"scope": codec._scope(source), "spans": [codec._span(span)]}
    return {
        "resourceSpans": [{"resource": {"attributes": codec._attributes(source.resource)}, "scopeSpans": [scope]}],
    }


def write_json(span: Span) -> bytes:
    return _DUMPS(as_data(span)).encode() + b"\n"


def write_whole(span: Span) -> bytes:
    return to_json(as_data(span), inf_nan_mode="strings") + b"\n"


def read_json(line: bytes) -> list[Span]:
    return codec_reading._spans_of(json.loads(line))


def read_whole(line: bytes) -> list[Span]:
    return codec_reading._spans_of(codec_reading._parsed(line))


def costs(ways: dict[str, Way], data: Sequence[object], rounds: int) -> dict[str, np.ndarray]:
    """CPU time in us for each of `data`, by way: one figure a round."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-2, rounds):  # the first two warm up
        for name, way in ways.items():
            begin = time.process_time_ns()
            for one in data:
                way(one)
            if number >= 0:
                found[name].append((time.process_time_ns() - begin) / len(data) / 1000)
    return {name: np.array(one) for name, one in found.items()}


def show(found: dict[str, np.ndarray], own: str) -> None:
    for name, each in found.items():
        ratios = np.sort(each / found[own])
        reach = int(0.98 * len(ratios) ** 0.5)
        middle = len(ratios) // 2
        low, high = ratios[max(0, middle - reach)], ratios[min(len(ratios) - 1, middle + reach)]
        print(f"{name:16}{np.median(each):>8.2f} us{np.median(ratios):>8.2f} [{low:.2f}, {high:.2f}]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--lines", type=int, default=2000)
    args = parser.parse_args()
    with (args.run / SPANS_FILE).open("rb") as file:
        lines = [line for line, _ in zip(file, range(args.lines), strict=False)]
    spans = [span for line in lines for span in from_line(line)]
    assert [json.loads(write_json(span)) for span in spans] == [json.loads(to_line(span)) for span in spans]
    assert [read_json(line) for line in lines] == [from_line(line) for line in lines]
    print(f"{len(lines)} lines of {sum(map(len, lines)) // len(lines)} bytes; ratios to the codec's own")
    gc.disable()
    show(costs({"write, json": write_json, "write, whole": write_whole, "write": to_line}, spans, args.rounds), "write")
    show(costs({"read, json": read_json, "read, whole": read_whole, "read": from_line}, lines, args.rounds), "read")


if __name__ == "__main__":
    main()
