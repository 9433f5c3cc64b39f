"""The page's figures of sessions: time to first token and cached tokens of each turn against the length of its context.

Each is a section of the document that draws itself when the page is made, and no sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from punie_trace.analysis.observations import Observation
from punie_trace.analysis.turns import TurnObservation
from punie_trace.report import svg
from punie_trace.report.html_text import note, tag, text
from punie_trace.report.model import Note, Picture, Section, section
from punie_trace.report.units import duration

NS_PER_MS: Final = 1e6


@dataclass(frozen=True, slots=True)
class _Chart:
    """One chart against the context: what a turn's dot stands at, None for no dot, and how that is written."""

    title: str
    label: str
    value: Callable[[TurnObservation], float | None]
    written: Callable[[float], str]


_CHARTS: Final = (
    _Chart(
        "Time to first token against context length",
        "time to first token against prompt tokens",
        lambda turn: None if turn.first_chunk_ns is None else turn.first_chunk_ns / NS_PER_MS,
        duration,
    ),
    _Chart(
        "Cached tokens against context length",
        "cached tokens against prompt tokens",
        lambda turn: turn.cached_tokens,
        lambda value: f"{value:.0f} tokens",
    ),
)


def turn_charts(observed: Mapping[str, Sequence[Observation]]) -> Section:
    """Both charts, a row for each configuration; an empty section where no turn has a known context."""
    turns = {
        name: [turn for one in observations for turn in one.turns if turn.answered and turn.prompt_tokens is not None]
        for name, observations in observed.items()
    }
    charts = [
        Picture(partial(_draw, chart, turns))
        for chart in _CHARTS
        if any(chart.value(turn) is not None for of_one in turns.values() for turn in of_one)
    ]
    explained = (
        "Each dot is the first request of a turn: how long its prompt was when the user had spoken, and what the "
        "server made of it. A server that keeps the conversation has most of a late turn's prompt in its cache, so "
        "that its time to first token stays level while the context grows. Rounds after the first are among the dots."
    )
    return section("turn-charts", "Turns as the context grows", *charts, *([Note(explained)] if charts else []),
                   page_only=True)  # fmt: skip


def _draw(chart: _Chart, turns: Mapping[str, Sequence[TurnObservation]]) -> str:
    placed = {
        name: [(turn, value) for turn in of_one if (value := chart.value(turn)) is not None]
        for name, of_one in turns.items()
    }
    every = [pair for pairs in placed.values() for pair in pairs]
    context = svg.scale_for([float(turn.prompt_tokens or 0) for turn, _ in every])
    values = svg.scale_for([value for _, value in every])
    levels = [(tick, chart.written(tick) if tick else "0") for tick in values.ticks(2)]
    rows = []
    for name, pairs in placed.items():
        if not pairs:
            continue
        dots = [
            ("call" if turn.calls_first else "answer", float(turn.prompt_tokens or 0), value) for turn, value in pairs
        ]
        rows.append(tag("p", tag("b", text(name)) + tag("span", f"{len(pairs)} turns"), "row"))
        rows.append(svg.over_time(dots, context, values, (), levels, f"{name}: {chart.label}"))
    ticks = [(tick, f"{tick:.0f}") for tick in context.ticks()]
    legend = "".join(
        tag("li", f'<i class="key dot {kind}"></i>{words}')
        for kind, words in (("answer", "answers at once"), ("call", "calls a tool first"))
    )
    across = f"Across: prompt tokens of the turn's first request{_logarithmic(context)}."
    upward = f"Upward: {chart.label.partition(' against')[0]}{_logarithmic(values)}."
    return (
        tag("h3", text(chart.title))
        + tag("ul", legend, "legend")
        + tag("div", "".join(rows) + svg.axis(context, ticks, "prompt tokens"), "plot")
        + note(f"{across} {upward}")
    )


def _logarithmic(scale: svg.Scale) -> str:
    return ", on a logarithmic scale" if scale.logarithmic else ""
