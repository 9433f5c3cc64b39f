"""From a run to its figures: the one function that reports, gates and dashboards start from.

Pure: the same run gives the same summary. It reads no disk but through the run's lazily read spans, and prints nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from punie_trace.analysis.advice import advise
from punie_trace.analysis.client import client_figures
from punie_trace.analysis.compare import compare, identity
from punie_trace.analysis.critical_path import parts
from punie_trace.analysis.disturbances import disturbed, round_spans
from punie_trace.analysis.drafted import speculation_figures
from punie_trace.analysis.figures import (
    Bounded,
    CategoryFigures,
    ConfigurationFigures,
    Constants,
    Goodput,
    LedgerFigures,
    Observed,
    PathPart,
    Problem,
    RunFacts,
    SlowestQuery,
    Summary,
    TokenFigures,
    WallFigures,
)
from punie_trace.analysis.findings import batched, find
from punie_trace.analysis.observations import Observation, observe, right_queries
from punie_trace.analysis.split import PHASES, GenerationSplit
from punie_trace.analysis.statistics import quantile, wilson
from punie_trace.header import RunHeader, ServerRecord, unique
from punie_trace.records import Ledger, MachineSample, Verdict
from punie_trace.runfile import Run

NS_PER_MS: Final = 1e6
NS_PER_S: Final = 1e9
_WARM: Final = 0.5
"""Share of its input from the prompt cache from which on a generation counts as warm."""
_ORDERS: Final = {
    "interleaved": "configurations take turns, shuffled within each round",
    "one-by-one": "configurations of one server after those of another",
}

DEFINITIONS: Final = {
    "median, mean, p95": "wall time from due to done, of queries that ended with an answer, right or wrong; the median "
    "is over queries, of each one's median over rounds (exact order-statistic interval)",
    "speed-up": "baseline's time / this one's, paired by query and round: geometric mean over queries of the median "
    "over rounds; 95 % interval from a bootstrap over queries; verdicts at 5 % after Holm's correction",
    "ledger": "queue (due to sent), generation (a request to the model is open), tool (one runs, no request is open), "
    "framework (the rest); they add up to the wall time",
    "right": "queries that are correct in more than half of their rounds, errors included; Wilson's 95 % interval",
    "identical": "queries with the baseline's tool calls and answer, to the letter, in every round",
    "time per correct": "all wall time, of errors and wrong answers too, for each correct answer",
    "goodput": "queries that meet every objective and are correct / all queries sent, errors included",
    "critical path": "the spans that a query waited for, from its end backwards; 'saves' is the most that is saved if "
    "a part takes no time: its time on the path with nothing beside it",
    "tok/s": "output tokens / time in generation, without errors and timeouts; effective: / wall time",
    "TTFT": "first chunk with output minus request sent, of a query's first generation, where the server streams it",
    "TTFT cold, warm": "of all generations that stream: cold where less than half of the input was in the server's "
    "prompt cache",
    "TPOT": "(last chunk - first chunk) / (output tokens - 1), of each generation that the server streams",
    "acceptance": "drafted tokens that the model accepted / tokens drafted; length: 1 + accepted / rounds, the tokens "
    "that a round of draft and verify yields; K: tokens drafted a round; of servers that tell it",
    "memory": "peak of the server's own process while it worked",
}


def summarize(run: Run, observed: dict[str, list[Observation]] | None = None) -> Summary:
    """All figures of the run. Raises `RunFolderError` where its spans cannot be read.

    `observed` is what `observe(run)` gives, for whoever needs it too: it is worth making only once.

    A ledger that does not close is named in `ledger_errors` and left out of the figures, so that one query does not
    cost the user the rest; whoever shows the summary should end with the exit code of `LedgerError`.
    """
    observed = observe(run) if observed is None else observed
    header = run.header
    baseline = header.baseline_name
    if baseline is None or baseline not in observed:
        baseline = next((name for name, observations in observed.items() if observations), None)
    reference = observed.get(baseline, []) if baseline is not None else []
    comparisons = compare(observed, baseline, header.seed, header.stopping)
    summary = Summary(
        run=_facts(header, run.samples),
        baseline=baseline,
        configurations={
            name: _figures(name, header, observations, reference if name != baseline else None)
            for name, observations in observed.items()
        },
        comparisons=comparisons,
        constants=_constants(header),
        findings=(),
        ledger_errors=tuple(
            f"{one.outcome.configuration}: {one.ledger_error}"
            for observations in observed.values()
            for one in observations
            if one.ledger_error is not None
        ),
        advice=(),
        disturbed_rounds=disturbed(round_spans(run.outcomes), run.samples),
        slowest=_slowest(run, observed),
        notes=(*header.notes, *run.problems, *run.span_problems),
        definitions=DEFINITIONS,
    )
    summary = summary.model_copy(update={"findings": find(run, summary, observed)})
    return summary.model_copy(update={"advice": advise(summary)})


def _facts(header: RunHeader, samples: Sequence[MachineSample]) -> RunFacts:
    configurations = list(header.configurations.values())
    return RunFacts(
        thermal=_thermal(samples),
        id=header.id,
        started=header.started,
        status=header.status,
        suite=header.suite.name,
        suite_digest=header.suite.digest,
        queries=len(header.suite.queries),
        rounds=header.rounds,
        concurrency=header.concurrency,
        load=header.load,
        seed=header.seed,
        machine=header.machine,
        versions=header.versions,
        models=unique(one.model for one in configurations if one.model),
        draft_models=unique(one.draft_model for one in configurations if one.draft_model),
        blas=unique(server.blas for server in header.servers.values() if server.blas),
        paths=unique(one.path for one in configurations),
        argv=header.argv,
        order=_ORDERS.get(header.order or "", ""),
        stopping=_stopping(header),
    )


def _thermal(samples: Sequence[MachineSample]) -> str:
    states = unique(one.thermal for one in samples if one.thermal)
    if states:
        return " and ".join(states)
    known = [one.throttled for one in samples if one.throttled is not None]
    return "" if not known else "slowed down at times" if any(known) else "never slowed down"


def _stopping(header: RunHeader) -> str:
    plan = header.stopping
    if plan is None:
        return ""
    budget = f"{plan.most_rounds} rounds" + (f" or {plan.most_minutes:g} minutes" if plan.most_minutes else "")
    why = plan.reason or "it was ended before that"
    return (
        f"until every comparison is decided, at most {budget}: {why}; looked {len(plan.looks)} times, with at most "
        f"{plan.alpha:.0%} chance of any wrong verdict over all looks and comparisons"
    )


def _constants(header: RunHeader) -> Constants:
    expected = Counter(query.expected for query in header.suite.queries)
    tool, direct = expected["tool"], expected["direct"]
    return Constants(always_tool=tool, never_tool=direct, queries=tool + direct)


def _figures(
    name: str, header: RunHeader, observations: Sequence[Observation], reference: Sequence[Observation] | None
) -> ConfigurationFigures:
    record = header.configurations.get(name)
    server = header.servers.get(record.server, ServerRecord()) if record and record.server else ServerRecord()
    answered = [one for one in observations if one.answered]
    timed = [one for one in answered if one.ledger is not None]
    right = right_queries(observations)
    ledger = _mean_ledger([one.ledger for one in timed if one.ledger is not None])
    splits = [split for one in answered for split in one.splits]
    output = _total([one.outcome.output_tokens for one in timed])
    seconds = sum(one.ledger.generation_ns for one in timed if one.ledger is not None) / NS_PER_S
    wall_seconds = sum(one.outcome.wall_ns for one in timed) / NS_PER_S
    wall, ttft = _wall(answered), _ttft(answered)
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
        tokens=_tokens(answered),
        output_tokens_per_s=output / seconds if output is not None and seconds > 0 else None,
        effective_output_tokens_per_s=output / wall_seconds if output is not None and wall_seconds > 0 else None,
        ttft_ms=ttft,
        tpot_ms=_observed([split.per_token_ns for split in splits], _reason(splits, "per_token")),
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
        ttft_cold_ms=_ttft_by_cache(splits, warm=False),
        ttft_warm_ms=_ttft_by_cache(splits, warm=True),
        batched=batched(header, record) if record else None,
        problems=_problems(observations),
        speculation=speculation_figures([drafted for one in answered for drafted in one.drafted]),
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
    median = quantile(_medians(answered), 0.5)
    walls = [one.outcome.wall_ns / NS_PER_MS for one in answered]
    p95 = quantile(walls, 0.95)
    return WallFigures(
        median=median.value,
        low=median.low,
        high=median.high,
        confidence=median.confidence,
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
    return [quantile(values, 0.5).value for values in walls.values()]


def _mean_ledger(ledgers: Sequence[Ledger]) -> LedgerFigures | None:
    if not ledgers:
        return None
    per_ms = NS_PER_MS * len(ledgers)
    return LedgerFigures(
        wall=sum(one.wall_ns for one in ledgers) / per_ms,
        client_queue=sum(one.client_queue_ns for one in ledgers) / per_ms,
        generation=sum(one.generation_ns for one in ledgers) / per_ms,
        tool=sum(one.tool_ns for one in ledgers) / per_ms,
        framework=sum(one.framework_ns for one in ledgers) / per_ms,
        tool_work=sum(one.tool_work_ns for one in ledgers) / per_ms,
    )


def _shares(ledger: LedgerFigures | None) -> LedgerFigures | None:
    if ledger is None or ledger.wall <= 0:
        return None
    return LedgerFigures(**{line: value / ledger.wall for line, value in ledger.model_dump().items()})


def _split(splits: Sequence[GenerationSplit]) -> dict[str, Observed]:
    return {phase: _observed([one.phase(phase) for one in splits], _reason(splits, phase)) for phase in PHASES}


def _reason(splits: Sequence[GenerationSplit], phase: str) -> str:
    reasons = unique(one.not_observable[phase] for one in splits if phase in one.not_observable)
    return "; ".join(reasons) or "the server reported no token counts" if splits else "no generation was recorded"


def _observed(values_ns: Sequence[float | None], reason: str) -> Observed:
    """The mean in ms over the cases where it was seen."""
    seen = [value / NS_PER_MS for value in values_ns if value is not None]
    return Observed(value=_mean(seen), n=len(seen), of=len(values_ns), not_observable=None if seen else reason)


def _ttft(answered: Sequence[Observation]) -> Observed:
    """The median over the answered whose first generation streams what it makes."""
    first = [one.splits[0] for one in answered if one.splits]
    seen = [split.first_chunk_ns / NS_PER_MS for split in first if split.first_chunk_ns is not None]
    if not seen:
        return Observed(value=None, n=0, of=len(answered), not_observable=_reason(first, "first_chunk"))
    return Observed(value=quantile(seen, 0.5).value, n=len(seen), of=len(answered))


def _ttft_by_cache(splits: Sequence[GenerationSplit], *, warm: bool) -> Observed:
    """The median over generations that stream, of whose input at least half was (or was not) in the prompt cache."""
    told = [one for one in splits if one.cached_share is not None]
    if not told:
        return Observed(value=None, n=0, of=len(splits), not_observable="the server reports no cached tokens")
    chosen = [one for one in told if ((one.cached_share or 0.0) >= _WARM) is warm]
    seen = [one.first_chunk_ns / NS_PER_MS for one in chosen if one.first_chunk_ns is not None]
    if not seen:
        why = _reason(chosen, "first_chunk") if chosen else f"no generation was {'warm' if warm else 'cold'}"
        return Observed(value=None, n=0, of=len(chosen), not_observable=why)
    return Observed(value=quantile(seen, 0.5).value, n=len(seen), of=len(chosen))


def _finish_reasons(splits: Sequence[GenerationSplit]) -> dict[str, int]:
    return dict(Counter(one.finish_reason or "not told" for one in splits).most_common())


def _time_per_correct(observations: Sequence[Observation]) -> float | None:
    """All wall time, of errors and wrong answers too, for each correct answer; None where none is correct."""
    correct = sum(one.outcome.verdict is Verdict.CORRECT for one in observations)
    return sum(one.outcome.wall_ns for one in observations) / NS_PER_MS / correct if correct else None


def _goodput(observations: Sequence[Observation], header: RunHeader) -> Goodput | None:
    """Correct and within every objective, of all that were sent."""
    if not observations:
        return None
    objectives = _objectives(header)
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


def _slowest(run: Run, observed: Mapping[str, Sequence[Observation]]) -> SlowestQuery | None:
    """Of the queries that were answered and have spans, the slowest one and what it waited for."""
    timed = [one for all_ in observed.values() for one in all_ if one.answered and one.ledger is not None]
    if not timed:
        return None
    outcome = max(timed, key=lambda one: (one.outcome.wall_ns, -one.outcome.seq)).outcome
    found = parts(run.traces.get(outcome.trace_id, ()))
    return SlowestQuery(
        configuration=outcome.configuration,
        query=outcome.query,
        round=outcome.round,
        wall=outcome.wall_ns / NS_PER_MS,
        parts=tuple(
            PathPart(
                name=one.name,
                segment=one.segment,
                on_path=one.on_path_ns / NS_PER_MS,
                saves=one.saves_ns / NS_PER_MS,
                spans=one.spans,
            )
            for one in found
        ),
    )


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
        grouped.setdefault(one.category, []).append(one)
    return {category: _category(members) for category, members in sorted(grouped.items())}


def _category(members: Sequence[Observation]) -> CategoryFigures:
    right = right_queries(members)
    answered = [one for one in members if one.answered]
    return CategoryFigures(
        queries=len(right),
        correct=sum(right.values()),
        wall_ms_median=quantile(_medians(answered), 0.5).value if answered else None,
        output_tokens_per_query=_tokens(answered).output_per_query,
    )


def _problems(observations: Sequence[Observation]) -> tuple[Problem, ...]:
    grouped: dict[str, list[Observation]] = {}
    for one in observations:
        grouped.setdefault(one.outcome.query, []).append(one)
    return tuple(_problem(query, members) for query, members in grouped.items() if _any_wrong(members))


def _any_wrong(members: Sequence[Observation]) -> bool:
    return any(one.outcome.verdict is not Verdict.CORRECT for one in members)


def _problem(query: str, members: Sequence[Observation]) -> Problem:
    return Problem(
        query=query,
        category=members[0].category,
        rounds=len(members),
        verdicts=_verdicts(members),
        error=next((one.outcome.error for one in members if one.outcome.error), None),
    )
