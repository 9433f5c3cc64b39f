"""From a run to its figures: the one function that reports, gates and dashboards start from.

Pure: the same run gives the same summary. It reads no disk but through the run's lazily read spans, and prints nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from punie_trace.analysis.advice import advise
from punie_trace.analysis.compare import compare
from punie_trace.analysis.configuration_figures import configuration_figures
from punie_trace.analysis.critical_path import parts
from punie_trace.analysis.disturbances import disturbed, round_spans
from punie_trace.analysis.energy import energy_by_configuration
from punie_trace.analysis.figure_kinds import PathPart, SlowestQuery
from punie_trace.analysis.figures import Constants, RunFacts, Summary
from punie_trace.analysis.findings import find
from punie_trace.analysis.memory_gain import asked_again
from punie_trace.analysis.observations import Observation, observe
from punie_trace.analysis.served_by import versions_that_ran
from punie_trace.records import MachineSample
from punie_trace.runs.header import RunHeader, unique
from punie_trace.runs.reader import RunRecord

NS_PER_MS: Final = 1e6
_ORDERS: Final = {
    "interleaved": "configurations take turns, shuffled within each round",
    "one-by-one": "configurations of one server after those of another",
}

DEFINITIONS: Final = {
    "median, mean, p95": "wall time from due to done, of queries that ended with an answer, right or wrong; the median "
    "is over queries, of each one's median over rounds (exact order-statistic interval)",
    "first asks": "questions that what answers had not been asked before, by warm-up, another configuration or an "
    "earlier round; of servers that were configured to forget, all asks count as such",
    "speed-up": "baseline's time / this one's, of first asks, paired by query and round: geometric mean over queries "
    "of the median over rounds; 95 % interval of Student's t over queries, for queries like these; verdicts at 5 % "
    "after Holm's correction",
    "asked again": "the speed-up of questions that both had been asked before, which is speed and memory together; and "
    "by configuration, the time of a first ask / the median of later ones",
    "ledger": "queue (due to sent), generation (a request to the model is open), tool (one runs, no request is open), "
    "framework (the rest); they add up to the wall time; in code mode "
    "sandbox is what of the tool line the model's code took by itself, and 'hidden behind generation' tools at work "
    "while a generation was open, which is generation's; a program's tools cannot be seen: tool and framework are one "
    "line of its, between generations",
    "more or less": "means over queries of the differences to the baseline in pairs of first asks; generation's is "
    "split by logarithmic means into fewer generations, fewer tokens in each, less time a token",
    "right": "queries that are correct in more than half of their rounds, errors included; Wilson's 95 % interval",
    "identical": "queries with the baseline's tool calls and answer, to the letter, in every round",
    "time per correct": "all wall time, of errors and wrong answers too, for each correct answer",
    "goodput": "queries that meet every objective and are correct / all queries sent, errors included",
    "critical path": "the spans that a query waited for, from its end backwards; 'saves' is the most that is saved if "
    "a part takes no time: its time on the path with nothing beside it",
    "tok/s": "output tokens / time in generation, without errors and timeouts; effective: / wall time",
    "TTFT": "first chunk with output minus request sent, of a query's first turn: of those that answer, and apart "
    "from them of those that call a tool, since some servers hold a call back until it is whole; where it is streamed",
    "TTFT cold, warm": "of all generations that stream: cold where less than half of the input was in the server's "
    "prompt cache",
    "turns": "of sessions: each has a due, a ledger and a verdict of its own, and what passes between two turns is no "
    "one's; a session's wall time and ledger are the sums of its turns', and speed-ups are of whole sessions",
    "TPOT": "(last chunk - first chunk) / (output tokens - 1), of each generation that the server streams",
    "acceptance": "drafted tokens that the model accepted / tokens drafted; length: 1 + accepted / rounds, the tokens "
    "that a round of draft and verify yields; K: tokens drafted a round; of servers that tell it",
    "memory": "peak of the server's own process while it worked",
    "energy": "what the machine's own counters rose by while a configuration's queries ran, with whatever else ran on "
    "it and idle power; for each right answer, and for 1,000 output tokens",
}


def summarize(run: RunRecord, observed: dict[str, list[Observation]] | None = None) -> Summary:
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
    comparisons = compare(header, observed, baseline)
    again = asked_again(observed)
    energy = energy_by_configuration(run.outcomes, run.energy)
    summary = Summary(
        run=_facts(header, run.samples, energy if isinstance(energy, str) else ""),
        baseline=baseline,
        configurations={
            name: configuration_figures(
                name, header, observations, reference if name != baseline else None, again.get(name)
            ).model_copy(update={"energy": energy.get(name) if not isinstance(energy, str) else None})
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


def _facts(header: RunHeader, samples: Sequence[MachineSample], energy: str) -> RunFacts:
    configurations = list(header.configurations.values())
    return RunFacts(
        thermal=_thermal(samples),
        energy=energy,
        id=header.id,
        started=header.started,
        status=header.status,
        suite=header.suite.name,
        suite_digest=header.suite.digest,
        queries=len(header.suite.queries),
        asked_once=sum(query.once for query in header.suite.queries),
        rounds=header.rounds,
        concurrency=header.concurrency,
        load=header.load,
        seed=header.seed,
        machine=header.machine,
        versions=versions_that_ran(header),
        models=unique(_below_home(one.model) for one in configurations if one.model),
        draft_models=unique(_below_home(one.draft_model) for one in configurations if one.draft_model),
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
        f"until every comparison is decided, at most {budget}: {why}; {len(plan.looks)} interim analyses, with at most "
        f"{plan.alpha:.0%} chance of any wrong verdict over all of them and all comparisons"
    )


def _constants(header: RunHeader) -> Constants:
    expected = Counter(query.expected for query in header.suite.queries)
    tool, direct = expected["tool"], expected["direct"]
    return Constants(always_tool=tool, never_tool=direct, queries=tool + direct)


def _slowest(run: RunRecord, observed: Mapping[str, Sequence[Observation]]) -> SlowestQuery | None:
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


def _below_home(model: str) -> str:
    """A folder below one's own as `~/...`: what is pasted elsewhere need not say who one is."""
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none
    return f"~{model[len(home) :]}" if model.startswith(home + os.sep) else model
