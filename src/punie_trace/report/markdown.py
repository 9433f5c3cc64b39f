"""A run, or a comparison, as markdown for a pull request or an issue: the table, the gates, and the command behind it.

What people who publish figures are asked for stands in it: machine, versions, models, how much was asked, how it was
served, a row for each configuration, a table by category, what to know before trusting it. Nothing is computed here.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from punie_trace.analysis.contrast import Contrast
from punie_trace.analysis.figure_kinds import Observed
from punie_trace.analysis.figures import Comparison, ConfigurationFigures, RunFacts, Summary
from punie_trace.analysis.gates import GateResult
from punie_trace.analysis.named_figures import comparison_of
from punie_trace.report.compare_console import (
    changed_answers,
    difference_lines,
    findings,
    right_words,
    speed_words,
    wall_after,
    wall_before,
    work_words,
)
from punie_trace.report.configuration_columns import SPECULATION, tells_speculation
from punie_trace.report.details import (
    WORK_TITLES,
    cold_and_warm,
    finish_words,
    goodput_words,
    objective_words,
    parting_lines,
    served_words,
    work_rows,
)
from punie_trace.report.gate_lines import reading_words, verdict_words
from punie_trace.report.markdown_text import block, code, items, table, text
from punie_trace.report.tables import NONE, UNSEEN
from punie_trace.report.units import duration, interval, machine, memory, number, share, span

_MOST_FINDINGS: Final = 8
_TITLES: Final = (
    "configuration",
    "median (95 %)",
    "p95",
    "speed-up (95 %)",
    "verdict",
    "right (95 %)",
    "identical",
    "time per right",
    "goodput",
    "tok/s (effective)",
    "TTFT",
    "TTFT cold / warm",
    "gens",
    "in/cached/out tokens",
    "peak memory",
)
_DEFINITIONS: Final = (
    "Times run from due to done, of queries that ended with an answer; the median is over queries. Speed-up: paired by "
    "query and round, 95 % interval of Student's t over queries, verdict after Holm's correction. Right: more than "
    "half of a query's rounds, Wilson's interval. Effective tok/s: output tokens / whole time. TTFT: where the server "
    "streams it."
)


def run_markdown(summary: Summary, folder: Path) -> str:
    """One run: facts, figures, categories, findings, and the commands that make it again."""
    parts = [f"### {code(summary.run.suite)}: {_size(summary.run)}", items([*_facts(summary.run), *_arms(summary)])]
    # By kind of work first: an average over kinds can hide that one gains and another loses.
    parts += [
        part
        for part in (
            _categories(summary),
            _figures(summary),
            _constants(summary),
            _speculation(summary),
            _work(summary),
        )
        if part
    ]
    parts += _listed("Where answers part from the baseline's", [text(one) for one in parting_lines(summary)])
    parts += _listed("Before trusting it", [text(one) for one in (*summary.findings, *summary.notes)])
    parts += [
        f"<sub>{_DEFINITIONS}</sub>",
        _commands([summary.run], f"punie-trace report {shlex.quote(str(folder))} --format markdown"),
    ]
    return "\n\n".join(parts) + "\n"


def contrast_markdown(contrast: Contrast, command: str) -> str:
    """A comparison, with `command` as what makes it again."""
    summary, reference = contrast.summary, contrast.reference
    runs = [reference.run, summary.run] if contrast.across_runs else [summary.run]
    parts = [f"### {code(summary.run.suite)}: {' against '.join(code(run.id) for run in reversed(runs))}"]
    parts += [gates_markdown(contrast.gates)] if contrast.gates else []
    parts.append(items(_facts(summary.run)))
    parts.append(_contrast_table(contrast) if summary.comparisons else "Nothing to compare: one configuration only.")
    parts += _listed("What differs between the runs", [text(one) for one in difference_lines(contrast)])
    parts += _listed("Right in one and not in the other", [text(one) for one in changed_answers(contrast)])
    parts += _listed("Remarks", [text(one) for one in contrast.remarks])
    parts += _listed("Before trusting it", [text(one) for one in (*findings(contrast), *summary.notes)])
    parts += [f"<sub>{_DEFINITIONS}</sub>", _commands(runs, command)]
    return "\n\n".join(parts) + "\n"


def gates_markdown(gates: Sequence[GateResult]) -> str:
    """A row for each gate, and what each configuration showed for it."""
    rows = [
        (
            "ok" if gate.holds else "**FAILED**",
            code(gate.gate),
            verdict_words(gate),
            "<br>".join(f"{code(one.configuration)} {text(reading_words(gate, one))}" for one in gate.readings)
            or text(gate.why),
        )
        for gate in gates
    ]
    return table(("", "gate", "verdict", "reading"), rows, (False,) * 4)


def _size(run: RunFacts) -> str:
    return run.asked


def _facts(run: RunFacts) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    facts = {
        "Run": f"{run.id}, {run.started:%Y-%m-%d}, {run.status}, seed {run.seed}, path {' and '.join(run.paths)}",
        "Model": ", ".join(run.models) + (f"; draft {', '.join(run.draft_models)}" if run.draft_models else ""),
        "Machine": machine(run.machine)
        + (f"; BLAS {', '.join(run.blas)}" if run.blas else "")
        + (f"; thermal state: {run.thermal}" if run.thermal else ""),
        "Order": run.order,
        "Stopped": run.stopping,
        "Versions": versions,
    }
    return [f"{name}: {text(value)}" for name, value in facts.items() if value]


def _arms(summary: Summary) -> list[str]:
    """How the arms were served: what makes a comparison fair or not."""
    facts = {
        "Served": served_words(summary),
        "Generations ended": finish_words(summary),
        "Objectives": objective_words(summary),
    }
    return [f"{name}: {text(value)}" for name, value in facts.items() if value]


def _work(summary: Summary) -> str:
    rows = [[code(name), *cells] for name, cells in work_rows(summary)]
    return (
        table(["relative to the baseline's", *WORK_TITLES], rows, [False, *(True for _ in WORK_TITLES)]) if rows else ""
    )


def _figures(summary: Summary) -> str:
    rows = [
        _row(name, figures, comparison_of(summary, name), baseline=name == summary.baseline)
        for name, figures in summary.configurations.items()
    ]
    return table(_TITLES, rows, [title not in ("configuration", "verdict") for title in _TITLES])


def _row(name: str, figures: ConfigurationFigures, comparison: Comparison | None, *, baseline: bool) -> list[str]:
    wall, accuracy, same, tokens = (
        figures.wall_ms,
        figures.accuracy,
        figures.answers_identical_to_baseline,
        figures.tokens,
    )
    counts = tokens.input_per_query, tokens.cached_per_query, tokens.output_per_query
    ratio, verdict = speed_words(comparison) if comparison is not None else (NONE, "baseline" if baseline else NONE)
    if figures.failure is not None:
        verdict = "failed"
    right = right_words(figures)
    rate, effective = figures.output_tokens_per_s, figures.effective_output_tokens_per_s
    return [
        code(name),
        NONE if wall is None else f"{duration(wall.median)} {span(wall.low, wall.high, duration)}".strip(),
        NONE if wall is None else duration(wall.p95),
        ratio,
        verdict,
        right if accuracy is None else f"{right} {span(accuracy.low, accuracy.high, share)}".strip(),
        NONE if same is None else f"{same.identical}/{same.of}",
        NONE if figures.time_per_correct_ms is None else duration(figures.time_per_correct_ms),
        goodput_words(figures.goodput),
        NONE if rate is None else f"{number(rate, 0)} ({number(effective, 0)})",
        _ttft(figures.ttft_ms),
        cold_and_warm(figures),
        NONE if figures.generations_per_query is None else number(figures.generations_per_query, 1),
        NONE if all(count is None for count in counts) else "/".join(number(count, 0) for count in counts),
        _memory(figures),
    ]


def _ttft(ttft: Observed) -> str:
    if ttft.value is None:
        return UNSEEN if ttft.of else NONE
    return duration(ttft.value) + (f" (seen in {ttft.n}/{ttft.of})" if ttft.n < ttft.of else "")


def _memory(figures: ConfigurationFigures) -> str:
    if figures.memory_peak_bytes is None:
        return UNSEEN if figures.outcomes else NONE
    return memory(figures.memory_peak_bytes) + (" (shared server)" if figures.memory_shared_with else "")


def _constants(summary: Summary) -> str:
    one = summary.constants
    if not one.queries:
        return ""
    return (
        f"For comparison: 'always a tool' could get {one.always_tool}/{one.queries} right, 'never a tool' "
        f"{one.never_tool}/{one.queries}."
    )


def _speculation(summary: Summary) -> str:
    if not tells_speculation(summary):
        return ""
    rows = [
        [code(name), *(text(column.cell(name, figures, comparison_of(summary, name))) for column in SPECULATION)]
        for name, figures in summary.configurations.items()
        if figures.speculation is not None
    ]
    titles = ("speculation", *(column.title for column in SPECULATION))
    return table(titles, rows, [False, *(column.justify_right for column in SPECULATION)])


def _categories(summary: Summary) -> str:
    """By category, since an average over kinds of work can hide that one gains and another loses."""
    shown = {name: figures for name, figures in summary.configurations.items() if figures.by_category}
    categories = list(dict.fromkeys(category for figures in shown.values() for category in figures.by_category))
    if len(categories) < 2:
        return ""
    rows = [[text(category), *(_category(summary, name, category) for name in shown)] for category in categories]
    titles = ["median, speed-up (95 %)", *map(code, shown)]
    return table(titles, rows, [False, *(True for _ in shown)])


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
        parts.append(f"{one.correct}/{one.queries} right")
    return ", ".join(parts)


def _contrast_table(contrast: Contrast) -> str:
    titles = (
        "configuration",
        "against",
        "median",
        "median here",
        "speed-up (95 %)",
        "verdict",
        "right",
        "right here",
        "generations",
        "tokens in each",
        "time a token",
    )
    rows = []
    for one in contrast.summary.comparisons:
        work = work_words(one) or (NONE,) * 4
        rows.append(
            (
                code(one.other),
                code(one.baseline),
                wall_before(contrast, one),
                wall_after(contrast, one),
                *speed_words(one),
                right_words(contrast.reference.configurations.get(one.baseline)),
                right_words(contrast.summary.configurations.get(one.other)),
                *work[:3],
            )
        )
    return table(titles, rows, [title not in ("configuration", "against", "verdict") for title in titles])


def _listed(title: str, texts: Sequence[str]) -> list[str]:
    if not texts:
        return []
    shown = list(texts[:_MOST_FINDINGS])
    if len(texts) > len(shown):
        shown.append(f"and {len(texts) - len(shown)} more")
    return [f"**{title}**\n\n{items(shown)}"]


def _commands(runs: Sequence[RunFacts], last: str) -> str:
    lines = [shlex.join(run.argv) for run in runs if run.argv]
    commands = "\n".join([*lines, last])
    return f"Made again by:\n\n{block(commands)}"
