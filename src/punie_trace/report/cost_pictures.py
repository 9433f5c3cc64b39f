"""What each configuration costs, as bars of the page: time, tokens and energy for what was answered, and memory.

One picture of bars for each measure that at least one configuration has. Nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from punie_trace.analysis.figures import ConfigurationFigures, Summary
from punie_trace.report import svg
from punie_trace.report.html_text import line, tag, text
from punie_trace.report.model import UNSEEN, Note, Picture, Section, section
from punie_trace.report.units import duration, memory


@dataclass(frozen=True, slots=True)
class _Measure:
    """One thing that answers cost: its value for a configuration (None: not observable), and how it is written."""

    title: str
    value: Callable[[ConfigurationFigures], float | None]
    written: Callable[[float], str]


def _joules(value: float) -> str:
    return f"{value:.1f} J"


def _tokens(value: float) -> str:
    return f"{value:,.0f} tokens"


_MEASURES: Final = (
    _Measure("Time for each right answer", lambda one: one.time_per_correct_ms, duration),
    _Measure("Output tokens of a query", lambda one: one.tokens.output_per_query, _tokens),
    _Measure("Peak memory of its server", lambda one: one.memory_peak_bytes, lambda value: memory(int(value))),
    _Measure(
        "Energy for each right answer",
        lambda one: None if one.energy is None else one.energy.per_right_answer,
        _joules,
    ),
    _Measure(
        "Energy for 1,000 output tokens",
        lambda one: None if one.energy is None else one.energy.per_1000_output_tokens,
        _joules,
    ),
)


def costs(summary: Summary) -> Section:
    """Bars for each measure, a row for each configuration that was asked; an empty section where none was."""
    asked = {name: one for name, one in summary.configurations.items() if one.outcomes}
    drawn = [
        Picture(partial(_draw, measure, asked))
        for measure in _MEASURES
        if any(measure.value(one) is not None for one in asked.values())
    ]
    if not drawn:
        return section("costs", "What it costs")
    shared = any(one.memory_shared_with for one in asked.values())
    return section(
        "costs",
        "What it costs",
        *drawn,
        Note(
            "Time counts all that was spent, errors included. Shorter bars are better, but for answers that say less."
        ),
        Note("* of the one process that served more than this configuration" if shared else ""),
        Note(_energy(summary)),
        page_only=True,
    )


def _energy(summary: Summary) -> str:
    if summary.run.energy:
        return f"Energy is not observable: {summary.run.energy}."
    return f"energy: {summary.definitions['energy']}."


def _draw(measure: _Measure, asked: dict[str, ConfigurationFigures]) -> str:
    values = {name: measure.value(one) for name, one in asked.items()}
    longest = max(value for value in values.values() if value is not None)
    rows = []
    for name, value in values.items():
        label = UNSEEN if value is None else measure.written(value)
        shared = value is not None and measure.title.startswith("Peak memory") and asked[name].memory_shared_with
        bar = "" if value is None else svg.stacked_bar([("cost", value)], longest, f"{name}: {label}", height=14)
        rows.append(line(text(name), bar, label + ("*" if shared else ""), "line bar"))
    return tag("h3", text(measure.title)) + tag("div", "".join(rows), "plot")
