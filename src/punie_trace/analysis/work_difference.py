"""What one configuration takes more or less than another, and of what the difference is made.

Means over queries of the differences within pairs of the same query and round, which add up: the lines of the ledger to
the wall time, and the generation line's three parts to that line. For those the product

    generation time = generations x tokens in each x time for a token

is split by logarithmic means (the LMDI of Ang 2004, Energy Policy 32): each factor gets L(t0, t1) ln(f1 / f0), with
L(a, b) = (a - b) / (ln a - ln b), so that nothing is left over. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Final

from punie_trace.analysis.figure_kinds import GenerationParts, WorkDifference
from punie_trace.analysis.observations import Observation
from punie_trace.records import Ledger

_NS_PER_MS: Final = 1e6


def work_difference(baseline: Sequence[Observation], other: Sequence[Observation]) -> WorkDifference | None:
    """`other` minus `baseline` over the answered pairs that tell of speed; None where there is none with ledgers."""
    before = {(one.outcome.query, one.outcome.round): one for one in baseline if _counts(one)}
    pairs: dict[str, list[tuple[Observation, Observation]]] = {}
    for one in other:
        partner = before.get((one.outcome.query, one.outcome.round))
        if partner is not None and _counts(one):
            pairs.setdefault(one.outcome.query, []).append((partner, one))
    if not pairs:
        return None
    queries = list(pairs.values())

    def line(of: Callable[[Ledger], int]) -> float:
        return _mean(queries, lambda one: of(_ledger(one)) / _NS_PER_MS)

    return WorkDifference(
        queries=len(queries),
        pairs=sum(map(len, queries)),
        wall_ms=line(lambda one: one.wall_ns),
        client_queue_ms=line(lambda one: one.client_queue_ns),
        generation_ms=line(lambda one: one.generation_ns),
        tools_ms=line(lambda one: one.tool_ns - one.sandbox_ns),
        sandbox_ms=line(lambda one: one.sandbox_ns),
        framework_ms=line(lambda one: one.framework_ns),
        generations=_mean(queries, lambda one: one.outcome.generations),
        input_tokens=_tokens(queries, lambda one: one.outcome.input_tokens),
        output_tokens=_tokens(queries, lambda one: one.outcome.output_tokens),
        generation_parts=_parts(queries),
    )


_Queries = Sequence[Sequence[tuple[Observation, Observation]]]


def _counts(one: Observation) -> bool:
    return one.answered and one.ask.tells_speed and one.ledger is not None


def _ledger(one: Observation) -> Ledger:
    assert one.ledger is not None
    return one.ledger


def _mean(queries: _Queries, of: Callable[[Observation], float]) -> float:
    return fmean(fmean(of(after) - of(before) for before, after in pairs) for pairs in queries)


def _tokens(queries: _Queries, of: Callable[[Observation], int | None]) -> float | None:
    """None where a count is not known: the rest would be taken for all."""
    if any(of(one) is None for pairs in queries for pair in pairs for one in pair):
        return None
    return _mean(queries, lambda one: float(of(one) or 0))


def _parts(queries: _Queries) -> GenerationParts | None:
    """How much of the difference in generation is of fewer generations, of fewer tokens in each, of faster ones."""
    sides = [_totals(queries, side) for side in (0, 1)]
    if any(value is None or not all(value) for value in sides):
        return None
    (g0, n0, t0), (g1, n1, t1) = (value for value in sides if value is not None)
    weight = t0 if math.isclose(t0, t1) else (t1 - t0) / math.log(t1 / t0)
    return GenerationParts(
        generations_ms=weight * math.log(g1 / g0),
        tokens_ms=weight * math.log((n1 / g1) / (n0 / g0)),
        token_time_ms=weight * math.log((t1 / n1) / (t0 / n0)),
    )


def _totals(queries: _Queries, side: int) -> tuple[float, float, float] | None:
    """Generations, output tokens and generation time in ms of a query, as means over queries."""
    if any(pair[side].outcome.output_tokens is None for pairs in queries for pair in pairs):
        return None
    generations = fmean(fmean(pair[side].outcome.generations for pair in pairs) for pairs in queries)
    tokens = fmean(fmean(pair[side].outcome.output_tokens or 0 for pair in pairs) for pairs in queries)
    time = fmean(fmean(_ledger(pair[side]).generation_ns / _NS_PER_MS for pair in pairs) for pairs in queries)
    return generations, tokens, time
