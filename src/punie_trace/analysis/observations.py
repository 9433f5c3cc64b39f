"""Each outcome of a run beside what its spans say: the ledger, checked against the one it carries, and its generations.

It joins and checks; figures over many are for `summary`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from punie_trace.analysis.asks import asked_before, forgets
from punie_trace.analysis.code_use import CodeUse, code_use_in
from punie_trace.analysis.drafted import Drafted, drafted_in
from punie_trace.analysis.ledger import check_ledger, generation_spans, query_spans, tools_unseen
from punie_trace.analysis.split import GenerationSplit, server_steps, split_generation
from punie_trace.analysis.turns import TurnObservation, observe_turns
from punie_trace.errors import LedgerError
from punie_trace.records import Ledger, Outcome, Verdict
from punie_trace.runs.header import unique
from punie_trace.runs.reader import RunRecord
from punie_trace.spans.conventions import elsewhere
from punie_trace.spans.names import LEFT_PROCESSES
from punie_trace.spans.span import Span

# Asked of each query many times over: of a million, looking the members up takes seconds.
_ERROR, _TIMEOUT = Verdict.ERROR, Verdict.TIMEOUT
_CORRECT, _NOT_JUDGED = Verdict.CORRECT, Verdict.NOT_JUDGED
_ANSWERS = (Verdict.CORRECT, Verdict.WRONG_ANSWER)


@dataclass(frozen=True, slots=True)
class Ask:
    """What holds of an ask whatever came of it. Asks of a query share it: of a million, each field counts."""

    category: str
    judgeable: bool
    """Whether the suite says what is right, by facts of its own or by evaluators."""
    before: bool
    """Whether what answered had been asked the same question before; see `asks`."""
    tells_speed: bool
    """Whether its time tells of speed: asked first, or of a server that forgets."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One outcome and what its trace holds. `ledger` is None where there is none to read, or it does not close."""

    outcome: Outcome
    ask: Ask
    ledger: Ledger | None
    ledger_error: str | None
    splits: tuple[GenerationSplit, ...]
    drafted: tuple[Drafted, ...] = ()
    """What speculation did in each generation whose server tells it."""
    elsewhere: tuple[str, ...] = ()
    """The hosts of requests for tokens that went past the server that is measured, one for each request."""
    left: tuple[str, ...] = ()
    """Names of the processes that its program left running, and that were ended."""
    tools_unseen: bool = False
    """Whether its tools made no spans, so that they cannot be told from the framework."""
    code: CodeUse | None = None
    """None where no code of the model's ran."""
    turns: tuple[TurnObservation, ...] = ()
    """Of a session, its turns as far as it came."""

    @property
    def answered(self) -> bool:
        """Whether there is an answer, right or wrong: its times are those of a whole query."""
        verdict = self.outcome.verdict
        return verdict is not _ERROR and verdict is not _TIMEOUT


def observe(run: RunRecord) -> dict[str, list[Observation]]:
    """The observations by configuration, in the header's order, and within one by their place in the run.

    Rounds that were disturbed and asked again are left out. A configuration that has no outcome has an empty list.
    """
    query_records = run.header.suite.queries
    categories = {query.name: query.category or query.expected or "other" for query in query_records}
    without = {query.name for query in query_records if not query.judgeable}
    names = unique([*run.header.names, *(outcome.configuration for outcome in run.outcomes)])
    observed: dict[str, list[Observation]] = {name: [] for name in names}
    left_out = set(run.header.left_out_rounds)
    forgetting = {name for name in names if forgets(run.header, name)}
    asks: dict[tuple[str, int, bool], Ask] = {}
    in_order = sorted(run.outcomes, key=lambda outcome: outcome.seq)
    for outcome, before in zip(in_order, asked_before(run.header, in_order), strict=True):
        if outcome.round in left_out:
            continue
        spans = run.traces.get(outcome.trace_id, ())
        kind = outcome.query, before, outcome.configuration in forgetting
        ask = asks.get(kind)
        if ask is None:
            query, again, forgotten = kind
            category, judgeable = categories.get(query, "other"), query not in without
            ask = asks[kind] = Ask(category, judgeable, bool(again), not again or forgotten)
        observed[outcome.configuration].append(_observation(outcome, ask, spans))
    return observed


def _observation(outcome: Outcome, ask: Ask, spans: Sequence[Span]) -> Observation:
    ledger, error = _ledger(outcome, spans)
    steps = server_steps(spans)
    splits = tuple(split_generation(span, steps.get(span.span_id)) for span in generation_spans(spans))
    turns, wrong = observe_turns(outcome, spans) if outcome.turns else ((), None)
    left: tuple[str, ...] = ()
    unseen = False
    for span in query_spans(spans):
        unseen = tools_unseen(span)
        found = span.attributes.get(LEFT_PROCESSES)
        left = tuple(map(str, found)) if isinstance(found, tuple) else ()
    return Observation(
        outcome,
        ask,
        ledger,
        error or wrong,
        splits,
        drafted_in(spans),
        elsewhere=tuple(elsewhere(spans)),
        left=left,
        tools_unseen=unseen,
        code=code_use_in(spans),
        turns=turns,
    )


def right_queries(observations: Sequence[Observation]) -> dict[str, bool]:
    """Each query that was judged, and whether it is right: in more than half of its rounds (half is not enough).

    Rounds that were not judged count for nothing. A query of which the suite does not say what is right is left out
    whatever became of it, but for runs of versions that judged by its having an answer.
    """
    verdicts: dict[str, list[bool]] = {}
    for one in observations:
        verdict = one.outcome.verdict
        if verdict is not _NOT_JUDGED and (one.ask.judgeable or verdict in _ANSWERS):
            verdicts.setdefault(one.outcome.query, []).append(verdict is _CORRECT)
    return {query: 2 * sum(right) > len(right) for query, right in verdicts.items()}


def not_judged(observations: Sequence[Observation]) -> tuple[str, ...]:
    """The queries of which at least one round was not judged, or nothing says what is right, as they were asked."""
    unjudged = (
        one.outcome.query
        for one in observations
        if one.outcome.verdict is _NOT_JUDGED or not (one.ask.judgeable or one.outcome.verdict in _ANSWERS)
    )
    return unique(unjudged)


def _ledger(outcome: Outcome, spans: Sequence[Span]) -> tuple[Ledger | None, str | None]:
    try:
        ledger = check_ledger(spans)
    except LedgerError as error:
        # Without a query's span there is nothing to close: the run was cut off before it was written.
        return None, str(error) if query_spans(spans) else None
    if ledger.wall_ns != outcome.wall_ns:
        return None, (
            f"outcome {outcome.seq} of {outcome.query!r} took {outcome.wall_ns} ns, and its span {ledger.wall_ns} ns"
        )
    return ledger, None
