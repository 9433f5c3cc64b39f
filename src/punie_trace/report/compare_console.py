"""A comparison on a terminal or in the log of a build: speed, answers, what changed in the work, then the gates.

Nothing is computed here. All text that comes from runs goes through `plain`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from punie_trace.analysis.contrast import Contrast
from punie_trace.analysis.figures import Comparison, ConfigurationFigures
from punie_trace.analysis.gates import GateResult
from punie_trace.analysis.parting import in_words
from punie_trace.report.gate_lines import gate_lines
from punie_trace.report.tables import NONE, new_table, plain, print_list, print_table, unpadded
from punie_trace.report.units import duration, interval, machine
from punie_trace.runs.header import unique

_MOST_QUERIES: Final = 5
_STYLES: Final = {"faster": "green", "slower": "red"}


def print_contrast(contrast: Contrast, console: Console) -> None:
    """Everything of a comparison, gates last, so that they end the log."""
    with unpadded(console):
        _print_contrast(contrast, console)
    print_gates(contrast.gates, console)


def _print_contrast(contrast: Contrast, console: Console) -> None:
    _print_runs(contrast, console)
    if contrast.summary.comparisons:
        print_table("Speed", _speed_table(contrast), console)
        print_table("Answers", _answers_table(contrast), console)
        _print_work(contrast, console)
    else:
        console.print()
        console.print(plain("Nothing to compare: there is no second configuration with outcomes.", "yellow"))
    print_list("What differs between the runs", difference_lines(contrast), console, "yellow")
    for line in contrast_partings(contrast):
        console.print(plain(f"  {line}", "dim"), soft_wrap=True)
    print_list("Right in one and not in the other", changed_answers(contrast), console)
    print_list("Remarks", contrast.remarks, console)
    print_list("Findings", findings(contrast), console, "yellow")


def print_gates(gates: Sequence[GateResult], console: Console) -> None:
    """Each gate with its reading; nothing where there is none."""
    if not gates:
        return
    console.print()
    console.print(Text("Gates", style="bold"))
    for line in gate_lines(gates):
        style = "red" if line.startswith("FAILED") else "green" if line.startswith("ok") else ""
        console.print(plain(line, style), soft_wrap=True)


def difference_lines(contrast: Contrast) -> list[str]:
    """Each field in which the runs differ, both values beside it."""
    return [
        f"{f'{one.configuration}: ' if one.configuration else ''}{one.field}: {one.first} -> {one.second}"
        for one in contrast.differences
    ]


def changed_answers(contrast: Contrast) -> list[str]:
    """For each configuration the queries that changed sides, and how likely so uneven a change is by chance."""
    lines = []
    for comparison in contrast.summary.comparisons:
        accuracy = comparison.accuracy
        if accuracy is None or not (accuracy.gained or accuracy.lost):
            continue
        parts = [
            f"{word} {_some(queries)}"
            for word, queries in (("gained", accuracy.gained), ("lost", accuracy.lost))
            if queries
        ]
        lines.append(f"{comparison.other}: {'; '.join(parts)} (McNemar's exact test: p = {accuracy.p_value:.2g})")
    return lines


def contrast_partings(contrast: Contrast) -> list[str]:
    """Where each configuration's answers first part from what they are compared with."""
    lines = []
    for one in contrast.summary.comparisons:
        same = contrast.summary.configurations[one.other].answers_identical_to_baseline
        if same is not None and same.partings:
            lines.append(f"answers part: {in_words(same.partings[0], one.baseline, one.other)}")
    return lines


def wall_before(contrast: Contrast, comparison: Comparison) -> str:
    """The baseline's median, as text."""
    return _median(contrast.reference.configurations.get(comparison.baseline))


def wall_after(contrast: Contrast, comparison: Comparison) -> str:
    """The other's median, as text."""
    return _median(contrast.summary.configurations.get(comparison.other))


def speed_words(comparison: Comparison) -> tuple[str, str]:
    """The speed-up with its interval, and the verdict with what would tell where it does not."""
    speed = comparison.speed
    if speed is None:
        return NONE, "no pairs"
    more = f" ({speed.more_rounds} more rounds may)" if speed.more_rounds is not None else ""
    return f"{speed.estimate:.2f}x {interval(speed.low, speed.high)}".strip(), f"{speed.verdict}{more}"


def work_words(comparison: Comparison) -> tuple[str, str, str, str] | None:
    """Generations, tokens in each, time per token and generation time, each relative to the baseline's."""
    factors = comparison.generation_factors
    if factors is None:
        return None
    values = factors.generations, factors.tokens_per_generation, factors.time_per_token, factors.generation_time
    first, second, third, fourth = (f"{value:.2f}x" for value in values)
    return first, second, third, fourth


def right_words(figures: ConfigurationFigures | None) -> str:
    """Right answers of asked, as text."""
    return NONE if figures is None else f"{figures.correct}/{figures.queries}"


def _print_runs(contrast: Contrast, console: Console) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    runs = [("run", contrast.summary)]
    if contrast.across_runs:
        runs = [("first", contrast.reference), ("second", contrast.summary)]
    for word, summary in runs:
        run = summary.run
        facts = f"{run.id}, {run.started:%Y-%m-%d %H:%M}, {run.status}; {run.suite}: {run.queries} queries x "
        table.add_row(word, plain(f"{facts}{run.rounds} rounds; {', '.join(run.models)}; {machine(run.machine)}"))
    console.print(Text("punie_trace: comparison", style="bold"))
    console.print(table)


def _speed_table(contrast: Contrast) -> Table:
    table = new_table()
    for title in ("against", "median", "median here", "speed-up (95 %)", "verdict"):
        left = title in ("against", "verdict")
        table.add_column(title, justify="left" if left else "right", overflow="fold")
    for one in contrast.summary.comparisons:
        ratio, verdict = speed_words(one)
        cells = one.other, one.baseline, wall_before(contrast, one), wall_after(contrast, one), ratio, verdict
        style = _STYLES.get(one.speed.verdict, "") if one.speed is not None else ""
        table.add_row(*map(plain, cells), style=style)
    return table


def _answers_table(contrast: Contrast) -> Table:
    table = new_table()
    for title in ("right", "right here", "gained", "lost", "identical"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in contrast.summary.comparisons:
        figures = contrast.summary.configurations[one.other]
        same, accuracy = figures.answers_identical_to_baseline, one.accuracy
        cells = (
            one.other,
            right_words(contrast.reference.configurations.get(one.baseline)),
            right_words(figures),
            NONE if accuracy is None else str(len(accuracy.gained)),
            NONE if accuracy is None else str(len(accuracy.lost)),
            NONE if same is None else f"{same.identical}/{same.of}",
        )
        table.add_row(*map(plain, cells))
    return table


def _print_work(contrast: Contrast, console: Console) -> None:
    rows = [(one.other, work_words(one)) for one in contrast.summary.comparisons]
    if not any(words for _, words in rows):
        return
    table = new_table()
    for title in ("generations", "tokens in each", "time a token", "= generation time"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, words in rows:
        table.add_row(plain(name), *map(plain, words or (NONE,) * 4))
    print_table("Work relative to the baseline's", table, console)


def findings(contrast: Contrast) -> list[str]:
    """What to know before trusting the figures; across runs with the run it is about."""
    if not contrast.across_runs:
        return list(contrast.summary.findings)
    both = contrast.reference, contrast.summary
    return list(unique(f"{one.run.id}: {finding}" for one in both for finding in one.findings))


def _median(figures: ConfigurationFigures | None) -> str:
    return NONE if figures is None or figures.wall_ms is None else duration(figures.wall_ms.median)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_QUERIES
    return ", ".join(names[:_MOST_QUERIES]) + (f" and {more} more" if more > 0 else "")
