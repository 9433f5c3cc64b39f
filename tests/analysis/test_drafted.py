from __future__ import annotations

import pytest

from punie_trace.analysis.drafted import drafted_in, speculation_figures
from punie_trace.records import AttributeValue, SpanRow
from punie_trace.telemetry import names


def span(start: int, **attributes: AttributeValue) -> SpanRow:
    named = {f"punie.speculation.{name}": value for name, value in attributes.items()}
    return SpanRow("a" * 32, f"{start:016x}", None, names.SPAN_SPECULATION, "INTERNAL", start, start + 1, named)


def test_sums_and_rates() -> None:
    spans = [
        span(2, drafted=0, accepted=0, rounds=0, mode="adaptive", fallback="load: batched"),
        span(1, drafted=12, accepted=9, rounds=4, drafter="suffix,model", mode="adaptive"),
        SpanRow("a" * 32, "f" * 16, None, "decode", "INTERNAL", 0, 1),
    ]
    drafted = drafted_in(spans)
    assert [one.drafted for one in drafted] == [12, 0]
    figures = speculation_figures(drafted)
    assert figures is not None
    assert (figures.generations, figures.rounds, figures.drafted, figures.accepted) == (2, 4, 12, 9)
    assert (figures.acceptance, figures.mean_length, figures.mean_k) == (0.75, pytest.approx(3.25), 3.0)
    assert figures.drafters == ("suffix", "model")
    assert figures.fallbacks == {"load: batched": 1}


def test_nothing_told_and_nothing_drafted_are_two_things() -> None:
    assert speculation_figures(drafted_in([])) is None
    idle = speculation_figures(drafted_in([span(1, drafted=0, accepted=0, rounds=0, drafter="suffix")]))
    assert idle is not None
    assert (idle.acceptance, idle.mean_length, idle.mean_k, idle.drafters) == (None, None, None, ())
