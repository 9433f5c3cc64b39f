"""Each configuration against the baseline, in pairs of the same query in the same round. No text, no findings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from punie_trace.analysis.asks import more_rounds_count
from punie_trace.analysis.figure_kinds import Bounded, FirstDivergence, Identity
from punie_trace.analysis.figures import AccuracyDifference, Comparison, GenerationFactors, SpeedFigures
from punie_trace.analysis.first_divergence import first_divergence
from punie_trace.analysis.observations import Observation, right_queries
from punie_trace.analysis.statistics import Ratio, paired_ratio, ratio_interval, settle
from punie_trace.analysis.stopping import ALPHA, decide, final_level, settle_sequentially
from punie_trace.analysis.turn_figures import compare_turns
from punie_trace.analysis.work_difference import work_difference
from punie_trace.records import Outcome
from punie_trace.runs.header import RunHeader, StoppingRecord

MOST_DIVERGENCES: Final = 10
"""Of the queries that were answered differently, for so many the place is found."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two configurations to be compared, with what was observed of each.

    `rounds_tell` says whether another round of the same queries would tell more of their speed.
    """

    baseline: str
    before: Sequence[Observation]
    other: str
    after: Sequence[Observation]
    rounds_tell: bool = True


def compare(
    header: RunHeader, observed: Mapping[str, Sequence[Observation]], baseline: str | None
) -> tuple[Comparison, ...]:
    """All configurations of a run that have outcomes against `baseline`, with Holm's correction over them.

    Verdicts and intervals allow for the interim analyses that were made while it went on.
    """
    if baseline is None or not observed.get(baseline):
        return ()
    before = observed[baseline]
    return compare_pairs(
        [
            Pair(baseline, before, name, after, more_rounds_count(header, baseline, name))
            for name, after in observed.items()
            if name != baseline
        ],
        header.stopping,
    )


def compare_pairs(pairs: Sequence[Pair], stopping: StoppingRecord | None = None) -> tuple[Comparison, ...]:
    """Each pair in which the other has any outcome. Holm's correction is over all of them; the others' names differ."""
    analyses = stopping.looks if stopping is not None else ()
    alpha = stopping.alpha if stopping is not None else ALPHA
    decided = {}
    if analyses and pairs:
        times = {one.other: walls_of(one.after).telling for one in pairs}
        decided = decide(walls_of(pairs[0].before).telling, times, analyses, alpha)
    pairs = [pair for pair in pairs if pair.after]
    # Of a run they share one baseline, of which a pass over a million outcomes is made once.
    before = {pair.baseline: pair.before for pair in pairs}
    before_walls = {name: walls_of(observations) for name, observations in before.items()}
    after_walls = {pair.other: walls_of(pair.after) for pair in pairs}
    ratios: dict[str, Ratio] = {}
    for pair in pairs:
        walls = before_walls[pair.baseline].telling, after_walls[pair.other].telling
        if shared := {query for query, _ in walls[0].keys() & walls[1].keys()}:
            confidence = 1 - final_level(analyses, len(shared), alpha)
            ratios[pair.other] = paired_ratio(
                *walls, comparisons=len(pairs), confidence=confidence, rounds_tell=pair.rounds_tell
            )
    if analyses:
        settled = {name: settle_sequentially(ratio, decided.get(name)) for name, ratio in ratios.items()}
    else:
        settled = dict(zip(ratios, settle(list(ratios.values())), strict=True))
    return tuple(
        Comparison(
            baseline=pair.baseline,
            other=pair.other,
            speed=_speed(settled[pair.other]) if pair.other in settled else None,
            speed_again=_speed_again(before_walls[pair.baseline].again, after_walls[pair.other].again),
            speed_by_category=_by_category(pair.before, pair.after),
            accuracy=accuracy_difference(pair.before, pair.after),
            generation_factors=_factors(pair.before, pair.after),
            difference=work_difference(pair.before, pair.after),
            by_turn=compare_turns(pair.before, pair.after),
        )
        for pair in pairs
    )


def accuracy_difference(baseline: Sequence[Observation], other: Sequence[Observation]) -> AccuracyDifference | None:
    """Over the queries that both were asked; None where there is none.

    The p-value is the exact two-sided sign test on the queries that differ (McNemar's exact test).
    """
    before, after = right_queries(baseline), right_queries(other)
    shared = [query for query in before if query in after]
    if not shared:
        return None
    gained = tuple(query for query in shared if after[query] and not before[query])
    lost = tuple(query for query in shared if before[query] and not after[query])
    differ, fewer = len(gained) + len(lost), min(len(gained), len(lost))
    tail = sum(math.comb(differ, k) for k in range(fewer + 1)) / 2**differ
    value = (len(gained) - len(lost)) / len(shared)
    return AccuracyDifference(value=value, gained=gained, lost=lost, p_value=min(1.0, 2 * tail))


def identity(baseline: Sequence[Observation], other: Sequence[Observation]) -> Identity | None:
    """How many queries were answered the same to the letter, tool calls and text, in every round that both answered."""
    before = {_key(one): one.outcome for one in baseline if one.answered}
    same: dict[str, bool] = {}
    for one in other:
        reference = before.get(_key(one))
        if reference is not None and one.answered:
            query = one.outcome.query
            same[query] = same.get(query, True) and _answered_with(one.outcome) == _answered_with(reference)
    if not same:
        return None
    different = tuple(query for query, equal in same.items() if not equal)
    return Identity(
        identical=len(same) - len(different),
        of=len(same),
        different=different,
        divergences=tuple(_divergences(before, other, different[:MOST_DIVERGENCES])),
    )


def _divergences(
    before: Mapping[tuple[str, int], Outcome], other: Sequence[Observation], queries: Sequence[str]
) -> Iterator[FirstDivergence]:
    for query in queries:
        pairs = [
            (before[_key(one)], one.outcome)
            for one in other
            if one.answered and one.outcome.query == query and _key(one) in before
        ]
        found = first_divergence(pairs)
        if found is not None:
            yield found


def unsteady_queries(observations: Sequence[Observation]) -> tuple[str, ...]:
    """The queries that were not answered the same in each of their rounds."""
    answers: dict[str, list[object]] = {}
    for one in observations:
        if one.answered:
            answers.setdefault(one.outcome.query, []).append(_answered_with(one.outcome))
    return tuple(query for query, given in answers.items() if any(answer != given[0] for answer in given))


def _answered_with(outcome: Outcome) -> object:
    calls = [(call.name, call.arguments) for call in outcome.tool_calls]
    return outcome.answer, calls, [turn.answer for turn in outcome.turns]


def _key(one: Observation) -> tuple[str, int]:
    return one.outcome.query, one.outcome.round


@dataclass(frozen=True, slots=True)
class Walls:
    """Wall times in ns of what was answered, by query and round: those that tell of speed, and the others."""

    telling: dict[tuple[str, int], float]
    again: dict[tuple[str, int], float]


def walls_of(observations: Iterable[Observation]) -> Walls:
    """An instant answer on a coarse clock would have no logarithm; 1 ns stands for it."""
    telling: dict[tuple[str, int], float] = {}
    again: dict[tuple[str, int], float] = {}
    for one in observations:
        outcome = one.outcome
        if one.answered:
            times = telling if one.ask.tells_speed else again
            times[outcome.query, outcome.round] = float(outcome.wall_ns or 1)
    return Walls(telling, again)


def _speed_again(before: Mapping[tuple[str, int], float], after: Mapping[tuple[str, int], float]) -> Bounded | None:
    """How many times as fast questions are answered that both had been asked before."""
    return bounded(paired_ratio(before, after)) if before.keys() & after.keys() else None


def _speed(ratio: Ratio) -> SpeedFigures:
    return SpeedFigures(
        estimate=ratio.estimate,
        low=ratio.low,
        high=ratio.high,
        p_value=ratio.p_value,
        verdict=ratio.verdict,
        pairs=ratio.pairs,
        queries=ratio.queries,
        more_rounds=ratio.more_rounds,
        more_queries=ratio.more_queries,
        note=ratio.note,
    )


def _by_category(baseline: Sequence[Observation], other: Sequence[Observation]) -> dict[str, Bounded]:
    found: dict[str, Bounded] = {}
    grouped: dict[str, tuple[list[Observation], list[Observation]]] = {}
    for side, observations in enumerate((baseline, other)):
        for one in observations:
            grouped.setdefault(one.ask.category, ([], []))[side].append(one)
    for category, (ours, theirs) in grouped.items():
        before, after = walls_of(ours).telling, walls_of(theirs).telling
        if before.keys() & after.keys():
            ratio = ratio_interval(before, after)
            found[category] = Bounded(value=ratio.value, low=ratio.low, high=ratio.high, confidence=0.95, n=ratio.n)
    return found


def bounded(ratio: Ratio) -> Bounded:
    """A ratio as an estimate with its interval of 95 %."""
    return Bounded(value=ratio.estimate, low=ratio.low, high=ratio.high, confidence=0.95, n=ratio.queries)


def _factors(baseline: Sequence[Observation], other: Sequence[Observation]) -> GenerationFactors | None:
    """Generation time = generations x tokens per generation x time per token; each as a ratio of totals over pairs."""
    before = {_key(one): one for one in baseline if one.answered and one.ask.tells_speed}
    pairs = [(before[_key(one)], one) for one in other if one.answered and one.ask.tells_speed and _key(one) in before]
    ours, theirs = _totals([pair[0] for pair in pairs]), _totals([pair[1] for pair in pairs])
    if ours is None or theirs is None:
        return None
    (g0, n0, t0), (g1, n1, t1) = ours, theirs
    return GenerationFactors(
        generations=g1 / g0,
        tokens_per_generation=(n1 / g1) / (n0 / g0),
        time_per_token=(t1 / n1) / (t0 / n0),
        generation_time=t1 / t0,
    )


def _totals(observations: Sequence[Observation]) -> tuple[int, int, int] | None:
    generations = tokens = time = 0
    for one in observations:
        if one.ledger is None or one.outcome.output_tokens is None:
            return None
        generations += one.outcome.generations
        tokens += one.outcome.output_tokens
        time += one.ledger.generation_ns
    return (generations, tokens, time) if generations and tokens and time else None
