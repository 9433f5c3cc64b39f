"""Asks planned queries, in a closed or an open loop, has the answers judged, and hands on what came of each.

Judging begins when a query's time is closed. With one query at a time it is over before the next one is asked, so that
nothing is measured meanwhile; with more, a judge that may take long (`judges_apart`) works beside the load, which goes
on as if there were no judge. A query that fails is an outcome like any other. A configuration whose server died or was
answered for by something else is marked as failed and left out from then on; the others go on. Whatever `on_outcome`
raises ends the run. Nothing is kept of a query that has ended, so the driver's memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from punie_trace.driver.asks import Asks
from punie_trace.driver.client import ClientWatch
from punie_trace.driver.limits import Failures, Limits
from punie_trace.driver.net import ask_safely, prepare_safely
from punie_trace.driver.outcomes import outcome_of, seen_in
from punie_trace.driver.schedule import ClosedLoop, Load, OpenLoop, Planned
from punie_trace.driver.session import Session
from punie_trace.driver.shards import shard_offsets
from punie_trace.driver.stage import Stage
from punie_trace.driver.target import Judge, Target
from punie_trace.errors import ServerError
from punie_trace.records import Answer, Arrival, EndedQuery, Ledger, Outcome, Path
from punie_trace.spans.clock import Clock
from punie_trace.spans.query_span import QuerySpan

OpenQuery = Callable[[Arrival, Path, bool], AbstractContextManager[QuerySpan]]
"""(arrival, path, warm_up) -> the query's span, open for as long as the query runs."""
OnOutcome = Callable[[Outcome, Ledger], None]
OnFailure = Callable[[str, str], None]
COLLECT_S = 5.0
"""The longest that a server may take to hand over what it knows of a query."""
MOST_BEING_JUDGED = 256
"""Where so many wait for their judge, those that come after hold their place in the load until they are judged."""

ONE_WORKER = ClosedLoop()


@dataclass(frozen=True, slots=True)
class Driver:
    """Asks planned queries of targets.

    `on_outcome` is called once for each counted query, in the order in which they were judged. `on_failure` is called
    once for each configuration that can no longer be asked, with the reason.
    """

    targets: Mapping[str, Target]
    open_query: OpenQuery
    clock: Clock
    judge: Judge
    limits: Limits
    on_outcome: OnOutcome
    on_failure: OnFailure
    judges_apart: bool = False
    """Whether judging may take long, so that the load must not wait for it."""
    asks: Asks = field(default_factory=Asks)
    """What was asked so far, of servers that other drivers of the run may have asked as well."""

    async def drive(
        self,
        planned: Iterable[Planned],
        failures: Failures,
        load: Load = ONE_WORKER,
        *,
        seed: int = 0,
        warm_up: bool = False,
        watch: ClientWatch | None = None,
    ) -> Stage:
        """One stage: asks of `planned` what `load` and the limits allow; returns when the last query has ended.

        `planned` may be endless where a limit ends the stage. `seed` fixes the arrivals of an open loop. The stage says
        why it ended, and what the client's own part in its times was; `watch` goes on with that of an earlier stage.
        """
        stage = Stage(self.limits, self.clock, failures, frozenset(self.targets), planned, warm_up=warm_up, watch=watch)
        stage.scheduled = isinstance(load, OpenLoop)
        return await self.drive_stage(stage, planned, load, seed=seed)

    async def drive_stage(
        self, stage: Stage, planned: Iterable[Planned], load: Load = ONE_WORKER, *, seed: int = 0
    ) -> Stage:
        """As `drive`, for a stage that its owner made of `planned`, to begin at a given time or to be ended."""
        stage.think_s = load.think_s if isinstance(load, ClosedLoop) else 0.0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.watch_over)
            if isinstance(load, OpenLoop):
                stage.start(tasks, self._dispatch, stage, load, seed, tasks)
            else:
                workers = load.concurrency if not isinstance(planned, Sequence) else min(load.concurrency, len(planned))
                apart = tasks if self.judges_apart and workers > 1 else None
                for _ in range(max(1, workers)):
                    stage.start(tasks, self._work, stage, load.think_s, apart)
        return stage

    async def _work(self, stage: Stage, think_s: float, apart: TaskGroup | None) -> None:
        """One worker of a closed loop; with `apart`, its queries run there, and it goes on once they are answered."""
        due_ns = self.clock.now_ns()
        while (item := stage.next_planned()) is not None:
            if apart is None:
                await self._ask(stage, item, due_ns)
            else:
                answered = anyio.Event()
                stage.start(apart, self._ask_and_say, stage, item, due_ns, answered.set)
                await answered.wait()
            await anyio.lowlevel.checkpoint()
            due_ns = self.clock.now_ns()
            if think_s:
                due_ns += round(think_s * 1e9)
                await stage.wait_until(due_ns)

    async def _dispatch(self, stage: Stage, load: OpenLoop, seed: int, tasks: TaskGroup) -> None:
        """Starts each arrival when it is due, or as soon as one more may be in flight."""
        offsets = shard_offsets(load, seed)
        drop_ns = None if load.drop_after_s is None else round(load.drop_after_s * 1e9)
        held_until_ns = 0
        for offset in offsets:
            due_ns = stage.began_ns + offset
            if stage.end_ns is not None and due_ns >= stage.end_ns:
                break
            if due_ns < stage.joined_ns:
                stage.miss_planned()
                continue
            if self.clock.now_ns() < due_ns:
                await stage.wait_until(due_ns)
            if await stage.room(load.max_in_flight):
                held_until_ns = self.clock.now_ns()
            if stage.stopper.reason is not None:
                stage.count_unsent(due_ns, offsets)
                return
            if drop_ns is not None and self.clock.now_ns() - due_ns > drop_ns:
                stage.drop_planned()
                continue
            item = stage.next_planned()
            if item is None:
                return
            stage.start(tasks, self._arrive, stage, item, due_ns, due_ns <= held_until_ns)
            # Let it go out before the next one is looked at.
            await anyio.lowlevel.checkpoint()
        else:
            return
        await stage.wait_for_end()

    async def _arrive(self, stage: Stage, item: Planned, due_ns: int, held: bool) -> None:
        await self._ask_and_say(stage, item, due_ns, stage.leave, held)

    async def _ask_and_say(
        self, stage: Stage, item: Planned, due_ns: int, answered: Callable[[], None], held: bool = False
    ) -> None:
        """Asks and judges, and calls `answered` once: before judging, or at the end where too many wait for that."""
        pending = [answered]
        try:
            await self._ask(stage, item, due_ns, held=held, pending=pending)
        finally:
            for one in pending:
                one()

    async def _ask(
        self,
        stage: Stage,
        item: Planned,
        due_ns: int,
        *,
        held: bool = False,
        pending: list[Callable[[], None]] | None = None,
    ) -> None:
        target = self.targets[item.configuration]
        ask, say = target.ask, None
        prepared = target.prepare_session if item.query.turns else target.prepare
        if item.query.turns and target.prepare_session is not None:
            say = await prepare_safely(target.prepare_session, item.query)
        elif not item.query.turns and target.prepare is not None:
            ask = await prepare_safely(target.prepare, item.query)
        if prepared is not None and not stage.scheduled:
            due_ns = self.clock.now_ns()
        arrival = Arrival(item.seq, due_ns, item.round, item.configuration, item.query)
        answer: Answer | None = None
        error: str | None = None
        lost: str | None = None
        with self.open_query(arrival, target.path, stage.warm_up) as span:
            span.mark_sent()
            memory = target.memory or target.configuration
            asked_before = self.asks.enter(memory, item.query.opening) if target.remembers else 0
            span.asked_before(asked_before)
            session = Session(target, item.query, span, say) if item.query.turns else None
            with stage.in_flight(held=held, late_ns=(span.sent_ns or due_ns) - due_ns) as scope:
                if session is not None:
                    await session.ask(partial(stage.think, scope))
                else:
                    answer = await ask_safely(ask, item.query)
            ledger = span.finish()
            seen = seen_in(span, target, answer) if session is None else session.whole()
            answer = seen if answer is not None or session is not None else None
            if seen.tools_unseen and not ledger.tool_work_ns:
                span.tools_unseen()
            timed_out = scope.cancelled_caught
            try:
                target.alive()
                for generation in seen.generations:
                    target.verify(generation)
            except ServerError as failure:
                lost = str(failure)
                error = lost.splitlines()[0]
            ended = EndedQuery(
                query=item.query,
                answer=answer,
                trace_id=span.trace_id,
                wall_ns=ledger.wall_ns,
                timed_out=timed_out,
                error=error,
                warm_up=stage.warm_up,
            )
            if timed_out:
                error = stage.why_cut(scope)
            if target.collect is not None:
                with anyio.move_on_after(COLLECT_S):  # the query's time is closed: this is nobody's
                    await target.collect(span.trace_id)
            if pending and stage.being_judged < MOST_BEING_JUDGED:
                pending.pop()()
            stage.being_judged += 1
            try:
                judgement = await self.judge(ended)
            finally:
                stage.being_judged -= 1
                if target.release is not None and answer is not None:
                    await target.release(answer)
            turns = () if session is None else session.outcomes(judgement.turns, error)
            span.set_verdict(judgement.verdict, error or seen.error)
        if not stage.warm_up:
            outcome = outcome_of(arrival, target, ledger, span.trace_id, seen, judgement, turns, error=error)
            outcome = replace(outcome, asked_before=asked_before)
            self.on_outcome(outcome, ledger)
            stage.ended(outcome)
        if lost is not None and stage.failures.add(item.configuration, lost):
            self.on_failure(item.configuration, lost)
