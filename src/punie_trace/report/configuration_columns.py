"""The package's own columns of the tables that have a row for each configuration: titles, and what each cell says.

Each is registered once, and stands in console, markdown and page alike. Nothing is computed or printed here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from punie_trace.analysis.figure_kinds import Observed
from punie_trace.analysis.named_figures import failed_queries
from punie_trace.report.model import NONE, UNSEEN
from punie_trace.report.registry import SCREEN, ConfigurationRow, Show, register_column
from punie_trace.report.units import duration, interval, memory, number, share, span


def column(group: str, title: str, *, numeric: bool = True) -> Callable[[Show], Show]:
    """Register the function below as the column's."""

    def register(show: Show) -> Show:
        register_column(group, title, show, numeric=numeric)
        return show

    return register


screen = partial(column, SCREEN)
speed = partial(column, "Speed")
accuracy = partial(column, "Accuracy")
per_right = partial(column, "Right answers with speed")
ledger = partial(column, "Where the time goes")
work = partial(column, "Work")


def _mark(row: ConfigurationRow, figure: str) -> str:
    """A dagger where the client itself may have made the figure what it is; the findings say how."""
    client = row.figures.client
    return "\u2020" if client is not None and figure in client.affected else ""


@screen("right")
def _right_of(row: ConfigurationRow) -> str:
    return NONE if row.figures.accuracy is None else f"{row.figures.correct}/{row.figures.queries}"


@screen("median")
def _median(row: ConfigurationRow) -> str:
    """Of what tells of speed; with '~' of all, where nothing was asked first."""
    figures = row.figures
    if figures.wall_ms is None:
        return NONE
    first = figures.first_asks_ms
    shown = f"{duration(first.value)}" if first is not None else f"~{duration(figures.wall_ms.median)}"
    return shown + _mark(row, "wall_ms") + _left_out(row)


def _left_out(row: ConfigurationRow) -> str:
    """Of how many a time is, where errors and timeouts were left out of it."""
    failed = failed_queries(row.figures)
    return f" of {row.figures.outcomes - failed}/{row.figures.outcomes}" if failed else ""


@screen("speed-up (95 %)")
def _speed_up_briefly(row: ConfigurationRow) -> str:
    found = row.comparison.speed if row.comparison is not None else None
    if found is None:
        return NONE
    bounds = "" if found.low is None or found.high is None else f" ({_brief(found.low)}-{_brief(found.high)})"
    return f"{_brief(found.estimate)}x{bounds}"


def _brief(ratio: float) -> str:
    """Two significant figures where that is enough: a report in full has more."""
    return f"{ratio:.1f}" if ratio >= 9.95 else f"{ratio:.2f}"


@screen("verdict", numeric=False)
def _verdict_on_screen(row: ConfigurationRow) -> str:
    return row.verdict


@screen("TTFT")
def _ttft_briefly(row: ConfigurationRow) -> str:
    one = row.figures.ttft_ms
    if one.value is None:
        return NONE if not one.of else "unseen"
    return duration(one.value) + _mark(row, "ttft_ms")


@screen("tok/s")
def _rate_briefly(row: ConfigurationRow) -> str:
    rate = row.figures.output_tokens_per_s
    return NONE if rate is None else number(rate, 0)


@screen("memory")
def _memory_on_screen(row: ConfigurationRow) -> str:
    peak = row.figures.memory_peak_bytes
    if peak is None:
        return "unseen" if row.figures.outcomes else NONE
    return memory(peak) + ("*" if row.figures.memory_shared_with else "")


@speed("median (95 %)")
def _wall(row: ConfigurationRow) -> str:
    wall = row.figures.wall_ms
    if wall is None:
        return NONE
    return f"{duration(wall.median)}{_mark(row, 'wall_ms')} {span(wall.low, wall.high, duration)}".strip() + _left_out(
        row
    )


@speed("p95")
def _p95(row: ConfigurationRow) -> str:
    wall = row.figures.wall_ms
    return NONE if wall is None else duration(wall.p95) + _mark(row, "wall_ms")


@speed("speed-up (95 %)")
def speed_up(row: ConfigurationRow) -> str:
    """How many times as fast as the baseline, with its interval."""
    found = row.comparison.speed if row.comparison is not None else None
    return NONE if found is None else f"{found.estimate:.2f}x {interval(found.low, found.high)}".strip()


@speed("verdict", numeric=False)
def verdict(row: ConfigurationRow) -> str:
    """Who is faster, in a word."""
    return row.verdict


memory_gain = partial(column, "First asks, and asked again")


@memory_gain("first (n)")
def _first_asks(row: ConfigurationRow) -> str:
    found, wall = row.figures.first_asks_ms, row.figures.wall_ms
    every = wall is not None and found is not None and found.value == wall.median  # it is the median above
    return NONE if found is None or every else f"{duration(found.value)} ({found.n})"


@memory_gain("asked first")
def _asked_first(row: ConfigurationRow) -> str:
    found = row.figures.asked_again
    return NONE if found is None else f"{duration(found.first_ms)} ({found.queries})"


@memory_gain("the same again")
def _the_same_again(row: ConfigurationRow) -> str:
    found = row.figures.asked_again
    return NONE if found is None else duration(found.again_ms)


@memory_gain("gain (95 %)")
def _gain(row: ConfigurationRow) -> str:
    found = row.figures.asked_again.gain if row.figures.asked_again is not None else None
    return NONE if found is None else f"{found.value:.2f}x {interval(found.low, found.high)}".strip()


@memory_gain("speed-up, both again")
def _asked_again(row: ConfigurationRow) -> str:
    found = row.comparison.speed_again if row.comparison is not None else None
    return NONE if found is None else f"{found.value:.2f}x {interval(found.low, found.high)}".strip()


@accuracy("right (95 %)")
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
    if shares is None or (line == "tool" and row.figures.tools_unseen):
        return NONE
    word = " (between)" if line == "framework" and row.figures.tools_unseen else ""
    return f"{getattr(shares, line):.1%}{word}{_mark(row, f'ledger_ms.{line}')}"


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


@work("tok/s (eff.)")
def _rate(row: ConfigurationRow) -> str:
    rates = row.figures.output_tokens_per_s, row.figures.effective_output_tokens_per_s
    return NONE if rates[0] is None else f"{number(rates[0], 0)} ({number(rates[1], 0)})"


def _seen(one: Observed | None, mark: str) -> str:
    if one is None or not one.of:
        return NONE
    return UNSEEN if one.value is None else f"{duration(one.value)}{mark} ({one.n}/{one.of})"


@work("TTFT of answers")
def _ttft(row: ConfigurationRow) -> str:
    return _seen(row.figures.ttft_ms, _mark(row, "ttft_ms"))


@work("TTFT of calls")
def _ttft_of_calls(row: ConfigurationRow) -> str:
    return _seen(row.figures.ttft_call_ms, _mark(row, "ttft_ms"))


@work("memory")
def _memory(row: ConfigurationRow) -> str:
    peak = row.figures.memory_peak_bytes
    if peak is None:
        return UNSEEN if row.figures.outcomes else NONE
    return memory(peak) + ("*" if row.figures.memory_shared_with else "")
