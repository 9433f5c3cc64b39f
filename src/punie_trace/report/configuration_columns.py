"""The package's own columns of the tables that have a row for each configuration: titles, and what each cell says.

Each is registered once, and stands in console, markdown and page alike. Nothing is computed or printed here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from punie_trace.analysis.figure_kinds import Observed
from punie_trace.analysis.named_figures import failed_queries
from punie_trace.report.model import NONE, UNSEEN
from punie_trace.report.registry import ConfigurationRow, Show, register_column
from punie_trace.report.units import duration, interval, memory, number, share, span


def column(group: str, title: str, *, numeric: bool = True, on_screen: bool = False) -> Callable[[Show], Show]:
    """Register the function below as the column's."""

    def register(show: Show) -> Show:
        register_column(group, title, show, numeric=numeric, on_screen=on_screen)
        return show

    return register


speed = partial(column, "Speed")
accuracy = partial(column, "Accuracy")
per_right = partial(column, "Right answers with speed")
ledger = partial(column, "Where the time goes")
work = partial(column, "Work")
speculation = partial(column, "Speculation")


def _mark(row: ConfigurationRow, figure: str) -> str:
    """A dagger where the client itself may have made the figure what it is; the findings say how."""
    client = row.figures.client
    return "\u2020" if client is not None and figure in client.affected else ""


@speed("median (95 %)", on_screen=True)
def _wall(row: ConfigurationRow) -> str:
    wall = row.figures.wall_ms
    if wall is None:
        return NONE
    return f"{duration(wall.median)}{_mark(row, 'wall_ms')} {span(wall.low, wall.high, duration)}".strip()


@speed("p95")
def _p95(row: ConfigurationRow) -> str:
    wall = row.figures.wall_ms
    return NONE if wall is None else duration(wall.p95) + _mark(row, "wall_ms")


@speed("speed-up (95 %)", on_screen=True)
def speed_up(row: ConfigurationRow) -> str:
    """How many times as fast as the baseline, with its interval."""
    found = row.comparison.speed if row.comparison is not None else None
    return NONE if found is None else f"{found.estimate:.2f}x {interval(found.low, found.high)}".strip()


@speed("verdict", numeric=False, on_screen=True)
def verdict(row: ConfigurationRow) -> str:
    """Who is faster, in a word."""
    return row.verdict


@accuracy("right (95 %)", on_screen=True)
def _right(row: ConfigurationRow) -> str:
    one = row.figures.accuracy
    if one is None:
        return NONE
    return f"{row.figures.correct}/{row.figures.queries} {span(one.low, one.high, share)}".strip()


@accuracy("vs base")
def _against(row: ConfigurationRow) -> str:
    if row.comparison is None or row.comparison.accuracy is None:
        return NONE
    gained, lost = len(row.comparison.accuracy.gained), len(row.comparison.accuracy.lost)
    return f"+{gained} -{lost}" if gained or lost else "same"


@accuracy("identical")
def _identical(row: ConfigurationRow) -> str:
    same = row.figures.answers_identical_to_baseline
    return NONE if same is None else f"{same.identical}/{same.of}"


@accuracy("failed")
def _failed(row: ConfigurationRow) -> str:
    return f"{failed_queries(row.figures)}/{row.figures.outcomes}"


@per_right("time per right answer")
def _per_right(row: ConfigurationRow) -> str:
    time = row.figures.time_per_correct_ms
    return NONE if time is None else duration(time)


@per_right("goodput")
def _goodput(row: ConfigurationRow) -> str:
    one = row.figures.goodput
    if one is None:
        return NONE
    return UNSEEN if one.value is None else f"{share(one.value)} ({one.good}/{one.of})"


@per_right("TTFT cold / warm")
def _cold_and_warm(row: ConfigurationRow) -> str:
    return f"{_first(row.figures.ttft_cold_ms)} / {_first(row.figures.ttft_warm_ms)}"


def _first(one: Observed | None) -> str:
    return NONE if one is None or one.value is None else f"{duration(one.value)} ({one.n})"


@ledger("mean")
def _mean(row: ConfigurationRow) -> str:
    return NONE if row.figures.ledger_ms is None else duration(row.figures.ledger_ms.wall)


def _line(line: str, row: ConfigurationRow) -> str:
    shares = row.figures.ledger_share
    return NONE if shares is None else f"{getattr(shares, line):.1%}{_mark(row, f'ledger_ms.{line}')}"


for _title, _name in (
    ("queue", "client_queue"),
    ("generation", "generation"),
    ("tool", "tool"),
    ("framework", "framework"),
):
    ledger(_title)(partial(_line, _name))


@work("gens")
def _generations(row: ConfigurationRow) -> str:
    count = row.figures.generations_per_query
    return NONE if count is None else number(count, 1)


@work("in/cached/out")
def _tokens(row: ConfigurationRow) -> str:
    tokens = row.figures.tokens
    parts = tokens.input_per_query, tokens.cached_per_query, tokens.output_per_query
    return NONE if all(part is None for part in parts) else "/".join(number(part, 0) for part in parts)


@work("tok/s (eff.)", on_screen=True)
def _rate(row: ConfigurationRow) -> str:
    rates = row.figures.output_tokens_per_s, row.figures.effective_output_tokens_per_s
    return NONE if rates[0] is None else f"{number(rates[0], 0)} ({number(rates[1], 0)})"


@work("TTFT (seen)", on_screen=True)
def _ttft(row: ConfigurationRow) -> str:
    one = row.figures.ttft_ms
    if not one.of:
        return NONE
    return UNSEEN if one.value is None else f"{duration(one.value)}{_mark(row, 'ttft_ms')} ({one.n}/{one.of})"


@work("memory", on_screen=True)
def _memory(row: ConfigurationRow) -> str:
    peak = row.figures.memory_peak_bytes
    if peak is None:
        return UNSEEN if row.figures.outcomes else NONE
    return memory(peak) + ("*" if row.figures.memory_shared_with else "")


@speculation("speed-up")
def _speed(row: ConfigurationRow) -> str:
    found = row.comparison.speed if row.comparison is not None else None
    return NONE if found is None else f"{found.estimate:.2f}x"


@speculation("acceptance")
def _acceptance(row: ConfigurationRow) -> str:
    one = row.figures.speculation
    if one is None:
        return UNSEEN if row.figures.num_draft_tokens is not None and row.figures.outcomes else NONE
    return NONE if one.acceptance is None else f"{one.acceptance:.1%}"


@speculation("length")
def _length(row: ConfigurationRow) -> str:
    one = row.figures.speculation
    return NONE if one is None or one.mean_length is None else number(one.mean_length, 2)


@speculation("K")
def _k(row: ConfigurationRow) -> str:
    one, fixed = row.figures.speculation, row.figures.num_draft_tokens
    if one is not None and one.mean_k is not None:
        return number(one.mean_k, 2)
    return NONE if fixed is None else str(fixed)


@speculation("drafter", numeric=False)
def _drafters(row: ConfigurationRow) -> str:
    one = row.figures.speculation
    return NONE if one is None or not one.drafters else ", ".join(one.drafters)


@speculation("fallback")
def _fallback(row: ConfigurationRow) -> str:
    one = row.figures.speculation
    return NONE if one is None else f"{sum(one.fallbacks.values())}/{one.generations}"
