"""The phases of a generation as a table, and why those that were not seen are not there. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterator

from punie_trace.analysis.figure_kinds import Observed
from punie_trace.analysis.figures import Summary
from punie_trace.report.model import NONE, UNSEEN, Column, Row, Table
from punie_trace.report.units import duration


def phases_table(summary: Summary) -> Table | None:
    """Mean phases of a generation, those that were seen anywhere."""
    found = {name: one.generation_split_ms for name, one in summary.configurations.items()}
    phases = list(dict.fromkeys(phase for row in found.values() for phase in row))
    seen = [phase for phase in phases if any(row[phase].value is not None for row in found.values())]
    if not seen:
        return None
    rows = tuple(Row(name, tuple(_phase(row[phase]) for phase in seen)) for name, row in found.items())
    return Table(tuple(Column(_words(phase)) for phase in seen), rows, names="configuration")


def _phase(one: Observed) -> str:
    if one.value is None:
        return UNSEEN if one.of else NONE
    return duration(one.value) + ("*" if one.n < one.of else "")


def unseen_phases(summary: Summary) -> Iterator[str]:
    """In how many generations a phase was seen where not in all, and why others were not seen at all."""
    found = {name: one.generation_split_ms for name, one in summary.configurations.items()}
    partly = [
        f"{name} {' and '.join(shares)}"
        for name, row in found.items()
        if (shares := dict.fromkeys(f"{one.n}/{one.of}" for one in row.values() if 0 < one.n < one.of))
    ]
    if partly:
        yield f"* not seen in every generation: {', '.join(partly)}"
    sources = {name: one.phases_told_by for name, one in summary.configurations.items()}
    if any(source.endswith("timings") for row in sources.values() for source in row):
        yield "phases as told by: " + ", ".join(f"{name} {' and '.join(row)}" for name, row in sources.items() if row)
    yield from dict.fromkeys(
        f"{_words(phase)} not observable: {one.not_observable}"
        for row in found.values()
        for phase, one in row.items()
        if one.of and one.not_observable is not None
    )


def _words(phase: str) -> str:
    return phase.replace("_", " ")
