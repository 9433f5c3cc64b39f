"""The open loop: due times hold whether or not the server keeps up, and every end of a stage is in order and said."""

from __future__ import annotations

import anyio
import pytest

from punie_trace.driver.arrivals import Flat, Timed, recorded
from punie_trace.driver.limits import Failures, Limits
from punie_trace.driver.load import Driver
from punie_trace.driver.schedule import ClosedLoop, OpenLoop, plan_endless, plan_rounds
from punie_trace.driver.stage import ALL_ASKED, NOBODY_LEFT, Stage
from punie_trace.driver.target import Ask
from punie_trace.errors import ServerError
from punie_trace.records import Answer, Query, Verdict
from tests.driver.test_load import QUERIES, Recorder, answer, driver, target

pytestmark = pytest.mark.anyio
AT_ONCE = recorded([0.0] * 12, "twelve at once")


class Asked:
    """Counts what is asked, and lets nothing through but what `passes`."""

    def __init__(self, passes: int = 0) -> None:
        self.now = 0
        self.most = 0
        self.total = 0
        self.gate = anyio.Event()
        self._passes = passes

    async def __call__(self, query: Query) -> Answer:
        self.now += 1
        self.total += 1
        self.most = max(self.most, self.now)
        if self.total == self._passes:
            self.gate.set()
        try:
            await self.gate.wait()
        finally:
            self.now -= 1
        return Answer("x")


async def failing(query: Query) -> Answer:
    return Answer("", error="refused")


def of(ask: Ask, recorder: Recorder, limits: Limits | None = None) -> Driver:
    return driver([target("a", ask)], recorder, limits=limits)


async def test_arrivals_do_not_wait_for_answers() -> None:
    recorder, asked = Recorder(), Asked(passes=12)
    load = OpenLoop(AT_ONCE)
    stage = await of(asked, recorder).drive(plan_endless(["a"], QUERIES, 0), Failures(), load)
    assert asked.most == 12, "they were all in flight before the first was answered"
    assert sorted(o.seq for o in recorder.outcomes) == list(range(12))
    assert len({o.due_ns for o in recorder.outcomes}) == 1
    assert stage.watch.most_in_flight == 12
    assert stage.reason == ALL_ASKED


async def test_latency_counts_from_due_and_the_wait_is_client_queue() -> None:
    recorder = Recorder()
    load = OpenLoop(AT_ONCE, max_in_flight=1)
    stage = await of(answer, recorder).drive(plan_endless(["a"], QUERIES, 0), Failures(), load)
    assert len({o.due_ns for o in recorder.outcomes}) == 1
    last = recorder.outcomes[-1]
    assert last.sent_ns >= recorder.outcomes[0].done_ns
    for outcome, ledger in zip(recorder.outcomes, recorder.ledgers, strict=True):
        assert ledger.client_queue_ns == outcome.sent_ns - outcome.due_ns
        assert ledger.wall_ns == outcome.done_ns - outcome.due_ns
    assert stage.watch.held == 11, "the limit of queries in flight held them, not the client"
    assert stage.watch.late.n == 1


async def test_queries_come_at_their_times() -> None:
    recorder = Recorder()
    load = OpenLoop(Timed(Flat(200.0)))
    await of(answer, recorder, Limits(queries=20)).drive(plan_endless(["a"], QUERIES, 0), Failures(), load)
    due = sorted(o.due_ns for o in recorder.outcomes)
    assert [at - due[0] for at in due] == [number * 5_000_000 for number in range(20)]
    assert all(o.sent_ns >= o.due_ns for o in recorder.outcomes)


async def test_a_number_of_queries_ends_a_stage() -> None:
    recorder = Recorder()
    made = of(answer, recorder, Limits(queries=7))
    stage = await made.drive(plan_endless(["a"], QUERIES, 0), Failures(), ClosedLoop(2))
    assert len(recorder.outcomes) == 7
    assert "7 queries were asked" in stage.reason
    assert not stage.stopper.early


@pytest.mark.parametrize("load", [ClosedLoop(2), ClosedLoop(2, think_s=30.0), OpenLoop(Timed(Flat(100.0)))])
async def test_a_duration_ends_a_stage(load: ClosedLoop | OpenLoop) -> None:
    recorder = Recorder()
    with anyio.fail_after(20):
        stage = await of(answer, recorder, Limits(duration_s=0.2)).drive(
            plan_endless(["a"], QUERIES, 0), Failures(), load
        )
    assert "0.2 s were over" in stage.reason
    assert recorder.outcomes
    if isinstance(load, OpenLoop):
        assert all(o.due_ns < stage.began_ns + 200_000_000 for o in recorder.outcomes)
    elif load.think_s:
        assert len(recorder.outcomes) <= 2, "nobody thought to the end"


async def test_arrivals_that_could_not_be_sent_are_counted() -> None:
    recorder, asked = Recorder(), Asked()
    load = OpenLoop(Timed(Flat(100.0)), max_in_flight=1)
    made = of(asked, recorder, Limits(duration_s=0.2, cool_down_s=0.05))
    stage = await made.drive(plan_endless(["a"], QUERIES, 0), Failures(), load)
    assert asked.total == 1
    assert stage.watch.dropped == 19
    assert stage.watch.cut == 1
    (outcome,) = recorder.outcomes
    assert outcome.verdict is Verdict.TIMEOUT
    assert "cut off" in (outcome.error or "")


async def test_arrivals_that_wait_too_long_are_dropped() -> None:
    recorder = Recorder()

    async def slow(query: Query) -> Answer:
        await anyio.sleep(0.05)
        return Answer("x")

    load = OpenLoop(AT_ONCE, max_in_flight=1, drop_after_s=0.12)
    stage = await of(slow, recorder).drive(plan_endless(["a"], QUERIES, 0), Failures(), load)
    assert stage.watch.dropped > 0
    assert len(recorder.outcomes) + stage.watch.dropped == 12
    assert {o.seq for o in recorder.outcomes} == set(range(len(recorder.outcomes)))


async def test_errors_end_a_stage_early() -> None:
    recorder = Recorder()
    made = of(failing, recorder, Limits(max_error_ratio=0.5))
    stage = await made.drive(plan_endless(["a"], QUERIES, 0), Failures(), ClosedLoop(1))
    assert len(recorder.outcomes) == 20
    assert stage.stopper.early
    assert "20 of 20 queries failed" in stage.reason


async def test_an_endless_schedule_ends_when_nobody_is_left_to_ask() -> None:
    recorder = Recorder()

    def dead() -> None:
        raise ServerError("the server exited")

    made = driver([target("a", answer, alive=dead)], recorder)
    with anyio.fail_after(20):
        stage = await made.drive(plan_endless(["a"], QUERIES, 0), Failures(), ClosedLoop(2))
    assert stage.reason == NOBODY_LEFT
    assert 1 <= len(recorder.outcomes) <= 2


async def test_think_time_lies_between_an_answer_and_the_next_query() -> None:
    recorder = Recorder()
    made = driver([target("a", answer)], recorder)
    await made.drive(plan_rounds(["a"], QUERIES, 1, 0), Failures(), ClosedLoop(1, think_s=0.02))
    first, second, third = recorder.outcomes
    assert second.due_ns - first.done_ns >= 20_000_000
    assert third.due_ns - second.done_ns >= 20_000_000


async def test_the_record_says_what_the_client_did() -> None:
    recorder = Recorder()
    made = of(answer, recorder)
    stage = await made.drive(plan_rounds(["a"], QUERIES, 2, 0), Failures(), ClosedLoop(2))
    record = stage.watch.record(["a"], "closed", stage.reason)
    assert record.sent == record.late.n == 6
    assert record.dropped == record.held == record.cut == 0
    assert record.ended == ALL_ASKED
    assert record.cpu_share > 0


async def test_queries_that_were_to_be_asked_are_waited_for() -> None:
    recorder = Recorder()

    async def slow(query: Query) -> Answer:
        await anyio.sleep(0.15)
        return Answer("an answer")

    limits = Limits(queries=2, cool_down_s=0.01)
    stage = await of(slow, recorder, limits).drive(plan_endless(["a"], QUERIES, 0), Failures(), ClosedLoop(2))
    assert [o.verdict for o in recorder.outcomes] == [Verdict.CORRECT] * 2
    assert stage.watch.cut == 0


async def test_who_joins_late_sends_nothing_that_was_due_before_and_counts_it() -> None:
    recorder, asked = Recorder(), Asked(passes=1)
    one = of(asked, recorder)
    load = OpenLoop(recorded([0.0, 1.0, 2.0, 3.0], "four"))
    began = one.clock.now_ns() - 2_500_000_000
    planned = iter(plan_endless(["a"], QUERIES, 0))
    stage = Stage(one.limits, one.clock, Failures(), frozenset({"a"}), planned, began_ns=began)
    await one.drive_stage(stage, planned, load)
    assert [o.seq for o in recorder.outcomes] == [3]
    assert (stage.watch.dropped, stage.taken) == (3, 4)
    assert recorder.outcomes[0].due_ns == began + 3_000_000_000


async def test_a_start_that_was_agreed_is_what_arrivals_count_from() -> None:
    recorder, asked = Recorder(), Asked(passes=2)
    one = of(asked, recorder)
    began = one.clock.now_ns() - 100_000_000
    planned = iter(plan_endless(["a"], QUERIES, 0))
    stage = Stage(one.limits, one.clock, Failures(), frozenset({"a"}), planned, began_ns=began)
    await one.drive_stage(stage, planned, OpenLoop(recorded([0.0, 0.01], "two")))
    assert sorted(o.due_ns - began for o in recorder.outcomes) == [0, 10_000_000]
    assert stage.watch.dropped == 0


async def test_a_stage_is_ended_from_outside_with_its_reason() -> None:
    recorder, asked = Recorder(), Asked(passes=1)
    one = of(asked, recorder, Limits(cool_down_s=0.1))
    planned = iter(plan_endless(["a"], QUERIES, 0))
    stage = Stage(one.limits, one.clock, Failures(), frozenset({"a"}), planned)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.drive_stage, stage, planned, OpenLoop(Timed(Flat(100.0))))
        with anyio.fail_after(10):
            while len(recorder.outcomes) < 5:  # noqa: ASYNC110 - a recorder sends no event
                await anyio.sleep(0.01)
        stage.end("the fleet has had enough", early=True)
    assert (stage.reason, stage.stopper.early) == ("the fleet has had enough", True)
