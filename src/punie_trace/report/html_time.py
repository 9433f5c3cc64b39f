"""The parts of the page that show where time goes: ledger, phases of a generation, path of the slowest query.

They draw what the summary holds, averages over a run and one query of it; each query's own timeline is the page's
script's part (`html_data`). Nothing is computed here.
"""

from __future__ import annotations

from typing import Final

from punie_trace.analysis.figure_kinds import Observed
from punie_trace.analysis.figures import Summary
from punie_trace.report import svg
from punie_trace.report.details import (
    PATH_TITLES,
    path_rows,
    path_title,
)
from punie_trace.report.html_text import NOT_OBSERVABLE, items, note, section, table, tag, text
from punie_trace.report.units import duration

LINES: Final = (
    ("client_queue", "client queue"),
    ("generation", "generation"),
    ("tool", "tool"),
    ("framework", "framework"),
)


def slowest_path(summary: Summary) -> str:
    """The critical path of the slowest query, as a bar and a table."""
    one = summary.slowest
    if one is None or not one.parts:
        return ""
    kinds = {"generation": "generation", "tool": "tool"}
    bar = [(kinds.get(part.segment, "framework"), part.on_path) for part in one.parts]
    said = ", ".join(f"{part.name} {duration(part.on_path)}" for part in one.parts)
    return section(
        "critical-path",
        path_title(summary),
        tag("div", svg.stacked_bar(bar, one.wall, said), "plot"),
        table(PATH_TITLES, path_rows(summary)),
        note(f"critical path: {summary.definitions['critical path']}."),
    )


def where_time_goes(summary: Summary) -> str:
    """The ledger: a stacked bar for each configuration on one scale, the figures, and a generation's phases."""
    ledgers = {name: one.ledger_ms for name, one in summary.configurations.items() if one.ledger_ms is not None}
    if not ledgers:
        return section("ledger", "Where the time goes", note("No query has a ledger that could be read."))
    longest = max(ledger.wall for ledger in ledgers.values())
    rows = []
    for name, ledger in ledgers.items():
        parts = [(line.replace("_", "-"), getattr(ledger, line)) for line, _ in LINES]
        said = ", ".join(
            f"{word} {duration(getattr(ledger, line))} ({getattr(ledger, line) / (ledger.wall or 1):.1%})"
            for line, word in LINES
        )
        rows.append(tag("p", tag("b", text(name)) + tag("span", text(f"mean {duration(ledger.wall)}")), "row"))
        rows.append(svg.stacked_bar(parts, longest, said) + note(said))
    legend = "".join(tag("li", f'<i class="key {line.replace("_", "-")}"></i>{word}') for line, word in LINES)
    return section(
        "ledger",
        "Where the time goes",
        tag("ul", legend, "legend") + tag("div", "".join(rows), "plot"),
        note(f"ledger: {summary.definitions['ledger']}. Means over the queries that were answered."),
        _phases(summary),
    )


def _phases(summary: Summary) -> str:
    rows = {name: one.generation_split_ms for name, one in summary.configurations.items() if one.generation_split_ms}
    phases = list(dict.fromkeys(phase for row in rows.values() for phase in row))
    if not phases:
        return ""
    reasons = dict.fromkeys(
        f"{phase.replace('_', ' ')} is not observable: {one.not_observable}"
        for row in rows.values()
        for phase, one in row.items()
        if one.of and one.not_observable is not None
    )
    return (
        tag("h3", "What a generation is made of")
        + table(
            [phase.replace("_", " ") for phase in phases],
            ((name, [_phase(row[phase]) for phase in phases]) for name, row in rows.items()),
        )
        + note("Mean of each phase, and in how many generations it was seen where not in all.")
        + items(reasons, "note")
    )


def _phase(one: Observed) -> str:
    if one.value is None:
        return NOT_OBSERVABLE if one.of else "-"
    return duration(one.value) + (f" ({one.n}/{one.of})" if one.n < one.of else "")
