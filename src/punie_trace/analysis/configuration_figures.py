"""The figures of one configuration, from what was observed of its queries.

Pure, and about this configuration alone: of the baseline it takes only whether the answers are the same. What is
compared, and what goes for the whole run, is `compare`'s and `summary`'s part.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Final

from punie_trace.analysis.client import client_figures
from punie_trace.analysis.code_use import code_figures
from punie_trace.analysis.compare import identity
from punie_trace.analysis.drafted import by_query, speculation_figures
from punie_trace.analysis.evaluations import evaluation_figures
from punie_trace.analysis.figure_kinds import AskedAgain, Bounded, LedgerFigures, Observed, TokenFigures, WallFigures
from punie_trace.analysis.figures import CategoryFigures, ConfigurationFigures, Goodput, Problem
from punie_trace.analysis.findings import batched
from punie_trace.analysis.generation_times import (
    mean_ledger,
    mean_observed,
    time_to_first_token,
    time_to_first_token_by_cache,
    why_not,
)
from punie_trace.analysis.observations import Observation, not_judged, right_queries
from punie_trace.analysis.served_by import fingerprint, program, server_of
from punie_trace.analysis.split import PHASES, GenerationSplit
from punie_trace.analysis.statistics import quantile, wilson
from punie_trace.analysis.turn_figures import turn_figures
from punie_trace.records import Verdict
from punie_trace.runs.header import RunHeader

NS_PER_S: Final = 1e9
NS_PER_MS: Final = 1e6


def configuration_figures(
    name: str,
    header: RunHeader,
    observations: Sequence[Observation],
    reference: Sequence[Observation] | None,
    asked_again: AskedAgain | None = None,
) -> ConfigurationFigures:
    """All figures of the configuration `name`, of which `observations` are everything that was observed.

    `reference` is what was observed of the baseline, None for the baseline itself. What was not observed is None or
    says why; nothing is raised for a configuration that answered nothing.
    """
    record = header.configurations.get(name)
    server = server_of(header, name)
    answered = [one for one in observations if one.answered]
    timed = [one for one in answered if one.ledger is not None]
    right = right_queries(observations)
    ledger = mean_ledger([one.ledger for one in timed if one.ledger is not None])
    splits = [split for one in answered for split in one.splits]
    output = _total([one.outcome.output_tokens for one in timed])
    seconds = sum(one.ledger.generation_ns for one in timed if one.ledger is not None) / NS_PER_S
    wall_seconds = sum(one.outcome.wall_ns for one in timed) / NS_PER_S
    wall, ttft = _wall(answered), time_to_first_token(answered, calls=False)
    return ConfigurationFigures(
        path=record.path if record else None,
        kind=record.kind if record else None,
        server=record.server if record else None,
        model=record.model if record else None,
        draft_model=record.draft_model if record else None,
        num_draft_tokens=record.num_draft_tokens if record else None,
        queries=len(right),
        correct=sum(right.values()),
        accuracy=_accuracy(sum(right.values()), len(right)),
        outcomes=len(observations),
        verdicts=_verdicts(observations),
        wall_ms=wall,
        ledger_ms=ledger,
        ledger_share=_shares(ledger),
        ledger_queries=len(timed),
        generation_split_ms=_split(splits),
        phases_told_by=dict(Counter(one.source for one in splits).most_common()),
        tokens=_tokens(answered),
        output_tokens_per_s=output / seconds if output is not None and seconds > 0 else None,
        effective_output_tokens_per_s=output / wall_seconds if output is not None and wall_seconds > 0 else None,
        ttft_ms=ttft,
        tpot_ms=mean_observed([split.per_token_ns for split in splits], why_not(splits, "per_token")),
        generations_per_query=_mean([one.outcome.generations for one in answered]),
        tool_calls_per_query=_mean([len(one.outcome.tool_calls) for one in answered]),
        memory_peak_bytes=server.memory_peak_bytes,
        memory_kind=server.memory_kind,
        memory_shared_with=tuple(
            other
            for other, one in header.configurations.items()
            if record and record.server is not None and other != name and one.server == record.server
        ),
        client=client_figures(name, header, record.path if record else None, wall, ttft),
        failure=header.failures.get(name),
        answers_identical_to_baseline=None if reference is None else identity(reference, observations),
        by_category=_by_category(observations),
        time_per_correct_ms=_time_per_correct(observations),
        goodput=_goodput(observations, header),
        finish_reasons=_finish_reasons(splits),
        ttft_call_ms=time_to_first_token(answered, calls=True),
        ttft_cold_ms=time_to_first_token_by_cache(splits, warm=False),
        ttft_warm_ms=time_to_first_token_by_cache(splits, warm=True),
        batched=batched(header, record) if record else None,
        problems=_problems(observations),
        not_judged=not_judged(observations),
        evaluations=evaluation_figures(one.outcome for one in observations),
        first_asks_ms=_first_asks([one for one in answered if one.ask.tells_speed]),
        asked_again=asked_again,
        turns=turn_figures(observations),
        program=program(header, name),
        fingerprint=fingerprint(header, name),
        tools_unseen=any(one.tools_unseen for one in timed) and not (ledger is not None and ledger.tool_work),
        left_processes=dict(Counter(process for one in observations for process in one.left).most_common()),
        requests_elsewhere=dict(Counter(host for one in observations for host in one.elsewhere).most_common()),
        uncounted_generations=sum(one.finish_reason is not None and one.output_tokens is None for one in splits),
        tools=record.tools if record else "calls",
        code=code_figures([one.code for one in answered]),
        speculation=speculation_figures(by_query((one.outcome.query, one.drafted) for one in answered)),
    )


def _accuracy(correct: int, queries: int) -> Bounded | None:
    if not queries:
        return None
    share = wilson(correct, queries)
    return Bounded(value=share.value, low=share.low, high=share.high, confidence=share.confidence, n=share.n)


def _verdicts(observations: Sequence[Observation]) -> dict[str, int]:
    counts = Counter(one.outcome.verdict for one in observations)
    return {verdict.value: counts[verdict] for verdict in Verdict if counts[verdict]}


def _wall(answered: Sequence[Observation]) -> WallFigures | None:
    if not answered:
        return None
    middle = quantile(_medians(answered), 0.5)
    walls = [one.outcome.wall_ns / NS_PER_MS for one in answered]
    p95 = quantile(walls, 0.95)
    return WallFigures(
        median=middle.value,
        low=middle.low,
        high=middle.high,
        confidence=middle.confidence,
        p95=p95.value,
        mean=sum(walls) / len(walls),
        answered=len(walls),
        p95_low=p95.low,
        p95_high=p95.high,
        p95_confidence=p95.confidence,
    )


def _medians(answered: Sequence[Observation]) -> list[float]:
    """Each query's median wall time over its rounds, in ms."""
    walls: dict[str, list[float]] = {}
    for one in answered:
        walls.setdefault(one.outcome.query, []).append(one.outcome.wall_ns / NS_PER_MS)
    return [median(values) for values in walls.values()]


def _shares(ledger: LedgerFigures | None) -> LedgerFigures | None:
    if ledger is None or ledger.wall <= 0:
        return None
    return LedgerFigures(**{line: value / ledger.wall for line, value in ledger.model_dump().items()})


def _split(splits: Sequence[GenerationSplit]) -> dict[str, Observed]:
    return {phase: mean_observed([one.phase(phase) for one in splits], why_not(splits, phase)) for phase in PHASES}


def _first_asks(observations: Sequence[Observation]) -> Bounded | None:
    """The median over queries of what tells of speed, in ms, with the interval of order statistics."""
    if not observations:
        return None
    middle = quantile(_medians(observations), 0.5)
    return Bounded(value=middle.value, low=middle.low, high=middle.high, confidence=middle.confidence, n=middle.n)


def _finish_reasons(splits: Sequence[GenerationSplit]) -> dict[str, int]:
    return dict(Counter(one.finish_reason or "not told" for one in splits).most_common())


def _time_per_correct(observations: Sequence[Observation]) -> float | None:
    """All wall time, of errors and wrong answers too, for each correct answer; None where none is correct.

    What was not judged is left out: it is neither.
    """
    judged = [one for one in observations if one.outcome.verdict is not Verdict.NOT_JUDGED]
    correct = sum(one.outcome.verdict is Verdict.CORRECT for one in judged)
    return sum(one.outcome.wall_ns for one in judged) / NS_PER_MS / correct if correct else None


def _goodput(observations: Sequence[Observation], header: RunHeader) -> Goodput | None:
    """Correct and within every objective, of all that were sent."""
    if not observations:
        return None
    objectives = _objectives(header)
    if not_judged(observations):
        why = "not all queries are judged, and only what is right counts as good"
        return Goodput(value=None, good=0, of=len(observations), objectives=objectives, not_observable=why)
    good = 0
    for one in observations:
        if one.outcome.verdict is not Verdict.CORRECT:
            continue
        first = one.splits[0].first_chunk_ns if one.splits else None
        if "ttft_s" in objectives and first is None:
            why = "the objective on the time to first token cannot be judged: it was not seen in every correct query"
            return Goodput(value=None, good=0, of=len(observations), objectives=objectives, not_observable=why)
        good += one.outcome.wall_ns <= objectives.get("wall_s", math.inf) * NS_PER_S and (
            first is None or first <= objectives.get("ttft_s", math.inf) * NS_PER_S
        )
    return Goodput(value=good / len(observations), good=good, of=len(observations), objectives=objectives)


def _objectives(header: RunHeader) -> dict[str, float]:
    recorded = header.configuration.get("objectives")
    if not isinstance(recorded, dict):
        return {}
    return {
        name: float(value)
        for name in ("wall_s", "ttft_s")
        if isinstance(value := recorded.get(name), int | float) and not isinstance(value, bool)
    }


def _tokens(answered: Sequence[Observation]) -> TokenFigures:
    totals = {
        "input": _total([one.outcome.input_tokens for one in answered]),
        "output": _total([one.outcome.output_tokens for one in answered]),
        "cached": _total([one.outcome.cached_tokens for one in answered]),
    }
    each = {f"{kind}_per_query": None if total is None else total / len(answered) for kind, total in totals.items()}
    return TokenFigures.model_validate({**totals, **each})


def _total(counts: Sequence[int | None]) -> int | None:
    """Their sum, None where one is not known (part of a sum would be taken for the whole) or there is none."""
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _by_category(observations: Sequence[Observation]) -> dict[str, CategoryFigures]:
    grouped: dict[str, list[Observation]] = {}
    for one in observations:
        grouped.setdefault(one.ask.category, []).append(one)
    return {category: _category(members) for category, members in sorted(grouped.items())}


def _category(members: Sequence[Observation]) -> CategoryFigures:
    right = right_queries(members)
    answered = [one for one in members if one.answered]
    return CategoryFigures(
        queries=len(right),
        correct=sum(right.values()),
        wall_ms_median=median(_medians(answered)) if answered else None,
        output_tokens_per_query=_tokens(answered).output_per_query,
    )


def _problems(observations: Sequence[Observation]) -> tuple[Problem, ...]:
    grouped: dict[str, list[Observation]] = {}
    for one in observations:
        grouped.setdefault(one.outcome.query, []).append(one)
    return tuple(_problem(query, members) for query, members in grouped.items() if _any_wrong(members))


def _any_wrong(members: Sequence[Observation]) -> bool:
    """An evaluator that failed is a problem; that nothing says what is right is none of the query's."""
    verdicts = [(one.outcome.verdict, one.outcome.error) for one in members]
    return any(
        error is not None if verdict is Verdict.NOT_JUDGED else verdict is not Verdict.CORRECT
        for verdict, error in verdicts
    )


def _problem(query: str, members: Sequence[Observation]) -> Problem:
    return Problem(
        query=query,
        category=members[0].ask.category,
        rounds=len(members),
        verdicts=_verdicts(members),
        error=next((one.outcome.error for one in members if one.outcome.error), None),
    )
