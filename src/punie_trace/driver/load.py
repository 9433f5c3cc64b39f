"""The closed loop: workers take planned queries in order, ask them, judge them, and hand on what came of each.

A query that fails is an outcome like any other. A configuration whose server died or was answered for by something else
is marked as failed and left out from then on; the others go on. Whatever `on_outcome` raises ends the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import anyio
import anyio.lowlevel

from punie_trace.driver.limits import Failures, Limits
from punie_trace.driver.schedule import Planned
from punie_trace.driver.target import Judge, Target
from punie_trace.errors import ServerError
from punie_trace.records import Answer, Arrival, Ledger, Outcome, Path, Verdict
from punie_trace.telemetry.clock import Clock
from punie_trace.telemetry.query_span import QuerySpan

OpenQuery = Callable[[Arrival, Path, bool], AbstractContextManager[QuerySpan]]
"""(arrival, path, warm_up) -> the query's span, open for as long as the query runs."""
OnOutcome = Callable[[Outcome, Ledger], None]
OnFailure = Callable[[str, str], None]
COLLECT_S = 5.0
"""The longest that a server may take to hand over what it knows of a query."""


@dataclass(frozen=True, slots=True)
class Driver:
    """Asks planned queries of targets.

    `on_outcome` is called once for each counted query, in the order in which they end. `on_failure` is called once for
    each configuration that can no longer be asked, with the reason.
    """

    targets: Mapping[str, Target]
    open_query: OpenQuery
    clock: Clock
    judge: Judge
    limits: Limits
    on_outcome: OnOutcome
    on_failure: OnFailure

    async def drive(self, planned: Sequence[Planned], failures: Failures, *, warm_up: bool = False) -> None:
        """Asks all of `planned`; returns when the last one has ended."""
        upcoming = iter(planned)
        async with anyio.create_task_group() as workers:
            for _ in range(max(1, min(self.limits.concurrency, len(planned)))):
                workers.start_soon(self._work, upcoming, failures, warm_up)

    async def _work(self, upcoming: Iterator[Planned], failures: Failures, warm_up: bool) -> None:
        for item in upcoming:
            if failures.skips(item.configuration):
                continue
            await self._ask(item, failures, warm_up)
            await anyio.lowlevel.checkpoint()

    async def _ask(self, item: Planned, failures: Failures, warm_up: bool) -> None:
        target = self.targets[item.configuration]
        arrival = Arrival(item.seq, self.clock.now_ns(), item.round, item.configuration, item.query)
        answer: Answer | None = None
        error: str | None = None
        lost: str | None = None
        with self.open_query(arrival, target.path, warm_up) as span:
            span.mark_sent()
            with anyio.move_on_after(self.limits.query_timeout_s) as scope:
                answer = await target.ask(item.query)
            ledger = span.finish()
            generations = tuple(span.generations)
            timed_out = scope.cancelled_caught
            try:
                target.alive()
                for generation in generations:
                    target.verify(generation)
            except ServerError as failure:
                lost = str(failure)
                error = lost.splitlines()[0]
            verdict = self.judge(item.query, answer, timed_out=timed_out, error=error)
            if timed_out:
                error = f"no answer within {self.limits.query_timeout_s:g} s; query_timeout_s allows more"
            elif error is None and answer is not None:
                error = answer.error
            span.set_verdict(verdict, error)
            if target.collect is not None:
                with anyio.move_on_after(COLLECT_S):  # the query's time is closed: this is nobody's
                    await target.collect(span.trace_id)
        if not warm_up:
            outcome = _outcome(arrival, target, span, ledger, answer, verdict, error)
            self.on_outcome(outcome, ledger)
        if lost is not None and failures.add(item.configuration, lost):
            self.on_failure(item.configuration, lost)


def _outcome(
    arrival: Arrival,
    target: Target,
    span: QuerySpan,
    ledger: Ledger,
    answer: Answer | None,
    verdict: Verdict,
    error: str | None,
) -> Outcome:
    generations = span.generations
    sent_ns = arrival.due_ns + ledger.client_queue_ns
    first = min(generations, key=lambda g: g.sent_ns, default=None)
    return Outcome(
        seq=arrival.seq,
        round=arrival.round,
        configuration=arrival.configuration,
        query=arrival.query.name,
        path=target.path,
        due_ns=arrival.due_ns,
        sent_ns=sent_ns,
        done_ns=arrival.due_ns + ledger.wall_ns,
        verdict=verdict,
        error=error,
        trace_id=span.trace_id,
        answer=answer.text if answer is not None else "",
        tool_calls=answer.tool_calls if answer is not None else (),
        generations=len(generations),
        input_tokens=_sum([g.input_tokens for g in generations]),
        output_tokens=_sum([g.output_tokens for g in generations]),
        cached_tokens=_sum([g.cached_tokens for g in generations]),
        ttft_ns=None if first is None or first.first_chunk_ns is None else first.first_chunk_ns - first.sent_ns,
        served_model=target.served_model or next((g.served_model for g in generations), None),
    )


def _sum(counts: Sequence[int | None]) -> int | None:
    """The sum of what was reported; None where any generation reported nothing, as half a sum would mislead."""
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None
