"""What a quick look cannot tell, in one sentence with its own figures. Text from a summary; no run is read."""

from __future__ import annotations

import math
from collections.abc import Iterator

from punie_trace.analysis.figures import Summary
from punie_trace.analysis.statistics import wilson
from punie_trace.runs.header import RunHeader


def quick_finding(header: RunHeader, summary: Summary) -> Iterator[str]:
    """Nothing where the run was no quick look."""
    look = header.quick
    if look is None:
        return
    asked = len(header.suite.queries)
    rounds = f"{header.rounds} round" + "s" * (header.rounds > 1)
    parts = [f"{asked} of {look.of} questions in {rounds}" if asked < look.of else f"{asked} questions in {rounds}"]
    if look.left_out:
        parts.append(f"{', '.join(look.left_out)} not measured")
    cannot = [*_smallest(summary), *_accuracy(summary), "slow answers (p95)", "how times vary from round to round"]
    yield f"a quick look: {'; '.join(parts)}. It cannot tell {', '.join(cannot)}: without --quick it is measured"


def _smallest(summary: Summary) -> Iterator[str]:
    """A difference as large as half the interval is the least that could have been told from none."""
    widths = [
        math.sqrt(one.speed.high / one.speed.low)
        for one in summary.comparisons
        if one.speed is not None and one.speed.low and one.speed.high
    ]
    if widths:
        yield f"differences in speed below about {max(widths):.2f}x"
    elif summary.comparisons:
        yield "whether one is faster"


def _accuracy(summary: Summary) -> Iterator[str]:
    lowest = [
        (wilson(one.correct, one.queries).low or 0.0, one.correct, one.queries)
        for one in summary.configurations.values()
        if one.queries
    ]
    if lowest:
        low, correct, queries = min(lowest)
        yield f"accuracy ({correct} of {queries} right can be {low:.0%} in truth)"
