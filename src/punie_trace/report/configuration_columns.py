"""The columns of a report's tables that have a row for each configuration: their titles, and what each cell says.

The console and the page show the same columns, and Markdown some of them, so that they say the same in the same words.
Nothing is computed or printed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from punie_trace.analysis.figures import Comparison, ConfigurationFigures, Summary
from punie_trace.report.details import cold_and_warm, goodput_words
from punie_trace.report.tables import NONE, UNSEEN
from punie_trace.report.units import duration, interval, memory, number, share, span

Cell: TypeAlias = Callable[[str, ConfigurationFigures, Comparison | None], str]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, and what it shows for one configuration and its comparison with the baseline."""

    title: str
    cell: Cell
    justify_right: bool = True


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


def verdict_word(_: str, figures: ConfigurationFigures, comparison: Comparison | None) -> str:
    """Who is faster, in a word; 'baseline', or why there is no such verdict, where the configuration has none."""
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
    return NONE if figures.num_draft_tokens is None else str(figures.num_draft_tokens)


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
    Column("verdict", verdict_word, justify_right=False),
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
    Column("drafter", _drafters, justify_right=False),
    Column("went plain", _went_plain),
)


def tells_speculation(summary: Summary) -> bool:
    """Whether any configuration was served by a server that tells what it drafted."""
    return any(one.speculation is not None for one in summary.configurations.values())
