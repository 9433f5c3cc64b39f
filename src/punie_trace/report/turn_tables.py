"""Sessions by turn, as tables: what each turn took and found in the cache, and how each compares with the baseline's.

Nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from punie_trace.analysis.figure_kinds import Bounded, Observed
from punie_trace.analysis.figures import Comparison, Summary
from punie_trace.analysis.turn_figures import TurnFigures
from punie_trace.report.model import NONE, UNSEEN, Column, Note, Row, Section, Table, Tables, section
from punie_trace.report.units import duration, interval

TITLE: Final = "By turn of the session"
_COLUMNS: Final = tuple(
    map(Column, ("sessions", "right", "median", "generation", "prompt", "cached", "TTFT", "TTFT of a call"))
)
_EXPLAINED: Final = (
    "median: wall time of the turn; generation: mean of its ledger's line; prompt and cached: mean tokens of the "
    "turn's first request, the context that it begins with; TTFT: of that request, median, of turns that answer at "
    "once, and apart from them of turns that call a tool first"
)
_ASKED_AGAIN: Final = (
    "~ of sessions that the server had been asked before: what it had in its cache is not of the turns before alone"
)


def turns_section(summary: Summary) -> Section:
    """A table for each configuration that was asked sessions, and their comparison; empty where none was."""
    configurations = summary.configurations
    tables = tuple(_table(name, one.turns) for name, one in configurations.items() if one.turns)
    again = any(not turn.first_asks for one in configurations.values() for turn in one.turns)
    notes = ([Note(_EXPLAINED)] if tables else []) + ([Note(_ASKED_AGAIN)] if again else [])
    return section("turns", TITLE, Tables(tables), *notes, turn_comparison_table(summary.comparisons))


def turn_comparison_table(comparisons: Iterable[Comparison]) -> Table:
    """How many times as fast each turn is as the baseline's; without rows where nothing was a session."""
    rows = tuple(
        Row(f"{one.other}, turn {turn.number}", (*_times_as_fast(turn.speed), *_times_as_fast(turn.ttft)))
        for one in comparisons
        for turn in one.by_turn
    )
    titles = tuple(map(Column, ("speed-up (95 %)", "sessions", "TTFT, times as soon (95 %)", "sessions")))
    return Table(titles, rows, names="turn")


def _times_as_fast(ratio: Bounded | None) -> tuple[str, str]:
    """The ratio with its interval, and over how many sessions."""
    if ratio is None:
        return NONE, NONE
    return f"{ratio.value:.2f}x {interval(ratio.low, ratio.high)}".strip(), str(ratio.n)


def _table(name: str, turns: Iterable[TurnFigures]) -> Table:
    return Table(_COLUMNS, tuple(Row(f"turn {one.number}", _cells(one)) for one in turns), f"{name}, by turn", "turn")


def _cells(turn: TurnFigures) -> tuple[str, ...]:
    mark = "" if turn.first_asks else "~"
    return (
        str(turn.sessions),
        f"{turn.right}/{turn.judged}" if turn.judged else NONE,
        NONE if turn.wall_ms is None else duration(turn.wall_ms) + mark,
        NONE if turn.ledger_ms is None else duration(turn.ledger_ms.generation) + mark,
        _tokens(turn.prompt_tokens),
        _tokens(turn.cached_tokens),
        _seen(turn.ttft_ms),
        _seen(turn.ttft_call_ms),
    )


def _tokens(mean: float | None) -> str:
    return UNSEEN if mean is None else f"{mean:.0f}"


def _seen(one: Observed) -> str:
    if one.value is None:
        return UNSEEN if one.of else NONE
    return duration(one.value) + (f" ({one.n}/{one.of})" if one.n < one.of else "")
