"""What console, page and markdown say in the same words: why times differ, how arms were served, where answers part.

Texts and rows of texts only; who shows them escapes them. Nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence

from punie_trace.analysis.figure_kinds import Observed
from punie_trace.analysis.figures import ConfigurationFigures, Goodput, Summary
from punie_trace.analysis.parting import in_words
from punie_trace.report.compare_console import work_words
from punie_trace.report.units import duration, share

MOST_PARTINGS = 5

WORK_TITLES = ("generations", "tokens in each", "time a token", "= generation time")
PATH_TITLES = ("waited for", "of the query", "saves at most", "spans")


def work_rows(summary: Summary) -> list[tuple[str, Sequence[str]]]:
    """For each configuration what of its generation time differs from the baseline's, as factors."""
    rows = [(one.other, work_words(one)) for one in summary.comparisons]
    return [(name, words) for name, words in rows if words is not None]


def path_title(summary: Summary) -> str:
    """Which query the path is of; '' where there is none."""
    one = summary.slowest
    if one is None or not one.parts:
        return ""
    return (
        f"What the slowest query waited for: {one.query}, {one.configuration}, round {one.round}, {duration(one.wall)}"
    )


def path_rows(summary: Summary) -> list[tuple[str, Sequence[str]]]:
    """The parts of the slowest query's critical path."""
    one = summary.slowest
    if one is None:
        return []
    return [
        (
            part.name,
            (
                duration(part.on_path),
                share(part.on_path / one.wall if one.wall else 0.0),
                _saves(part.saves),
                str(part.spans),
            ),
        )
        for part in one.parts
    ]


def parting_lines(summary: Summary) -> list[str]:
    """Where answers that are not the baseline's to the letter part from them, first places first."""
    lines = []
    for name, figures in summary.configurations.items():
        same = figures.answers_identical_to_baseline
        if same is None or not same.different:
            continue
        shown = same.partings[:MOST_PARTINGS]
        lines += [f"{name}: {in_words(one, summary.baseline or 'the baseline', name)}" for one in shown]
        if len(same.different) > len(shown):
            lines.append(f"{name}: and {len(same.different) - len(shown)} more queries, see summary.json")
    return lines


def served_words(summary: Summary) -> str:
    """Which configurations were served in batches and which one request at a time, as far as that is known."""
    kinds = {True: "in batches", False: "one request at a time"}
    parts = []
    for batched, words in kinds.items():
        names = [name for name, one in summary.configurations.items() if one.batched is batched]
        if names:
            parts.append(f"{words}: {', '.join(names)}")
    return "; ".join(parts)


def finish_words(summary: Summary) -> str:
    """Why generations ended, and how many did so, over all configurations; by configuration where one was cut off."""
    total: dict[str, int] = {}
    for figures in summary.configurations.values():
        for reason, count in figures.finish_reasons.items():
            total[reason] = total.get(reason, 0) + count
    return ", ".join(f"{reason} {count}" for reason, count in total.items())


def goodput_words(goodput: Goodput | None) -> str:
    """The goodput as text: share and count."""
    if goodput is None:
        return "-"
    return "not observable" if goodput.value is None else f"{share(goodput.value)} ({goodput.good}/{goodput.of})"


def objective_words(summary: Summary) -> str:
    """What a query had to meet, for the remark below the tables; '' where nothing but to be right."""
    for figures in summary.configurations.values():
        if figures.goodput is not None and figures.goodput.objectives:
            names = {"wall_s": "wall time", "ttft_s": "time to first token"}
            asked = [f"{names.get(key, key)} <= {value:g} s" for key, value in figures.goodput.objectives.items()]
            return f"goodput: right, and {' and '.join(asked)}"
    return ""


def cold_and_warm(figures: ConfigurationFigures) -> str:
    """Times to first token of cold and of warm generations."""
    return f"{_first(figures.ttft_cold_ms)} / {_first(figures.ttft_warm_ms)}"


def _first(one: Observed | None) -> str:
    return "-" if one is None or one.value is None else f"{duration(one.value)} ({one.n})"


def _saves(ms: float) -> str:
    return duration(ms) if ms > 0 else "nothing"
