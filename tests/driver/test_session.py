"""Sessions through the driver: whose time is whose, what ends a session, and that all of it can be read from spans."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise

import anyio
import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from punie_trace.analysis.ledger import check_ledger, turn_ledgers
from punie_trace.driver.limits import Failures
from punie_trace.driver.schedule import ClosedLoop, Planned
from punie_trace.records import Answer, Outcome, Query, Turn, Verdict
from punie_trace.spans import names
from punie_trace.spans.codec import from_sdk
from punie_trace.spans.span import Span
from tests.driver.test_load import Recorder, driver, nothing, target

pytestmark = pytest.mark.anyio
MS = 1_000_000
SESSION = Query(
    "talk", "one\ntwo\nthree", turns=tuple(Turn(text, answer_contains=("o",)) for text in ("one", "two", "three"))
)
Say = Callable[[str, list[str]], Awaitable[Answer]]


class Kept(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[Span] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(from_sdk(span))


class Talk:
    """Asks one session of a target whose conversation is `say(text, the turns before)`."""

    def __init__(self, say: Say) -> None:
        self.recorder, self.kept = Recorder(), Kept()
        self.begun = 0

        def converse(_query: Query) -> Callable[[str], Awaitable[Answer]]:
            self.begun += 1
            before: list[str] = []

            async def ask(text: str) -> Answer:
                answer = await say(text, before)
                before.append(text)
                return answer

            return ask

        self.target = replace(target("a", nothing), converse=converse)  # ty: ignore[invalid-argument-type]

    async def outcome(self, query: Query = SESSION, *, timeout_s: float = 5.0, think_s: float = 0.0) -> Outcome:
        made = driver([self.target], self.recorder, timeout_s)
        self.recorder.provider.add_span_processor(self.kept)
        await made.drive([Planned(0, 1, "a", query)], Failures(), ClosedLoop(think_s=think_s))
        (outcome,) = self.recorder.outcomes
        ledger = check_ledger(self.kept.spans)
        assert ledger == self.recorder.ledgers[0]
        assert ledger.wall_ns == outcome.wall_ns == sum(turn.wall_ns for turn in outcome.turns)
        assert [one.wall_ns for one in turn_ledgers(self.kept.spans)] == [turn.wall_ns for turn in outcome.turns]
        assert (outcome.due_ns, outcome.done_ns) == (outcome.turns[0].due_ns, outcome.turns[-1].done_ns)
        for earlier, later in pairwise(outcome.turns):
            assert earlier.done_ns <= later.due_ns <= later.sent_ns
        return outcome


async def test_a_session_is_one_outcome_whose_turns_know_those_before() -> None:
    heard: list[tuple[str, ...]] = []

    async def say(text: str, before: list[str]) -> Answer:
        heard.append(tuple(before))
        return Answer(f"o {text}")

    talk = Talk(say)
    outcome = await talk.outcome()
    assert heard == [(), ("one",), ("one", "two")]
    assert talk.begun == 1, "one conversation a query"
    assert (outcome.verdict, outcome.answer) == (Verdict.CORRECT, "o three")
    assert [turn.answer for turn in outcome.turns] == ["o one", "o two", "o three"]
    spans = {span.name: span for span in talk.kept.spans}
    root = spans["query talk"]
    assert root.attributes[names.TURNS] == 3
    for number in (1, 2, 3):
        span = spans[f"turn {number}"]
        assert (span.parent_id, span.attributes[names.TURN_NUMBER]) == (root.span_id, number)
        assert span.attributes[names.TURN_VERDICT] == "correct"


async def test_each_turn_has_the_generations_that_began_in_it() -> None:
    async def say(text: str, before: list[str]) -> Answer:
        now = talk.recorder.provider.tracer.clock.now_ns
        start = now()
        await anyio.sleep(0.01)
        tokens = 100 * (len(before) + 1)
        talk.recorder.generation(start, now(), start + MS, GEN_AI_INPUT_TOKENS=tokens, GEN_AI_CACHED_TOKENS=tokens - 90)
        return Answer("o")

    talk = Talk(say)
    outcome = await talk.outcome()
    assert [(t.generations, t.input_tokens, t.cached_tokens) for t in outcome.turns] == [
        (1, 100, 10),
        (1, 200, 110),
        (1, 300, 210),
    ]
    assert (outcome.generations, outcome.input_tokens, outcome.cached_tokens) == (3, 600, 330)
    assert [t.ttft_ns for t in outcome.turns] == [MS] * 3
    ledgers = turn_ledgers(talk.kept.spans)
    assert all(one.generation_ns >= 10 * MS for one in ledgers)
    whole = check_ledger(talk.kept.spans)
    for line in ("client_queue_ns", "generation_ns", "tool_ns", "framework_ns", "tool_work_ns"):
        assert getattr(whole, line) == sum(getattr(one, line) for one in ledgers)


async def test_what_a_user_thinks_between_turns_is_no_ones_time() -> None:
    async def say(text: str, before: list[str]) -> Answer:
        return Answer("o")

    outcome = await Talk(say).outcome(think_s=0.05)
    assert outcome.done_ns - outcome.due_ns - outcome.wall_ns >= 100 * MS
    assert all(later.due_ns - earlier.done_ns >= 50 * MS
               for earlier, later in pairwise(outcome.turns))  # fmt: skip


async def test_the_time_to_answer_begins_anew_with_each_turn_and_thinking_takes_none_of_it() -> None:
    async def say(text: str, before: list[str]) -> Answer:
        await anyio.sleep(0.25)
        return Answer("o")

    outcome = await Talk(say).outcome(timeout_s=0.6, think_s=0.7)
    assert outcome.verdict is Verdict.CORRECT


async def test_a_turn_over_its_time_ends_the_session_and_keeps_what_came_before() -> None:
    async def say(text: str, before: list[str]) -> Answer:
        if before:
            await anyio.sleep_forever()
        return Answer("o")

    outcome = await Talk(say).outcome(timeout_s=0.1)
    assert (outcome.verdict, [turn.verdict for turn in outcome.turns]) == (
        Verdict.TIMEOUT,
        [Verdict.CORRECT, Verdict.TIMEOUT],
    )
    assert outcome.error is not None
    assert "no answer within 0.1 s" in outcome.error
    assert outcome.turns[0].error is None
    assert outcome.turns[1].error == outcome.error


async def test_a_turn_that_fails_ends_the_session_and_one_that_is_wrong_does_not() -> None:
    async def fails(text: str, before: list[str]) -> Answer:
        if before:
            raise LookupError("no such page")
        return Answer("o")

    outcome = await Talk(fails).outcome()
    assert [turn.verdict for turn in outcome.turns] == [Verdict.CORRECT, Verdict.ERROR]
    assert outcome.error is not None
    assert outcome.error.startswith("turn 2: LookupError: no such page")

    async def wrong(text: str, before: list[str]) -> Answer:
        return Answer("x" if len(before) == 1 else "o", reason="none came to mind")

    outcome = await Talk(wrong).outcome()
    assert [turn.verdict for turn in outcome.turns] == [Verdict.CORRECT, Verdict.WRONG_ANSWER, Verdict.CORRECT]
    assert (outcome.verdict, outcome.error) == (Verdict.WRONG_ANSWER, "turn 2: none came to mind")


async def test_a_target_that_takes_single_questions_says_so() -> None:
    talk = Talk(nothing)  # ty: ignore[invalid-argument-type]
    talk.target = target("a", nothing)  # ty: ignore[invalid-argument-type]
    outcome = await talk.outcome()
    assert outcome.verdict is Verdict.ERROR
    assert "the path 'agent' asks single questions only" in (outcome.error or "")
