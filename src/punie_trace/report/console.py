"""The figures of a run on a terminal, or as plain text where there is none: fit to be pasted into an issue.

Speed, accuracy, ledger and work are four tables with a row for each configuration, two by two in one where the width
allows. Nothing is computed here, and what was not observed is printed as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from punie_trace.analysis.figures import Comparison, Summary
from punie_trace.analysis.named_figures import FEWEST_FOR_P95
from punie_trace.report.configuration_columns import (
    ACCURACY,
    LEDGER,
    PER_RIGHT,
    SPECULATION,
    SPEED,
    WORK,
    Column,
    tells_speculation,
    verdict_word,
)
from punie_trace.report.details import (
    PATH_TITLES,
    WORK_TITLES,
    finish_words,
    objective_words,
    parting_lines,
    path_rows,
    path_title,
    served_words,
    work_rows,
)
from punie_trace.report.tables import (
    new_table,
    plain,
    print_categories,
    print_list,
    print_rows,
    print_split,
    print_table,
    unpadded,
)
from punie_trace.report.units import machine

_MOST_PROBLEMS: Final = 12
_ASKED: Final = 0.95
"""What an interval is to reach."""
_STYLES: Final = {"faster": "green", "slower": "red", "failed": "red"}


def print_report(summary: Summary, console: Console, folder: Path | None = None) -> None:
    """Print everything that a person wants to know of a run; `folder` is where it lies, if that is to be said."""
    with unpadded(console):
        _print_all(summary, console, folder)


def _print_all(summary: Summary, console: Console, folder: Path | None) -> None:
    _print_facts(summary, console, folder)
    comparisons = {comparison.other: comparison for comparison in summary.comparisons}
    print_categories(summary, console)  # before any average: over kinds of work it can hide that one gains, one loses
    _print_fitting(("Speed", SPEED), ("Accuracy", ACCURACY), summary, comparisons, console)
    _print_constants(summary, console)
    _print_reach(summary, console)
    print_table("Right answers with speed", _configurations_table(PER_RIGHT, summary, comparisons), console)
    if objective_words(summary):
        _print_remark(objective_words(summary), console)
    _print_fitting(("Where the time goes", LEDGER), ("Work", WORK), summary, comparisons, console)
    if any(one.memory_shared_with and one.memory_peak_bytes is not None for one in summary.configurations.values()):
        _print_remark("* of the one process that served more than this configuration", console)
    print_rows("Work relative to the baseline's", WORK_TITLES, work_rows(summary), console)
    if tells_speculation(summary):
        print_table("Speculation", _configurations_table(SPECULATION, summary, comparisons), console)
    print_split(summary, console)
    print_rows(path_title(summary), PATH_TITLES, path_rows(summary), console)
    _print_problems(summary, console)
    print_list("Where answers part from the baseline's", parting_lines(summary), console)
    print_list("Findings", summary.findings, console, "yellow")
    print_list("Advice", [advice.text for advice in summary.advice], console, "green")
    print_list("Notes", summary.notes, console)
    print_list("Definitions", [f"{word}: {meaning}" for word, meaning in summary.definitions.items()], console, "dim")


def _print_facts(summary: Summary, console: Console, folder: Path | None) -> None:
    run = summary.run
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    facts = {
        "run": f"{run.id}, {run.started:%Y-%m-%d %H:%M %Z}".rstrip() + f", {run.status}",
        "suite": f"{run.suite}: {run.asked}, seed {run.seed}, path {' and '.join(run.paths) or 'none'}",
        "model": ", ".join(run.models),
        "draft": ", ".join(run.draft_models),
        "order": run.order,
        "stopped": run.stopping,
        "served": served_words(summary),
        "ended": finish_words(summary),
        "machine": machine(run.machine) + (f"; thermal state: {run.thermal}" if run.thermal else ""),
        "BLAS": ", ".join(run.blas),
        "versions": versions,
        "folder": "" if folder is None else str(folder),
    }
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            table.add_row(name, plain(value))
    console.print(Text("punie_trace", style="bold"))
    console.print(table)


def _print_fitting(
    first: tuple[str, tuple[Column, ...]],
    second: tuple[str, tuple[Column, ...]],
    summary: Summary,
    comparisons: dict[str, Comparison],
    console: Console,
) -> None:
    """Both groups of columns in one table where the console is wide enough for it, else in two."""
    together = _configurations_table(first[1] + second[1], summary, comparisons)
    if Measurement.get(console, console.options.update(max_width=10_000), together).maximum <= console.width:
        print_table(f"{first[0]}; {second[0].lower()}", together, console)
        return
    for title, columns in (first, second):
        print_table(title, _configurations_table(columns, summary, comparisons), console)


def _configurations_table(columns: Sequence[Column], summary: Summary, comparisons: dict[str, Comparison]) -> Table:
    table = new_table()
    for column in columns:
        table.add_column(column.title, justify="right" if column.justify_right else "left", no_wrap=True)
    for name, figures in summary.configurations.items():
        comparison = comparisons.get(name)
        style = _STYLES.get(verdict_word(name, figures, comparison), "")
        table.add_row(plain(name), *(plain(column.cell(name, figures, comparison)) for column in columns), style=style)
    return table


def _print_constants(summary: Summary, console: Console) -> None:
    constants = summary.constants
    if constants.queries:
        _print_remark(
            f"for comparison: 'always a tool' could get {constants.always_tool}/{constants.queries} right, "
            f"'never a tool' {constants.never_tool}/{constants.queries}",
            console,
        )


def _print_reach(summary: Summary, console: Console) -> None:
    """The medians' interval is the range of all queries where there are few of them: what it then reaches."""
    walls = [one.wall_ms for one in summary.configurations.values() if one.wall_ms is not None]
    reached = min((wall.confidence for wall in walls if wall.low is not None), default=1.0)
    if any((wall.p95_confidence or 0.0) < _ASKED for wall in walls):
        _print_remark(f"too few answers to say within what the p95 lies: it takes {FEWEST_FOR_P95}", console)
    if reached < _ASKED:
        _print_remark(f"so few queries: the medians' interval is their whole range, and reaches {reached:.0%}", console)


def _print_remark(text: str, console: Console) -> None:
    console.print(Padding(plain(text, "dim"), (0, 0, 0, 2)))


def _print_problems(summary: Summary, console: Console) -> None:
    lines = []
    for name, figures in summary.configurations.items():
        for problem in figures.problems:
            what = ", ".join(f"{verdict} {count}/{problem.rounds}" for verdict, count in problem.verdicts.items())
            error = f": {problem.error}" if problem.error else ""
            lines.append(f"{name}, {problem.query} ({problem.category}): {what}{error}")
    more = len(lines) - _MOST_PROBLEMS
    if more > 0:
        lines = [*lines[:_MOST_PROBLEMS], f"and {more} more: see summary.json"]
    print_list("Not right in every round", lines, console, "red")
