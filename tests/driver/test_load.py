"""The closed loop, over targets that are plain functions: what it hands on, whom it leaves out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from punie_trace.analysis.ledger import close_ledger
from punie_trace.driver.arrivals import recorded
from punie_trace.driver.limits import Failures, Limits
from punie_trace.driver.load import Driver
from punie_trace.driver.schedule import ClosedLoop, OpenLoop, Planned, plan_rounds, plan_warm_up
from punie_trace.driver.target import Ask, Target
from punie_trace.errors import IdentityError, RunFolderError, ServerError
from punie_trace.records import (
    Answer,
    Arrival,
    EndedQuery,
    Evaluation,
    Generation,
    Judgement,
    Ledger,
    Outcome,
    Path,
    Query,
    Verdict,
)
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import ClockTracerProvider, make_tracer_provider
from punie_trace.spans.query_span import QuerySpan, open_query
from punie_trace.suite.check import judge_by_facts

pytestmark = pytest.mark.anyio
QUERIES = [Query(name, str(n), answer_contains=("answer",)) for n, name in enumerate(("one", "two", "three"), 1)]


class Recorder:
    provider: ClockTracerProvider

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.ledgers: list[Ledger] = []
        self.failed: dict[str, str] = {}

    def outcome(self, outcome: Outcome, ledger: Ledger) -> None:
        self.outcomes.append(outcome)
        self.ledgers.append(ledger)

    def generation(self, start_ns: int, end_ns: int, first_ns: int | None = None, **attributes: int | str) -> None:
        """A generation of the query that is asked now, as the transport writes it."""
        known = {getattr(names, key): value for key, value in attributes.items()}
        known = {names.SEGMENT: names.SEGMENT_GENERATION, **known}
        span = self.provider.tracer.start_span("POST", attributes=known, start_time=start_ns)
        if first_ns is not None:
            span.add_event(names.EVENT_FIRST_CHUNK, timestamp=first_ns)
        span.end(end_ns)

    def failure(self, configuration: str, reason: str) -> None:
        assert configuration not in self.failed, "told twice"
        self.failed[configuration] = reason


def nothing(*_: object) -> None:
    return None


def target(
    name: str,
    ask: Ask,
    verify: Callable[[Generation], None] = nothing,
    alive: Callable[[], None] = nothing,
) -> Target:
    return Target(name, "agent", ask, verify, alive, served_model="the model")


def driver(targets: list[Target], recorder: Recorder, timeout_s: float = 5.0, limits: Limits | None = None) -> Driver:
    clock = Clock.start()
    provider = recorder.provider = make_tracer_provider(clock, "test-run")

    def opened(arrival: Arrival, path: Path, warm_up: bool) -> AbstractContextManager[QuerySpan]:
        return open_query(
            provider,
            clock,
            arrival=arrival,
            path=path,
            run_span_context=None,
            close=close_ledger,
            warm_up=warm_up,
        )

    return Driver(
        {t.configuration: t for t in targets},
        opened,
        clock,
        judge_by_facts,
        limits or Limits(query_timeout_s=timeout_s),
        recorder.outcome,
        recorder.failure,
    )


async def answer(query: Query) -> Answer:
    await anyio.lowlevel.checkpoint()
    return Answer(f"answer to {query.text}")


async def test_every_query_becomes_an_outcome() -> None:
    recorder = Recorder()
    planned = plan_rounds(["a", "b"], QUERIES, 2, seed=0)
    await driver([target("a", answer), target("b", answer)], recorder).drive(planned, Failures(), ClosedLoop(3))
    assert sorted(o.seq for o in recorder.outcomes) == list(range(12))
    assert {o.verdict for o in recorder.outcomes} == {Verdict.CORRECT}
    assert len({o.trace_id for o in recorder.outcomes}) == 12
    for outcome, ledger in zip(recorder.outcomes, recorder.ledgers, strict=True):
        assert outcome.due_ns <= outcome.sent_ns <= outcome.done_ns
        assert ledger.wall_ns == outcome.wall_ns
        assert outcome.served_model == "the model"


async def test_one_query_at_a_time_is_judged_before_the_next_is_asked() -> None:
    assert await _order(ClosedLoop(1)) == ["ask", "judged"] * 3


@pytest.mark.parametrize(
    "load", [ClosedLoop(2), OpenLoop(recorded([0.0] * 3, "three at once"))], ids=["closed", "open"]
)
async def test_the_load_goes_on_while_a_slow_judge_works(load: ClosedLoop | OpenLoop) -> None:
    assert await _order(load) == ["ask"] * 3 + ["judged"] * 3


async def _order(load: ClosedLoop | OpenLoop) -> list[str]:
    recorder = Recorder()
    order: list[str] = []

    async def ask(query: Query) -> Answer:
        order.append("ask")
        return await answer(query)

    async def slow(ended: EndedQuery) -> Judgement:
        await anyio.sleep(0.1)
        order.append("judged")
        return Judgement(Verdict.WRONG_ANSWER, "mine: no", (Evaluation("mine", False, "no"),))

    made = replace(driver([target("a", ask)], recorder), judge=slow, judges_apart=True)
    planned = [Planned(i, 1, "a", q) for i, q in enumerate(QUERIES)]
    await made.drive(planned, Failures(), load)
    assert [(o.verdict, o.error, len(o.evaluations)) for o in recorder.outcomes] == [
        (Verdict.WRONG_ANSWER, "mine: no", 1)
    ] * 3
    assert max(o.wall_ns for o in recorder.outcomes) < 100_000_000
    return order


async def test_warm_up_is_asked_and_not_counted() -> None:
    recorder = Recorder()
    asked: list[str] = []

    async def ask(query: Query) -> Answer:
        asked.append(query.name)
        return await answer(query)

    await driver([target("a", ask)], recorder).drive(plan_warm_up(["a"], QUERIES, 2), Failures(), warm_up=True)
    assert asked == ["one", "two"]
    assert recorder.outcomes == []


async def test_at_most_concurrency_queries_are_in_flight() -> None:
    recorder = Recorder()
    now, most = 0, 0

    async def ask(query: Query) -> Answer:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await anyio.sleep(0.002)
        now -= 1
        return Answer("x")

    planned = plan_rounds(["a"], QUERIES, 4, 0)
    await driver([target("a", ask)], recorder).drive(planned, Failures(), ClosedLoop(2))
    assert most == 2
    assert len(recorder.outcomes) == 12


async def test_a_query_over_its_deadline_is_a_timeout_and_the_next_one_goes_on() -> None:
    recorder = Recorder()

    async def ask(query: Query) -> Answer:
        if query.name == "two":
            await anyio.sleep_forever()
        return await answer(query)

    planned = [Planned(i, 1, "a", q) for i, q in enumerate(QUERIES)]
    await driver([target("a", ask)], recorder, timeout_s=0.05).drive(planned, Failures())
    assert [o.verdict for o in recorder.outcomes] == [Verdict.CORRECT, Verdict.TIMEOUT, Verdict.CORRECT]
    error = recorder.outcomes[1].error
    assert error is not None
    assert "0.05 s" in error
    assert recorder.failed == {}


async def test_an_error_of_the_path_is_an_outcome() -> None:
    recorder = Recorder()

    async def ask(query: Query) -> Answer:
        return Answer("", error="ModelHTTPError: status 500")

    await driver([target("a", ask)], recorder).drive(plan_rounds(["a"], QUERIES, 1, 0), Failures())
    assert [o.verdict for o in recorder.outcomes] == [Verdict.ERROR] * 3
    assert recorder.outcomes[0].error == "ModelHTTPError: status 500"


async def test_a_dead_server_costs_its_configuration_only() -> None:
    recorder = Recorder()
    failures = Failures()

    def dead() -> None:
        raise ServerError("the server exited with code 3", "last words")

    targets = [target("a", answer), target("b", answer, alive=dead)]
    await driver(targets, recorder).drive(plan_rounds(["a", "b"], QUERIES, 2, 0), failures)
    assert [o.configuration for o in recorder.outcomes].count("a") == 6
    lost = [o for o in recorder.outcomes if o.configuration == "b"]
    assert [o.verdict for o in lost] == [Verdict.ERROR]
    assert lost[0].error == "the server exited with code 3"
    assert "last words" in recorder.failed["b"]
    assert failures.skipped == {"b": 5}


async def test_an_answer_by_another_model_is_never_counted_as_right() -> None:
    recorder = Recorder()

    async def ask(query: Query) -> Answer:
        recorder.generation(1, 2, GEN_AI_RESPONSE_MODEL="a stranger")
        return await answer(query)

    def verify(one: Generation) -> None:
        raise IdentityError(f"asked for the model, answered by {one.served_model!r}")

    await driver([target("a", ask, verify)], recorder).drive(plan_rounds(["a"], QUERIES, 1, 0), Failures())
    assert [o.verdict for o in recorder.outcomes] == [Verdict.ERROR]
    assert "a stranger" in recorder.failed["a"]


async def test_counts_and_time_to_first_chunk_come_from_the_generations() -> None:
    recorder = Recorder()

    async def ask(query: Query) -> Answer:
        now = clock.now_ns()
        counts = {"GEN_AI_INPUT_TOKENS": 10, "GEN_AI_OUTPUT_TOKENS": 5, "GEN_AI_CACHED_TOKENS": 2}
        recorder.generation(now, now + 50, now + 30, **counts)
        recorder.generation(now + 60, now + 90, now + 70, GEN_AI_INPUT_TOKENS=20, GEN_AI_OUTPUT_TOKENS=7)
        return await answer(query)

    made = driver([target("a", ask)], recorder)
    clock = made.clock
    await made.drive(plan_rounds(["a"], QUERIES[:1], 1, 0), Failures())
    (outcome,) = recorder.outcomes
    assert (outcome.generations, outcome.input_tokens, outcome.output_tokens) == (2, 30, 12)
    assert outcome.cached_tokens is None, "half a sum would mislead"
    assert outcome.ttft_ns == 30


async def test_what_on_outcome_raises_ends_the_run() -> None:
    def full(outcome: Outcome, ledger: Ledger) -> None:
        raise RunFolderError("the disk is full")

    made = driver([target("a", answer)], Recorder())
    broken = Driver(made.targets, made.open_query, made.clock, judge_by_facts, made.limits, full, nothing)
    with pytest.RaisesGroup(RunFolderError):
        await broken.drive(plan_rounds(["a"], QUERIES, 1, 0), Failures())


def test_failures_are_told_once() -> None:
    failures = Failures()
    assert failures.add("a", "first")
    assert not failures.add("a", "second")
    assert failures.reasons == {"a": "first"}
    assert failures.skips("a")
    assert not failures.skips("b")
    assert failures.skipped == {"a": 1}


async def test_an_outcome_says_how_often_its_server_was_asked_this_before() -> None:
    recorder = Recorder()
    shared = [replace(target(name, answer), memory="server-1") for name in ("one", "two")]
    made = driver([*shared, target("alone", answer)], recorder)
    warm = plan_warm_up(["one", "two", "alone"], QUERIES[:1], 1)
    await made.drive(warm, Failures(), warm_up=True)
    rounds = plan_rounds(["one", "two", "alone"], QUERIES[:2], 2, seed=0)
    await replace(made, limits=Limits()).drive(rounds, Failures())
    asked: dict[tuple[str, str], list[int | None]] = {}
    for outcome in recorder.outcomes:
        memory = "alone" if outcome.configuration == "alone" else "server-1"
        asked.setdefault((memory, outcome.query), []).append(outcome.asked_before)
    assert asked == {
        ("server-1", "one"): [2, 3, 4, 5],  # the warm-up counts
        ("server-1", "two"): [0, 1, 2, 3],
        ("alone", "one"): [1, 2],
        ("alone", "two"): [0, 1],
    }
