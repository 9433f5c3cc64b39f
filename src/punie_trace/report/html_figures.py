"""The parts of the page that show a summary: verdicts, what to know, speed-ups, tables, definitions.

Where the time goes is drawn in `html_time`. Nothing is computed here.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from punie_trace.analysis.figures import Comparison, ConfigurationFigures, Summary
from punie_trace.report import svg
from punie_trace.report.configuration_columns import (
    ACCURACY,
    LEDGER,
    PER_RIGHT,
    SPECULATION,
    SPEED,
    WORK,
    Column,
    tells_speculation,
)
from punie_trace.report.details import (
    WORK_TITLES,
    finish_words,
    objective_words,
    parting_lines,
    served_words,
    work_rows,
)
from punie_trace.report.headline import headline
from punie_trace.report.html_text import NOT_OBSERVABLE, items, note, pairs, section, table, tag, text, unbroken
from punie_trace.report.units import duration, interval, machine, memory, share, span

_MOST_PROBLEMS: Final = 100
_TONES: Final = {"faster": "good", "slower": "bad", "failed": "bad"}


def first_screen(summary: Summary) -> str:
    """What the run was, its verdict in a sentence, and a card for each configuration."""
    run = summary.run
    said = headline(summary)
    facts = f"{run.suite}: {run.asked}"
    about = (
        tag("p", f"{tag('b', 'punie_trace')} {text(run.id)}", "brand")
        + tag("p", text(f"{run.started:%Y-%m-%d %H:%M %Z}".rstrip() + f", {run.status}. {facts}"), "note")
        + tag("p", text(", ".join((*run.models, machine(run.machine)))), "note")
    )
    verdict = tag("h1", unbroken(text(said.text)), said.tone) + (
        tag("p", text(said.detail), "detail") if said.detail else ""
    )
    comparisons = {one.other: one for one in summary.comparisons}
    cards = "".join(_card(name, one, comparisons.get(name), summary) for name, one in summary.configurations.items())
    return tag("header", about + verdict + tag("div", cards, "cards"))


def _card(name: str, figures: ConfigurationFigures, comparison: Comparison | None, summary: Summary) -> str:
    verdict = verdict_of(name, figures, comparison, summary)
    badge = tag("span", text(verdict), f"badge {_TONES.get(verdict, 'neutral')}")
    speed = comparison.speed if comparison is not None else None
    if speed is not None:
        big = f"{speed.estimate:.2f}x"
        beside = interval(speed.low, speed.high)
    else:
        big = duration(figures.wall_ms.median) if figures.wall_ms is not None else "-"
        beside = "median" if figures.wall_ms is not None else ""
    parts = []
    if speed is not None and figures.wall_ms is not None:
        parts.append(f"median {duration(figures.wall_ms.median)}")
    if figures.accuracy is not None:
        bounds = span(figures.accuracy.low, figures.accuracy.high, share)
        parts.append(f"{figures.correct}/{figures.queries} right {bounds}".rstrip())
    return tag(
        "div",
        tag("p", tag("b", text(name)) + badge, "name")
        + tag("p", tag("strong", text(big)) + tag("span", text(beside), "note"), "big")
        + tag("p", unbroken(text(", ".join(parts))), "note"),
        "card",
    )


def verdict_of(name: str, figures: ConfigurationFigures, comparison: Comparison | None, summary: Summary) -> str:
    """The word for one configuration."""
    if figures.failure is not None:
        return "failed"
    if comparison is not None:
        return comparison.speed.verdict if comparison.speed is not None else "no pairs"
    if not figures.outcomes:
        return "not measured"
    return "baseline" if name == summary.baseline else "no pairs"


def what_to_know(summary: Summary) -> str:
    """Findings and advice, which bear on how far the verdict may be trusted."""
    constants = summary.constants
    line = (
        f"For comparison: 'always a tool' could get {constants.always_tool}/{constants.queries} right, "
        f"'never a tool' {constants.never_tool}/{constants.queries}."
        if constants.queries
        else ""
    )
    findings = items([*summary.ledger_errors, *summary.findings], "findings")
    advice = tag("h3", "What would help") + items(one.text for one in summary.advice) if summary.advice else ""
    return section("findings", "What to know before trusting this", findings, note(line), advice)


def speed_ups(summary: Summary) -> str:
    """Each configuration's speed-up with its interval, over all queries and by category."""
    shown = [(one, one.speed) for one in summary.comparisons if one.speed is not None]
    if not shown:
        return ""
    bounds = [value for _, speed in shown for value in (speed.estimate, speed.low, speed.high)]
    for one, _ in shown:
        bounds += [value for part in one.speed_by_category.values() for value in (part.value, part.low, part.high)]
    scale = svg.scale_for([1.0, *(value for value in bounds if value is not None)], from_zero=False)
    rows = []
    for one, speed in shown:
        said = f"{speed.estimate:.2f}x {interval(speed.low, speed.high)} {speed.verdict}"
        drawn = svg.interval_line(scale, speed.estimate, speed.low, speed.high, _tone(speed.verdict), said)
        rows.append(_line(tag("b", text(one.other)), drawn, said) + note(speed.note))
        if len(one.speed_by_category) > 1:
            for category, figure in one.speed_by_category.items():
                said = f"{figure.value:.2f}x {interval(figure.low, figure.high)} {_count(figure.n)}"
                drawn = svg.interval_line(scale, figure.value, figure.low, figure.high, "neutral", said)
                rows.append(_line(tag("span", text(category), "part"), drawn, said))
    ticks = [(value, f"{value:g}x") for value in scale.ticks()]
    return section(
        "speed-up",
        f"How many times as fast as {summary.baseline}",
        tag("div", "".join(rows) + _line("", svg.axis(scale, ticks, "times as fast"), ""), "plot"),
        note(f"speed-up: {summary.definitions['speed-up']}. The line at 1x is 'no difference'."),
    )


def _line(name: str, drawn: str, said: str) -> str:
    return tag("div", tag("p", name) + tag("div", drawn) + tag("p", unbroken(text(said)), "note"), "line")


def work_factors(summary: Summary) -> str:
    """What of a difference is fewer generations, fewer tokens, faster tokens."""
    rows = work_rows(summary)
    if not rows:
        return ""
    return section(
        "work",
        f"What the difference from {summary.baseline} is made of",
        table(WORK_TITLES, rows),
        note("Each as a ratio to the baseline's, of totals over the pairs (below 1x: less). The first three multiply."),
    )


def where_answers_part(summary: Summary) -> str:
    """The first place where each answer differs from the baseline's."""
    return section("partings", "Where answers part from the baseline's", items(parting_lines(summary)))


def all_figures(summary: Summary) -> str:
    """The tables that the console prints, with a row for each configuration."""
    groups = [
        ("Speed", SPEED),
        ("Accuracy", ACCURACY),
        ("Right answers with speed", PER_RIGHT),
        ("Where the time goes", LEDGER),
        ("Work", WORK),
    ]
    if tells_speculation(summary):
        groups.append(("Speculation", SPECULATION))
    written = "".join(tag("h3", title) + _figures_table(columns, summary) for title, columns in groups)
    shared = any(
        one.memory_shared_with and one.memory_peak_bytes is not None for one in summary.configurations.values()
    )
    kinds = dict.fromkeys(one.memory_kind for one in summary.configurations.values() if one.memory_kind)
    remarks = [f"memory: {', '.join(kinds)}"] if kinds else []
    if shared:
        remarks.append("* of the one process that served more than this configuration")
    return section(
        "figures", "All figures", written, note("; ".join(remarks)), _categories(summary), _problems(summary)
    )


def _figures_table(columns: Sequence[Column], summary: Summary) -> str:
    comparisons = {one.other: one for one in summary.comparisons}
    return table(
        [column.title for column in columns],
        (
            (name, [column.cell(name, figures, comparisons.get(name)) for column in columns])
            for name, figures in summary.configurations.items()
        ),
    )


def _categories(summary: Summary) -> str:
    categories = list(dict.fromkeys(name for one in summary.configurations.values() for name in one.by_category))
    if len(categories) < 2:
        return ""
    speeds = {one.other: one.speed_by_category for one in summary.comparisons}
    rows = []
    for category in categories:
        cells = []
        for name, figures in summary.configurations.items():
            one = figures.by_category.get(category)
            if one is None:
                cells.append("-")
                continue
            parts = ["-" if one.wall_ms_median is None else duration(one.wall_ms_median)]
            speed = speeds.get(name, {}).get(category)
            if speed is not None:
                parts.append(f"{speed.value:.2f}x")
            parts.append(f"{one.correct}/{one.queries}")
            cells.append(", ".join(parts))
        rows.append((category, cells))
    return tag("h3", "By category: median, speed-up, right") + table(list(summary.configurations), rows)


def _problems(summary: Summary) -> str:
    rows = [
        (
            problem.query,
            [
                name,
                problem.category,
                ", ".join(f"{verdict} {count}/{problem.rounds}" for verdict, count in problem.verdicts.items()),
                problem.error or "",
            ],
        )
        for name, figures in summary.configurations.items()
        for problem in figures.problems
    ]
    if not rows:
        return ""
    more = len(rows) - _MOST_PROBLEMS
    return (
        tag("h3", "Not right in every round")
        + table(["configuration", "category", "verdicts", "error"], rows[:_MOST_PROBLEMS])
        + note(f"and {more} more: see summary.json" if more > 0 else "")
    )


def definitions(summary: Summary) -> str:
    """How each figure is defined, and how the run was made."""
    run = summary.run
    return section("definitions", "How each figure is defined", pairs(summary.definitions.items())) + section(
        "run",
        "About this run",
        pairs(
            (
                ("run", run.id),
                ("made with", shlex.join(run.argv)),
                ("suite", f"{run.suite} ({run.suite_digest})"),
                ("seed", str(run.seed)),
                ("path", " and ".join(run.paths)),
                ("order", run.order),
                ("stopped", run.stopping),
                ("served", served_words(summary)),
                ("generations ended", finish_words(summary)),
                ("thermal state", run.thermal),
                ("objectives", objective_words(summary)),
                ("model", ", ".join(run.models)),
                ("draft", ", ".join(run.draft_models)),
                ("machine", machine(run.machine)),
                ("BLAS", ", ".join(run.blas)),
                ("versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
                ("memory", _memory(summary)),
            )
        ),
        items(summary.notes, "note"),
    )


def _memory(summary: Summary) -> str:
    return ", ".join(
        f"{name} {NOT_OBSERVABLE if one.memory_peak_bytes is None else memory(one.memory_peak_bytes)}"
        for name, one in summary.configurations.items()
        if one.outcomes
    )


def _tone(verdict: str) -> str:
    return _TONES.get(verdict, "neutral")


def _count(queries: int) -> str:
    return "(1 query)" if queries == 1 else f"({queries} queries)"
