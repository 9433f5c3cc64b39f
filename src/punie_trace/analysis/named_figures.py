"""Figures of a summary by the names that gates use: `wall.p95`, `speedup`, `memory.peak`, each with its interval.

A table of names, what they mean and where they stand in `Summary`. It computes nothing beyond a change of form, and
decides nothing: that is for `gates`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from punie_trace.analysis.drafted import FEWEST_QUERIES
from punie_trace.analysis.evaluations import KINDS
from punie_trace.analysis.figure_kinds import Bounded, LedgerFigures, Observed
from punie_trace.analysis.figures import Comparison, ConfigurationFigures, Summary
from punie_trace.analysis.named_figure import Measured, NamedFigure, Quantity
from punie_trace.analysis.named_turn_figures import turn_figure

MOST_CHANCE: Final = 0.05
"""Of being wrong on the side that a gate asks about; bounds that reach less are left out."""
FEWEST_FOR_P95: Final = 59
"""The smallest n with 1 - 0.95^n >= 0.95: with fewer values even the largest may lie below the p95."""


def _wall_median(summary: Summary, name: str) -> Measured:
    wall = summary.configurations[name].wall_ms
    if wall is None:
        return _NO_ANSWER
    # The bounds are placed symmetrically around the middle: on each side lies half of what they miss.
    if wall.low is None or wall.high is None or (1 - wall.confidence) / 2 > MOST_CHANCE:
        return Measured(wall.median, note="too few queries for an interval of the median: it takes 5")
    return Measured(wall.median, wall.low, wall.high)


def _wall_p95(summary: Summary, name: str) -> Measured:
    wall = summary.configurations[name].wall_ms
    if wall is None:
        return _NO_ANSWER
    reached = wall.p95_confidence is not None and 1 - wall.p95_confidence <= MOST_CHANCE
    if wall.p95_low is None or wall.p95_high is None or not reached:
        few = f"{wall.answered} answers are too few for an interval of the p95: it takes {FEWEST_FOR_P95}"
        return Measured(wall.p95, note=few)
    return Measured(wall.p95, wall.p95_low, wall.p95_high)


def _wall_mean(summary: Summary, name: str) -> Measured:
    wall = summary.configurations[name].wall_ms
    return _NO_ANSWER if wall is None else Measured(wall.mean)


def _speedup(summary: Summary, name: str) -> Measured:
    comparison = comparison_of(summary, name)
    if comparison is None or comparison.speed is None:
        again = comparison is not None and comparison.speed_again is not None
        why = "no question was asked first" if again else "no query was answered"
        return Measured(None, note=f"{why} both here and in the baseline")
    speed = comparison.speed
    return Measured(speed.estimate, speed.low, speed.high, note=speed.note if speed.low is None else "")


def _time_saved(summary: Summary, name: str) -> Measured:
    ratio = _speedup(summary, name)
    if ratio.value is None or ratio.low is None or ratio.high is None:
        return Measured(None if ratio.value is None else 1 - 1 / ratio.value, note=ratio.note)
    return Measured(1 - 1 / ratio.value, 1 - 1 / ratio.low, 1 - 1 / ratio.high)


def _accuracy(summary: Summary, name: str) -> Measured:
    figures = summary.configurations[name]
    share: Bounded | None = figures.accuracy
    if share is None:
        return Measured(None, note="no query was judged" if figures.not_judged else "no query was asked")
    return Measured(share.value, share.low, share.high, detail=f"{figures.correct}/{figures.queries}")


def _lost(summary: Summary, name: str) -> Measured:
    comparison = comparison_of(summary, name)
    if comparison is None or comparison.accuracy is None:
        return Measured(None, note="no query was asked both here and in the baseline")
    return Measured(len(comparison.accuracy.lost), detail=", ".join(comparison.accuracy.lost))


def _identical(summary: Summary, name: str) -> Measured:
    same = summary.configurations[name].answers_identical_to_baseline
    if same is None:
        return Measured(None, note="no query was answered both here and in the baseline")
    return Measured(same.identical / same.of, detail=f"{same.identical}/{same.of}")


def _errors(summary: Summary, name: str) -> Measured:
    figures = summary.configurations[name]
    return Measured(failed_queries(figures), detail=f"of {figures.outcomes}")


def _memory(summary: Summary, name: str) -> Measured:
    peak = summary.configurations[name].memory_peak_bytes
    if peak is None:
        return Measured(None, note="not observable: no reading of the server's process")
    shared = summary.configurations[name].memory_shared_with
    return Measured(peak, detail=f"shared with {', '.join(shared)}" if shared else "")


def _energy(summary: Summary, name: str) -> Measured:
    energy = summary.configurations[name].energy
    if energy is None or energy.per_right_answer is None:
        return Measured(None, note=summary.run.energy or "no right answer lies within the readings")
    return Measured(energy.per_right_answer)


def _gpu(summary: Summary, name: str) -> Measured:
    energy = summary.configurations[name].energy
    if energy is None or energy.gpu_utilization is None:
        return Measured(None, note=summary.run.energy or "nothing told a GPU's utilisation")
    return Measured(energy.gpu_utilization)


def _ledger(line: str, *, share: bool) -> Callable[[Summary, str], Measured]:
    def read(summary: Summary, name: str) -> Measured:
        figures = summary.configurations[name]
        ledger: LedgerFigures | None = figures.ledger_share if share else figures.ledger_ms
        if ledger is None:
            return Measured(None, note="not observable: no answered query has spans")
        return Measured(getattr(ledger, line))

    return read


def _observed(field: str) -> Callable[[Summary, str], Measured]:
    def read(summary: Summary, name: str) -> Measured:
        one: Observed = getattr(summary.configurations[name], field)
        if one.value is None:
            return Measured(None, note=f"not observable: {one.not_observable or 'it was seen in no query'}")
        return Measured(one.value, detail=f"seen in {one.n} of {one.of}" if one.n < one.of else "")

    return read


def _plain(field: str) -> Callable[[Summary, str], Measured]:
    def read(summary: Summary, name: str) -> Measured:
        figures = summary.configurations[name]
        group, _, last = field.rpartition(".")
        value = getattr(figures.tokens if group else figures, last)
        return Measured(value, note="the server did not report it for every query" if value is None else "")

    return read


def _drafting(rate: Literal["acceptance", "mean_length"]) -> Callable[[Summary, str], Measured]:
    def read(summary: Summary, name: str) -> Measured:
        drafts = summary.configurations[name].speculation
        if drafts is None:
            return Measured(None, note="not observable: its server tells nothing of drafts (kind 'punie' does)")
        one = drafts.acceptance_interval if rate == "acceptance" else drafts.mean_length_interval
        if one is None:
            why = next(iter(drafts.fallbacks), None)
            return Measured(None, note="nothing was drafted" + (f": {why}" if why else ""))
        detail = f"{drafts.accepted} accepted, {drafts.drafted} drafted, {drafts.rounds} rounds"
        few = f"{one.n} queries drafted, too few for an interval: it takes {FEWEST_QUERIES}"
        return Measured(one.value, one.low, one.high, note=few if one.low is None else "", detail=detail)

    return read


_NO_ANSWER: Final = Measured(None, note="no query was answered")

_LINES: Final = {"queue": "client_queue", "generation": "generation", "tool": "tool", "framework": "framework"}

FIGURES: Final[dict[str, NamedFigure]] = {
    figure.name: figure
    for figure in (
        NamedFigure(
            "wall.median", "time", "median wall time of a query", _wall_median, estimated=True, answered_only=True
        ),
        NamedFigure(
            "wall.p95",
            "time",
            "95th percentile of wall times, all rounds",
            _wall_p95,
            estimated=True,
            answered_only=True,
        ),
        NamedFigure("wall.mean", "time", "mean wall time, without an interval", _wall_mean, answered_only=True),
        NamedFigure(
            "speedup",
            "ratio",
            "baseline's time / this one's",
            _speedup,
            estimated=True,
            answered_only=True,
            compared=True,
        ),
        NamedFigure(
            "time_saved", "share", "1 - 1 / speedup", _time_saved, estimated=True, answered_only=True, compared=True
        ),
        NamedFigure("accuracy", "share", "queries that are right / asked", _accuracy, estimated=True),
        NamedFigure("accuracy.lost", "count", "queries wrong here, right in the baseline", _lost, compared=True),
        NamedFigure("identical", "share", "queries answered as the baseline did", _identical, compared=True),
        NamedFigure("errors", "count", "queries that ended in an error or a timeout", _errors),
        NamedFigure("energy.per_right", "score", "joules for each right answer, of the whole machine", _energy),
        NamedFigure("gpu.utilization", "share", "mean use of the GPU while its queries ran", _gpu),
        NamedFigure("memory.peak", "memory", "peak of the server's own process", _memory),
        NamedFigure(
            "ttft", "time", "median time to first token, where observable", _observed("ttft_ms"), answered_only=True
        ),
        NamedFigure(
            "tpot", "time", "mean time per output token, where observable", _observed("tpot_ms"), answered_only=True
        ),
        NamedFigure(
            "tokens.input", "count", "input tokens a query", _plain("tokens.input_per_query"), answered_only=True
        ),
        NamedFigure(
            "tokens.output", "count", "output tokens a query", _plain("tokens.output_per_query"), answered_only=True
        ),
        NamedFigure(
            "tokens.cached", "count", "cached tokens a query", _plain("tokens.cached_per_query"), answered_only=True
        ),
        NamedFigure("tokens_per_s", "rate", "output tokens / time in generation", _plain("output_tokens_per_s")),
        NamedFigure(
            "tokens_per_s.effective", "rate", "output tokens / wall time", _plain("effective_output_tokens_per_s")
        ),
        NamedFigure(
            "acceptance",
            "share",
            "draft tokens accepted / drafted",
            _drafting("acceptance"),
            estimated=True,
            answered_only=True,
        ),
        NamedFigure(
            "mean_accepted_length",
            "count",
            "tokens that a round of draft and verify yields: 1 + accepted / rounds",
            _drafting("mean_length"),
            estimated=True,
            answered_only=True,
        ),
        NamedFigure("generations", "count", "generations a query", _plain("generations_per_query"), answered_only=True),
        NamedFigure("tool_calls", "count", "tool calls a query", _plain("tool_calls_per_query"), answered_only=True),
        *(
            NamedFigure(f"{name}.mean", "time", f"mean time in {name}", _ledger(line, share=False), answered_only=True)
            for name, line in _LINES.items()
        ),
        *(
            NamedFigure(
                f"{name}.share", "share", f"share of time in {name}", _ledger(line, share=True), answered_only=True
            )
            for name, line in _LINES.items()
        ),
    )
}
"""In the order to list them. No name ends another after a dot, so that what stands before a figure is unambiguous."""


def named_figure(name: str) -> NamedFigure | None:
    """The figure of that name: one of `FIGURES`, of a turn (`turn.2.wall`), or what evaluators found (`score.NAME`)."""
    if name in FIGURES:
        return FIGURES[name]
    if (of_turn := turn_figure(name)) is not None:
        return of_turn
    kind, _, of = name.partition(".")
    if not of or kind not in KINDS:
        return None

    def read(summary: Summary, configuration: str) -> Measured:
        found = KINDS[kind](summary.configurations[configuration].evaluations, of)
        return Measured(None, note=found) if isinstance(found, str) else Measured(found.value, found.low, found.high)

    quantity: Quantity = "score" if kind == "score" else "share"
    return NamedFigure(name, quantity, f"what evaluators found: the {kind} {of}", read, estimated=True)


def comparison_of(summary: Summary, configuration: str) -> Comparison | None:
    """The comparison of `configuration` with the baseline, if there is one."""
    return next((one for one in summary.comparisons if one.other == configuration), None)


def failed_queries(figures: ConfigurationFigures) -> int:
    """How many of what was sent ended in an error or a timeout."""
    return figures.verdicts.get("error", 0) + figures.verdicts.get("timeout", 0)
