"""A run's summary as a document: what console, markdown and page show, in one order and in the same words.

Nothing is computed here. What only the page can draw is made in `pictures` and handed in.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from punie_trace.analysis.figures import Summary
from punie_trace.analysis.first_divergence import in_words
from punie_trace.analysis.named_figures import FEWEST_FOR_P95, comparison_of
from punie_trace.analysis.summary import DEFINITIONS
from punie_trace.report.code_columns import code_lines
from punie_trace.report.contrast_document import WORK_COLUMNS, work_cells
from punie_trace.report.headline import headline
from punie_trace.report.model import (
    NONE,
    Bar,
    Column,
    Document,
    Facts,
    Items,
    Note,
    Part,
    Row,
    Section,
    StackedBars,
    Table,
    Tables,
    section,
)
from punie_trace.report.phases_table import phases_table, unseen_phases
from punie_trace.report.registry import SCREEN, columns, configuration_table
from punie_trace.report.turn_tables import turns_section
from punie_trace.report.units import duration, interval, machine, share

LEDGER_LINES: Final = (
    ("client_queue", "client queue"),
    ("generation", "generation"),
    ("tool", "tool"),
    ("framework", "framework"),
)
MOST_ON_SCREEN: Final = 5
MOST_PROBLEMS: Final = 12
MOST_DIVERGENCES: Final = 5
MOST_ADVICE: Final = 3
"""On one screen; the first are the weightiest."""
_ASKED: Final = 0.95
"""What an interval is to reach."""


def run_document(
    summary: Summary, folder: Path | None = None, pictures: Mapping[str, Sequence[Section]] | None = None
) -> Document:
    """Everything that a person wants to know of a run; `folder` is where it lies, if that is to be said.

    `pictures` are sections for the page, by the key of the section after which they stand.
    """
    pictures = pictures or {}
    placed: list[Section] = []
    for one in _sections(summary):
        placed += [one, *pictures.get(one.key, ())]
    again = [f"punie-trace report {shlex.quote(str(folder))} --format markdown"] if folder is not None else []
    return Document(
        title=f"{summary.run.suite}: {summary.run.asked}",
        facts=Facts(tuple((word, value) for word, value in _facts(summary, folder).items() if value)),
        sections=tuple(placed),
        headline=headline(summary),
        commands=(*([shlex.join(summary.run.argv)] if summary.run.argv else []), *again),
    )


def definitions() -> Facts:
    """How each figure is defined."""
    return Facts(tuple(DEFINITIONS.items()))


def _sections(summary: Summary) -> Iterator[Section]:
    shown = columns()
    screen = configuration_table(tuple(column for column in shown if column.group == SCREEN), summary)
    yield section("configurations", SCREEN, screen, *map(Note, _marks(summary)), on_screen=True)
    yield section("ledger", "Where the time goes", _ledger_bars(summary), on_screen=True)
    yield section("code", "Code mode", Items(tuple(code_lines(summary))), on_screen=True)
    findings = Items((*summary.ledger_errors, *summary.findings), "bad", MOST_ON_SCREEN)
    yield section("findings", "Findings", findings, on_screen=True)
    advice = Items(tuple(one.text for one in summary.advice), "good", MOST_ADVICE)
    yield section("advice", "Advice", advice, on_screen=True)
    # By kind of work before any average: over kinds it can hide that one gains and another loses.
    yield section(
        "categories", "By category: median, speed-up (95 %), right where not all are", categories_table(summary)
    )
    yield turns_section(summary)
    groups = tuple(dict.fromkeys(column.group for column in shown if column.group != SCREEN))
    tables = tuple(
        configuration_table(tuple(column for column in shown if column.group == group), summary, group)
        for group in groups
        if group != "Speculation" or any(one.speculation is not None for one in summary.configurations.values())
    )
    tables = tuple(table for table in map(_without_empty, tables) if table.columns)
    yield section("figures", "All figures", Tables(tables), *map(Note, _remarks(summary)))
    yield section("work", "Work relative to the baseline's", _work_table(summary))
    yield section(
        "phases", "A generation: mean of each phase", phases_table(summary), *map(Note, unseen_phases(summary))
    )
    yield _critical_path(summary)
    yield section("problems", "Not right in every round", Items(tuple(_problems(summary)), "bad"))
    yield section("divergences", "Where answers first differ from the baseline's", Items(tuple(_divergences(summary))))
    yield section("notes", "Notes", Items(summary.notes))
    yield section("definitions", "Definitions", Facts(tuple(summary.definitions.items())))


def _facts(summary: Summary, folder: Path | None) -> dict[str, str]:
    run = summary.run
    return {
        "run": f"{run.id}, {run.started:%Y-%m-%d %H:%M %Z}".rstrip() + f", {run.status}",
        "suite": f"{run.suite}: {run.asked}, seed {run.seed}, path {' and '.join(run.paths) or 'none'}",
        "digest": run.suite_digest,
        "model": ", ".join(run.models),
        "draft": ", ".join(run.draft_models),
        "order": run.order,
        "stopped": run.stopping,
        "served": _served(summary),
        "ended": _finish_reasons(summary),
        "goodput": _objectives(summary),
        "machine": machine(run.machine) + (f"; thermal state: {run.thermal}" if run.thermal else ""),
        "BLAS": ", ".join(run.blas),
        "versions": ", ".join(f"{name} {version}" for name, version in run.versions.items()),
        "memory": ", ".join(
            dict.fromkeys(one.memory_kind for one in summary.configurations.values() if one.memory_kind)
        ),
        "folder": "" if folder is None else str(folder),
    }


def _served(summary: Summary) -> str:
    """Which configurations were served in batches and which one request at a time, as far as that is known."""
    kinds = {True: "in batches", False: "one request at a time"}
    parts = []
    for batched, words in kinds.items():
        names = [name for name, one in summary.configurations.items() if one.batched is batched]
        if names:
            parts.append(f"{words}: {', '.join(names)}")
    return "; ".join(parts)


def _finish_reasons(summary: Summary) -> str:
    total: dict[str, int] = {}
    for figures in summary.configurations.values():
        for reason, count in figures.finish_reasons.items():
            total[reason] = total.get(reason, 0) + count
    return ", ".join(f"{reason} {count}" for reason, count in total.items())


def _objectives(summary: Summary) -> str:
    """What a query had to meet; '' where nothing but to be right."""
    for figures in summary.configurations.values():
        if figures.goodput is not None and figures.goodput.objectives:
            names = {"wall_s": "wall time", "ttft_s": "time to first token"}
            asked = [f"{names.get(key, key)} <= {value:g} s" for key, value in figures.goodput.objectives.items()]
            return f"right, and {' and '.join(asked)}"
    return ""


def _marks(summary: Summary) -> Iterator[str]:
    """What the signs beside figures mean, where there are any."""
    figures = summary.configurations.values()
    if any(one.memory_shared_with and one.memory_peak_bytes is not None for one in figures):
        yield "* of the one process that served more than this configuration"
    if any(one.wall_ms is not None and one.first_asks_ms is None for one in figures):
        yield "~ of questions that its server had been asked before"


def _without_empty(table: Table) -> Table:
    """The table without the columns in which no cell holds anything."""
    kept = [
        place
        for place in range(len(table.columns))
        if not table.rows or any(row.cells[place].strip(" -/") for row in table.rows)
    ]
    rows = tuple(Row(row.name, tuple(row.cells[place] for place in kept), row.tone) for row in table.rows)
    return Table(tuple(table.columns[place] for place in kept), rows, table.title, table.names)


def _ledger_bars(summary: Summary) -> StackedBars:
    ledgers = {name: one.ledger_ms for name, one in summary.configurations.items() if one.ledger_ms is not None}
    return StackedBars(
        tuple(
            Bar(
                name,
                tuple(Part(_kind(summary, name, line), getattr(ledger, line)) for line, _ in LEDGER_LINES),
                duration(ledger.wall),
                ", ".join(
                    f"{word} {duration(getattr(ledger, line))} ({getattr(ledger, line) / (ledger.wall or 1):.1%})"
                    for line, word in LEDGER_LINES
                ),
            )
            for name, ledger in ledgers.items()
        ),
        max((ledger.wall for ledger in ledgers.values()), default=0.0),
    )


def _kind(summary: Summary, name: str, line: str) -> str:
    """Where tools make no spans they cannot be told from the rest: both are what passes between generations."""
    if line == "framework" and summary.configurations[name].tools_unseen:
        return "between_generations"
    return line


def categories_table(summary: Summary) -> Table | None:
    """Median wall and speed-up by category, only from two categories on.

    What there is less of, categories or configurations, makes the columns.
    """
    categories = list(dict.fromkeys(name for one in summary.configurations.values() for name in one.by_category))
    names = [name for name, figures in summary.configurations.items() if figures.by_category]
    if len(categories) < 2:
        return None
    if len(names) > len(categories):
        rows = tuple(Row(name, tuple(_category(summary, name, one) for one in categories)) for name in names)
        return Table(tuple(map(Column, categories)), rows, names="configuration")
    rows = tuple(Row(one, tuple(_category(summary, name, one) for name in names)) for one in categories)
    return Table(tuple(map(Column, names)), rows, names="category")


def _category(summary: Summary, name: str, category: str) -> str:
    one = summary.configurations[name].by_category.get(category)
    if one is None:
        return NONE
    parts = [NONE if one.wall_ms_median is None else duration(one.wall_ms_median)]
    comparison = comparison_of(summary, name)
    ratio = comparison.speed_by_category.get(category) if comparison is not None else None
    if ratio is not None:
        parts.append(f"{ratio.value:.2f}x {interval(ratio.low, ratio.high)}".strip())
    if one.correct < one.queries:
        parts.append(f"({one.correct}/{one.queries})")
    return " ".join(parts)


def _remarks(summary: Summary) -> Iterator[str]:
    constants = summary.constants
    if constants.queries:
        yield (
            f"for comparison: 'always a tool' could get {constants.always_tool}/{constants.queries} right, "
            f"'never a tool' {constants.never_tool}/{constants.queries}"
        )
    walls = [one.wall_ms for one in summary.configurations.values() if one.wall_ms is not None]
    reached = min((wall.confidence for wall in walls if wall.low is not None), default=1.0)
    if any((wall.p95_confidence or 0.0) < _ASKED for wall in walls):
        yield f"too few answers to say within what the p95 lies: it takes {FEWEST_FOR_P95}"
    if reached < _ASKED:
        yield f"so few queries: the medians' interval is their whole range, and reaches {reached:.0%}"


def _work_table(summary: Summary) -> Table:
    rows = [(one.other, work_cells(one)) for one in summary.comparisons]
    shown = tuple(Row(name, cells) for name, cells in rows if cells is not None)
    return Table(WORK_COLUMNS, shown, names="configuration")


def _critical_path(summary: Summary) -> Section:
    one = summary.slowest
    if one is None or not one.parts:
        return section("critical-path", "")
    title = f"{one.query}, {one.configuration}, round {one.round}, {duration(one.wall)}"
    kinds = {"generation": "generation", "tool": "tool"}
    bar = Bar(
        "",
        tuple(Part(kinds.get(part.segment, "framework"), part.on_path) for part in one.parts),
        "",
        ", ".join(f"{part.name} {duration(part.on_path)}" for part in one.parts),
    )
    rows = tuple(
        Row(
            part.name,
            (
                duration(part.on_path),
                share(part.on_path / one.wall if one.wall else 0.0),
                duration(part.saves) if part.saves > 0 else "nothing",
                str(part.spans),
            ),
        )
        for part in one.parts
    )
    titles = tuple(map(Column, ("waited for", "of the query", "saves at most", "spans")))
    return section(
        "critical-path",
        f"What the slowest query waited for: {title}",
        StackedBars((bar,), one.wall),
        Table(titles, rows, names="part"),
    )


def _problems(summary: Summary) -> Iterator[str]:
    lines = []
    for name, figures in summary.configurations.items():
        for problem in figures.problems:
            what = ", ".join(f"{verdict} {count}/{problem.rounds}" for verdict, count in problem.verdicts.items())
            error = f": {problem.error}" if problem.error else ""
            lines.append(f"{name}, {problem.query} ({problem.category}): {what}{error}")
    yield from lines[:MOST_PROBLEMS]
    if len(lines) > MOST_PROBLEMS:
        yield f"and {len(lines) - MOST_PROBLEMS} more: see summary.json"


def _divergences(summary: Summary) -> Iterator[str]:
    """Where answers that are not the baseline's to the letter first differ from them."""
    for name, figures in summary.configurations.items():
        same = figures.answers_identical_to_baseline
        if same is None or not same.different:
            continue
        shown = same.divergences[:MOST_DIVERGENCES]
        yield from (f"{name}: {in_words(one, summary.baseline or 'the baseline', name)}" for one in shown)
        if len(same.different) > len(shown):
            yield f"{name}: and {len(same.different) - len(shown)} more queries, see summary.json"
