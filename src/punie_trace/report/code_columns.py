"""Code mode in a report: its columns, what a configuration takes more or less than the baseline, and a line for each.

As in `configuration_columns`, each column is registered once, and nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from punie_trace.analysis.figure_kinds import GenerationParts, WorkDifference
from punie_trace.analysis.figures import Comparison, ConfigurationFigures, Summary
from punie_trace.analysis.named_figures import comparison_of
from punie_trace.report.configuration_columns import column
from punie_trace.report.model import NONE
from punie_trace.report.registry import ConfigurationRow
from punie_trace.report.units import duration, number

code = partial(column, "Code mode")
difference = partial(column, "More or less than the baseline, a query")


@code("ran code")
def _ran(row: ConfigurationRow) -> str:
    one = row.figures.code
    return NONE if one is None else f"{one.queries}/{one.of}"


@code("runs a query")
def _runs(row: ConfigurationRow) -> str:
    one = row.figures.code
    return NONE if one is None else number(one.runs_per_query, 1)


@code("calls from code")
def _calls(row: ConfigurationRow) -> str:
    one = row.figures.code
    return NONE if one is None else number(one.calls_per_query, 1)


@code("its tools")
def _tools(row: ConfigurationRow) -> str:
    ledger = row.figures.ledger_ms
    return NONE if ledger is None or row.figures.code is None else duration(ledger.tool - ledger.sandbox)


@code("sandbox")
def _sandbox(row: ConfigurationRow) -> str:
    ledger = row.figures.ledger_ms
    return NONE if ledger is None or row.figures.code is None else duration(ledger.sandbox)


@code("hidden behind generation")
def _hidden(row: ConfigurationRow) -> str:
    ledger = row.figures.ledger_ms
    return NONE if ledger is None or not ledger.hidden else duration(ledger.hidden)


@code("runs that were stopped", numeric=False)
def _stopped(row: ConfigurationRow) -> str:
    return NONE if row.figures.code is None else _problems(row.figures)


def _problems(figures: ConfigurationFigures) -> str:
    problems = figures.code.problems if figures.code is not None else {}
    return ", ".join(f"{kind} {count}" for kind, count in problems.items()) or "none"


def _of_difference(title: str, show: Callable[[WorkDifference], str]) -> None:
    def cell(row: ConfigurationRow) -> str:
        found = row.comparison.difference if row.comparison is not None else None
        return NONE if found is None else show(found)

    difference(title)(cell)


def _of_parts(title: str, value: Callable[[GenerationParts], float]) -> None:
    _of_difference(
        title, lambda one: NONE if one.generation_parts is None else signed_duration(value(one.generation_parts))
    )


def signed_duration(value_ms: float) -> str:
    """A difference in time with its sign: '-1.2 s'."""
    return f"{'-' if value_ms < 0 else '+'}{duration(abs(value_ms))}"


def _signed(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:+.{digits}f}"


_of_difference("generations", lambda one: _signed(one.generations, 1))
_of_difference("tokens in", lambda one: _signed(one.input_tokens, 0))
_of_difference("tokens out", lambda one: _signed(one.output_tokens, 0))
_of_difference("time", lambda one: signed_duration(one.wall_ms))
_of_difference("generation", lambda one: signed_duration(one.generation_ms))
_of_parts("by generations", lambda one: one.generations_ms)
_of_parts("by tokens in each", lambda one: one.tokens_ms)
_of_parts("by time a token", lambda one: one.token_time_ms)
_of_difference("tools", lambda one: signed_duration(one.tools_ms))
_of_difference("sandbox", lambda one: signed_duration(one.sandbox_ms))
_of_difference("framework", lambda one: signed_duration(one.framework_ms))


def code_lines(summary: Summary) -> Iterator[str]:
    """A line for each configuration in code mode: what it did, and what that is against the baseline's calls."""
    for name, figures in summary.configurations.items():
        if figures.tools != "code" or not figures.outcomes:
            continue
        if figures.code is None:
            yield f"{name}: the model wrote no code in any of its answered queries"
            continue
        used = figures.code
        comparison = comparison_of(summary, name)
        against = "" if comparison is None else _against(comparison)
        yield (
            f"{name}: code ran in {used.queries} of {used.of} answered queries and made {used.calls_per_query:.1f} "
            f"calls a query{against}; runs that were refused or stopped: {_problems(figures)}"
        )


def _against(comparison: Comparison) -> str:
    one = comparison.difference
    if one is None:
        return ""
    parts = [f"{_signed(one.generations, 1)} generations"]
    parts += [
        f"{_signed(tokens, 0)} tokens {where}"
        for where, tokens in (("in", one.input_tokens), ("out", one.output_tokens))
        if tokens is not None
    ]
    lines = ", ".join(
        f"{word} {signed_duration(value)}"
        for word, value in (
            ("generation", one.generation_ms),
            ("tools", one.tools_ms),
            ("sandbox", one.sandbox_ms),
            ("framework", one.framework_ms),
        )
    )
    return (
        f"; a query takes, against {comparison.baseline}, {', '.join(parts)} and {signed_duration(one.wall_ms)} "
        f"({lines})"
    )
