"""The figures of a run on a terminal, or as plain text where there is none: fit to be pasted into an issue.

Speed, accuracy, ledger and work are four tables with a row for each configuration, two by two in one where the width
allows. Nothing is computed here, and what was not observed is printed as such.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from punie_trace.analysis.figures import Comparison, ConfigurationFigures, Summary
from punie_trace.analysis.named_figures import FEWEST_FOR_P95
from punie_trace.report.details import (
    PATH_TITLES,
    WORK_TITLES,
    cold_and_warm,
    finish_words,
    goodput_words,
    objective_words,
    parting_lines,
    path_rows,
    path_title,
    served_words,
    work_rows,
)
from punie_trace.report.tables import (
    NONE,
    UNSEEN,
    new_table,
    plain,
    print_categories,
    print_list,
    print_rows,
    print_split,
    print_table,
    unpadded,
)
from punie_trace.report.units import duration, interval, machine, memory, number, share, span

_MOST_PROBLEMS: Final = 12

Cell: TypeAlias = Callable[[str, ConfigurationFigures, Comparison | None], str]


_ASKED: Final = 0.95


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, and what it shows for one configuration and its comparison with the baseline."""

    title: str
    cell: Cell
    justify_right: bool = True


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


def _mark(figures: ConfigurationFigures, figure: str) -> str:
    """A dagger where the client itself may have made the figure what it is; the findings say how."""
    return "\u2020" if figures.client is not None and figure in figures.client.affected else ""


def _wall(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    wall = figures.wall_ms
    if wall is None:
        return NONE
    return f"{duration(wall.median)}{_mark(figures, 'wall_ms')} {span(wall.low, wall.high, duration)}".strip()


def _p95(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    return NONE if figures.wall_ms is None else duration(figures.wall_ms.p95) + _mark(figures, "wall_ms")


def _speed_up(_: str, __: ConfigurationFigures, comparison: Comparison | None) -> str:
    if comparison is None or comparison.speed is None:
        return NONE
    speed = comparison.speed
    return f"{speed.estimate:.2f}x {interval(speed.low, speed.high)}".strip()


def _verdict(_: str, figures: ConfigurationFigures, comparison: Comparison | None) -> str:
    if figures.failure is not None:
        return "failed"
    if comparison is None:
        return "not measured" if not figures.outcomes else "baseline"
    return comparison.speed.verdict if comparison.speed is not None else "no pairs"


def _correct(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    accuracy = figures.accuracy
    if accuracy is None:
        return NONE
    return f"{figures.correct}/{figures.queries} {span(accuracy.low, accuracy.high, share)}".strip()


def _against(_: str, __: ConfigurationFigures, comparison: Comparison | None) -> str:
    if comparison is None or comparison.accuracy is None:
        return NONE
    gained, lost = len(comparison.accuracy.gained), len(comparison.accuracy.lost)
    return f"+{gained} -{lost}" if gained or lost else "same"


def _same_answers(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    same = figures.answers_identical_to_baseline
    return NONE if same is None else f"{same.identical}/{same.of}"


def _failures(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    bad = figures.verdicts.get("error", 0) + figures.verdicts.get("timeout", 0)
    return f"{bad}/{figures.outcomes}"


def _per_correct(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    return NONE if figures.time_per_correct_ms is None else duration(figures.time_per_correct_ms)


def _good(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    return goodput_words(figures.goodput)


def _cold_and_warm(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    return cold_and_warm(figures)


def _ledger_share(line: str) -> Cell:
    def cell(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
        if figures.ledger_share is None:
            return NONE
        return f"{getattr(figures.ledger_share, line):.1%}{_mark(figures, f'ledger_ms.{line}')}"

    return cell


def _mean_wall(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    return NONE if figures.ledger_ms is None else duration(figures.ledger_ms.wall)


def _generations(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    return NONE if figures.generations_per_query is None else number(figures.generations_per_query, 1)


def _tokens(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    tokens = figures.tokens
    parts = (tokens.input_per_query, tokens.cached_per_query, tokens.output_per_query)
    return NONE if all(part is None for part in parts) else "/".join(number(part, 0) for part in parts)


def _rate(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    rates = figures.output_tokens_per_s, figures.effective_output_tokens_per_s
    return NONE if rates[0] is None else f"{number(rates[0], 0)} ({number(rates[1], 0)})"


def _ttft(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    ttft = figures.ttft_ms
    if not ttft.of:
        return NONE
    if ttft.value is None:
        return UNSEEN
    return f"{duration(ttft.value)}{_mark(figures, 'ttft_ms')} ({ttft.n}/{ttft.of})"


def _speed(_: str, __: ConfigurationFigures, comparison: Comparison | None) -> str:
    return NONE if comparison is None or comparison.speed is None else f"{comparison.speed.estimate:.2f}x"


def _acceptance(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    one = figures.speculation
    if one is None:
        return UNSEEN if figures.num_draft_tokens is not None and figures.outcomes else NONE
    return NONE if one.acceptance is None else f"{one.acceptance:.1%}"


def _length(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    one = figures.speculation
    return NONE if one is None or one.mean_length is None else number(one.mean_length, 2)


def _k(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    one = figures.speculation
    if one is not None and one.mean_k is not None:
        return number(one.mean_k, 2)
    return NONE if figures.num_draft_tokens is None else f"{figures.num_draft_tokens} asked"


def _drafters(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    one = figures.speculation
    return NONE if one is None or not one.drafters else ", ".join(one.drafters)


def _went_plain(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    one = figures.speculation
    return NONE if one is None else f"{sum(one.fallbacks.values())}/{one.generations}"


def _memory(_: str, figures: ConfigurationFigures, __: Comparison | None) -> str:
    if figures.memory_peak_bytes is None:
        return UNSEEN if figures.outcomes else NONE
    return memory(figures.memory_peak_bytes) + ("*" if figures.memory_shared_with else "")


SPEED: Final = (
    Column("median (95 %)", _wall),
    Column("p95", _p95),
    Column("speed-up (95 %)", _speed_up),
    Column("verdict", _verdict, justify_right=False),
)
ACCURACY: Final = (
    Column("right (95 %)", _correct),
    Column("vs base", _against),
    Column("identical", _same_answers),
    Column("failed", _failures),
)
PER_RIGHT: Final = (
    Column("time per right answer", _per_correct),
    Column("goodput", _good),
    Column("TTFT cold / warm", _cold_and_warm),
)
LEDGER: Final = (
    Column("mean", _mean_wall),
    Column("queue", _ledger_share("client_queue")),
    Column("generation", _ledger_share("generation")),
    Column("tool", _ledger_share("tool")),
    Column("framework", _ledger_share("framework")),
)
WORK: Final = (
    Column("gens", _generations),
    Column("in/cached/out", _tokens),
    Column("tok/s (eff.)", _rate),
    Column("TTFT (seen)", _ttft),
    Column("memory", _memory),
)


SPECULATION: Final = (
    Column("speed-up", _speed),
    Column("acceptance", _acceptance),
    Column("length", _length),
    Column("K", _k),
    Column("drafted by", _drafters, justify_right=False),
    Column("fell back", _went_plain),
)


def tells_speculation(summary: Summary) -> bool:
    """Whether any configuration was served by a server that tells what it drafted."""
    return any(one.speculation is not None for one in summary.configurations.values())


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
        style = _STYLES.get(_verdict(name, figures, comparison), "")
        table.add_row(plain(name), *(plain(column.cell(name, figures, comparison)) for column in columns), style=style)
    return table


_STYLES: Final = {"faster": "green", "slower": "red", "failed": "red"}


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
