"""A comparison as a document: speed, answers, what changed in the work, what differs, then the gates.

Nothing is computed here.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from punie_trace.analysis.contrast import Contrast
from punie_trace.analysis.figures import Comparison, ConfigurationFigures, Summary
from punie_trace.analysis.first_divergence import in_words
from punie_trace.report.model import (
    NONE,
    Column,
    Document,
    Facts,
    Headline,
    Items,
    Note,
    Row,
    Section,
    Table,
    Tone,
    section,
)
from punie_trace.report.turn_tables import turn_comparison_table
from punie_trace.report.units import duration, interval, machine
from punie_trace.runs.header import unique

_MOST_QUERIES: Final = 5
_TONES: Final[dict[str, Tone]] = {"faster": "good", "slower": "bad"}
WORK_COLUMNS: Final = tuple(map(Column, ("generations", "tokens in each", "time a token", "= generation time")))
_SPEED_COLUMNS: Final = (
    Column("against", numeric=False),
    Column("median"),
    Column("median here"),
    Column("speed-up (95 %)"),
    Column("verdict", numeric=False),
)
_ANSWER_COLUMNS: Final = tuple(map(Column, ("right", "right here", "gained", "lost", "identical")))


def contrast_document(contrast: Contrast, command: str = "") -> Document:
    """A comparison, with `command` as what makes it again."""
    runs = [contrast.reference, contrast.summary] if contrast.across_runs else [contrast.summary]
    words = ("first", "second") if contrast.across_runs else ("run",)
    made_by = [shlex.join(one.run.argv) for one in runs if one.run.argv]
    return Document(
        title=f"{contrast.summary.run.suite}: {' against '.join(one.run.id for one in reversed(runs))}",
        facts=Facts(tuple((word, _run(one)) for word, one in zip(words, runs, strict=True))),
        sections=tuple(_sections(contrast)),
        headline=Headline(f"{contrast.warning}.", "", "bad") if contrast.warning else None,
        gates=contrast.gates,
        commands=(*made_by, command) if command else tuple(made_by),
    )


def work_cells(comparison: Comparison) -> tuple[str, ...] | None:
    """Generations, tokens in each, time per token and generation time, each relative to the baseline's."""
    factors = comparison.generation_factors
    if factors is None:
        return None
    values = factors.generations, factors.tokens_per_generation, factors.time_per_token, factors.generation_time
    return tuple(f"{value:.2f}x" for value in values)


def _run(summary: Summary) -> str:
    run = summary.run
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    return (
        f"{run.id}, {run.started:%Y-%m-%d %H:%M}, {run.status}; {run.suite}: {run.asked}; {', '.join(run.models)}; "
        f"{machine(run.machine)}; {versions}"
    )


def _sections(contrast: Contrast) -> Iterator[Section]:
    comparisons = contrast.summary.comparisons
    if comparisons:
        yield section("speed", "Speed", _speed_table(contrast))
        yield section("answers", "Answers", _answers_table(contrast))
        rows = [(one.other, work_cells(one)) for one in comparisons]
        work = tuple(Row(name, cells or (NONE,) * len(WORK_COLUMNS)) for name, cells in rows)
        yield section("turns", "Turn by turn", turn_comparison_table(comparisons))
        if any(cells for _, cells in rows):
            yield section("work", "Work relative to the baseline's", Table(WORK_COLUMNS, work, names="configuration"))
    else:
        yield section("speed", "Speed", Note("Nothing to compare: there is no second configuration with outcomes."))
    differences = tuple(
        f"{f'{one.configuration}: ' if one.configuration else ''}{one.field}: {one.first} -> {one.second}"
        for one in contrast.differences
    )
    yield section(
        "differences",
        "What differs between the runs" if contrast.across_runs else f"What differs from {contrast.summary.baseline}",
        Items(differences, "bad"),
    )
    yield section("divergences", "Where answers first differ", Items(tuple(_divergences(contrast))))
    yield section("changed", "Right in one and not in the other", Items(tuple(_changed_answers(contrast))))
    yield section("remarks", "Remarks", Items(contrast.remarks))
    yield section("findings", "Findings", Items(_findings(contrast), "bad"))
    yield section("notes", "Notes", Items(contrast.summary.notes))


def _speed_table(contrast: Contrast) -> Table:
    rows = []
    for one in contrast.summary.comparisons:
        ratio, verdict = _speed(one)
        before = contrast.reference.configurations.get(one.baseline)
        after = contrast.summary.configurations.get(one.other)
        cells = one.baseline, _median(before), _median(after), ratio, verdict
        rows.append(Row(one.other, cells, _TONES.get(one.speed.verdict if one.speed else "", "neutral")))
    return Table(_SPEED_COLUMNS, tuple(rows), names="configuration")


def _speed(comparison: Comparison) -> tuple[str, str]:
    """The speed-up with its interval, and the verdict with what would tell where it does not."""
    speed = comparison.speed
    if speed is None:
        return NONE, "no pairs" if comparison.speed_again is None else "cannot tell (no first asks)"
    more = f" (+{speed.more_rounds} rounds)" if speed.more_rounds is not None else ""
    more = f" (+{speed.more_queries} questions)" if speed.more_queries is not None else more
    return f"{speed.estimate:.2f}x {interval(speed.low, speed.high)}".strip(), f"{speed.verdict}{more}"


def _answers_table(contrast: Contrast) -> Table:
    rows = []
    for one in contrast.summary.comparisons:
        figures = contrast.summary.configurations[one.other]
        same, accuracy = figures.answers_identical_to_baseline, one.accuracy
        cells = (
            _right(contrast.reference.configurations.get(one.baseline)),
            _right(figures),
            NONE if accuracy is None else str(len(accuracy.gained)),
            NONE if accuracy is None else str(len(accuracy.lost)),
            NONE if same is None else f"{same.identical}/{same.of}",
        )
        rows.append(Row(one.other, cells))
    return Table(_ANSWER_COLUMNS, tuple(rows), names="configuration")


def _right(figures: ConfigurationFigures | None) -> str:
    return NONE if figures is None else f"{figures.correct}/{figures.queries}"


def _median(figures: ConfigurationFigures | None) -> str:
    return NONE if figures is None or figures.wall_ms is None else duration(figures.wall_ms.median)


def _divergences(contrast: Contrast) -> Iterator[str]:
    """Where each configuration's answers first differ from what they are compared with."""
    for one in contrast.summary.comparisons:
        same = contrast.summary.configurations[one.other].answers_identical_to_baseline
        if same is not None and same.divergences:
            yield in_words(same.divergences[0], one.baseline, one.other)


def _changed_answers(contrast: Contrast) -> Iterator[str]:
    """For each configuration the queries that changed sides, and how likely so uneven a change is by chance."""
    for comparison in contrast.summary.comparisons:
        accuracy = comparison.accuracy
        if accuracy is None or not (accuracy.gained or accuracy.lost):
            continue
        sides = ("gained", accuracy.gained), ("lost", accuracy.lost)
        parts = [f"{word} {_some(queries)}" for word, queries in sides if queries]
        yield f"{comparison.other}: {'; '.join(parts)} (McNemar's exact test: p = {accuracy.p_value:.2g})"


def _findings(contrast: Contrast) -> tuple[str, ...]:
    """What to know before trusting the figures; across runs with the run it is about."""
    if not contrast.across_runs:
        return contrast.summary.findings
    both = contrast.reference, contrast.summary
    return unique(f"{one.run.id}: {finding}" for one in both for finding in one.findings)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_QUERIES
    return ", ".join(names[:_MOST_QUERIES]) + (f" and {more} more" if more > 0 else "")
