"""Turns read back from an outcome and the spans of its trace, and figures by turn."""

from __future__ import annotations

from dataclasses import astuple, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.analysis.ledger import check_ledger, close_ledger, ledger_of, turn_ledgers
from punie_trace.analysis.observations import Ask, Observation
from punie_trace.analysis.turn_figures import compare_turns, turn_figures
from punie_trace.analysis.turns import observe_turns
from punie_trace.errors import LedgerError
from punie_trace.records import Ledger, Outcome, TurnOutcome, Verdict
from punie_trace.spans import names
from punie_trace.spans.span import AttributeValue, Span, SpanEvent

MS = 1_000_000
CARRIED = ("WALL", "CLIENT_QUEUE", "GENERATION", "TOOL", "FRAMEWORK")
C, W, N = Verdict.CORRECT, Verdict.WRONG_ANSWER, Verdict.NOT_JUDGED


def carried(ledger: Ledger, prefix: str = "") -> dict[str, AttributeValue]:
    keys = [getattr(names, f"{prefix}LEDGER_{line}") for line in CARRIED]
    keys.append(getattr(names, f"{prefix}TOOL_WORK"))
    return dict(zip(keys, astuple(ledger)[: len(keys)], strict=True))


class Talk:
    """A session as spans and an outcome: each turn waits 1 ms, generates for a time, and uses a tool for 2 ms."""

    def __init__(self, query: str = "talk", round_: int = 1) -> None:
        self.query, self.round = query, round_
        self.spans: list[Span] = []
        self.turns: list[TurnOutcome] = []
        self.now = 100 * MS
        self.first = self.now

    def turn(self, generation: int, prompt: int, cached: int, verdict: Verdict = C, first_chunk: int = 3) -> Talk:
        due, sent, number = self.now, self.now + MS, len(self.turns) + 1
        end = sent + generation * MS
        done = end + 3 * MS
        usage = {names.GEN_AI_INPUT_TOKENS: prompt, names.GEN_AI_CACHED_TOKENS: cached}
        chunk = (SpanEvent(names.EVENT_FIRST_CHUNK, sent + first_chunk * MS), SpanEvent(names.EVENT_LAST_CHUNK, end))
        self.add("POST", sent, end, {names.SEGMENT: names.SEGMENT_GENERATION, **usage}, chunk)
        self.add("execute_tool x", end, end + 2 * MS, {names.GEN_AI_OPERATION: names.OPERATION_EXECUTE_TOOL})
        ledger = close_ledger(due, sent, done, [(sent, end)], [(end, end + 2 * MS)])
        self.add(
            f"turn {number}",
            due,
            done,
            {names.TURN_NUMBER: number, names.TURN_SENT_NS: sent, **carried(ledger, "TURN_")},
        )
        self.turns.append(TurnOutcome(due, sent, done, verdict, None, "x", (), 1, prompt, 5, cached, first_chunk * MS))
        self.now = done + 50 * MS  # the user thinks
        return self

    def add(
        self, name: str, start: int, end: int, attributes: dict[str, AttributeValue], events: tuple[SpanEvent, ...] = ()
    ) -> None:
        span_id = f"{len(self.spans) + 1:016x}"
        self.spans.append(Span("ab" * 16, span_id, None, name, "INTERNAL", start, end, attributes, events))

    def whole(self) -> list[Span]:
        """The spans, with the query's own."""
        walls = [turn.done_ns - turn.due_ns for turn in self.turns]
        generation = sum(wall - 4 * MS for wall in walls)
        count = len(walls)
        ledger = Ledger(sum(walls), count * MS, generation, 2 * count * MS, count * MS, 2 * count * MS)
        attributes = {names.TURNS: count, names.SENT_NS: self.turns[0].sent_ns, **carried(ledger)}
        root = Span("ab" * 16, "f" * 16, None, "query talk", "INTERNAL", self.first, self.turns[-1].done_ns, attributes)
        return [*self.spans, root]

    def outcome(self, verdict: Verdict = C) -> Outcome:
        first, last = self.turns[0], self.turns[-1]
        return Outcome(
            seq=0, round=self.round, configuration="a", query=self.query, path="agent", due_ns=first.due_ns,
            sent_ns=first.sent_ns, done_ns=last.done_ns, verdict=verdict, error=None, trace_id="ab" * 16, answer="x",
            tool_calls=(), generations=len(self.turns), input_tokens=1, output_tokens=1, cached_tokens=1, ttft_ns=None,
            served_model=None, turns=tuple(self.turns),
        )  # fmt: skip

    def observation(self, *, first: bool = True) -> Observation:
        turns, wrong = observe_turns(self.outcome(), self.whole())
        assert wrong is None
        ask = Ask("session", True, not first, first)
        return Observation(self.outcome(), ask, ledger_of(self.whole()), None, (), (), turns=turns)


def test_the_ledger_of_the_whole_is_the_sum_of_its_turns_and_leaves_out_what_lies_between() -> None:
    talk = Talk().turn(10, 100, 0).turn(20, 200, 90).turn(30, 300, 190)
    whole = check_ledger(talk.whole())
    turns = turn_ledgers(talk.whole())
    assert [one.generation_ns // MS for one in turns] == [10, 20, 30]
    assert astuple(whole) == tuple(map(sum, zip(*map(astuple, turns), strict=True)))
    assert whole.wall_ns == talk.outcome().wall_ns == (talk.turns[-1].done_ns - talk.first) - 2 * 50 * MS


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 10**6)), min_size=1, max_size=6))
def test_ledgers_of_any_session_add_up_exactly(turns: list[tuple[int, int]]) -> None:
    talk = Talk()
    for generation, think in turns:
        talk.turn(generation, 10, 0).now += think
    whole = check_ledger(talk.whole())
    lines = (whole.client_queue_ns, whole.generation_ns, whole.tool_ns, whole.framework_ns)
    assert sum(lines) == whole.wall_ns == sum(one.wall_ns for one in turn_ledgers(talk.whole()))


def test_a_turn_that_carries_another_ledger_is_an_error_that_names_it() -> None:
    spans = Talk().turn(10, 100, 0).turn(20, 200, 90).whole()
    changed = [
        replace(s, attributes={**s.attributes, names.TURN_LEDGER_TOOL: 7}) if s.name == "turn 2" else s for s in spans
    ]
    with pytest.raises(LedgerError, match=r"'turn 2'.*does not close: punie.turn.ledger.tool_ns is 7"):
        check_ledger(changed)


@pytest.mark.parametrize(
    ("name", "shift", "says"),
    [("turn 2", -60 * MS, "one after another"), ("turn 2", -MS, "is not done when"), ("turn 1", MS, "one after")],
)
def test_turns_that_do_not_fill_their_query_are_an_error(name: str, shift: int, says: str) -> None:
    spans = Talk().turn(10, 100, 0).turn(20, 200, 90).whole()
    moved = [replace(s, start_ns=s.start_ns + shift, end_ns=s.end_ns + shift) if s.name == name else s for s in spans]
    with pytest.raises(LedgerError, match=says):
        turn_ledgers(moved)


def test_each_turn_knows_its_context_and_what_of_it_was_cached() -> None:
    talk = Talk().turn(10, 100, 0).turn(20, 200, 90)
    turns, wrong = observe_turns(talk.outcome(), talk.whole())
    assert wrong is None
    assert [(t.number, t.prompt_tokens, t.cached_tokens, t.first_chunk_ns) for t in turns] == [
        (1, 100, 0, 3 * MS),
        (2, 200, 90, 3 * MS),
    ]
    assert not any(t.calls_first for t in turns)


def test_turns_without_spans_keep_their_outcomes() -> None:
    talk = Talk().turn(10, 100, 0).turn(20, 200, 90)
    turns, wrong = observe_turns(talk.outcome(), talk.spans[:3])
    assert wrong is None
    assert [(t.ledger, t.splits, t.outcome) for t in turns] == [(None, (), turn) for turn in talk.turns]


def test_an_outcome_that_tells_another_time_than_its_span_is_named() -> None:
    talk = Talk().turn(10, 100, 0)
    spans = talk.whole()
    talk.turns[0] = replace(talk.turns[0], done_ns=talk.turns[0].done_ns + 1)
    turns, wrong = observe_turns(talk.outcome(), spans)
    assert wrong is not None
    assert wrong.startswith("turn 1 of outcome 0 of 'talk' took")
    assert turns[0].ledger is None


def test_figures_by_turn_show_how_context_cache_and_times_go_on() -> None:
    first = Talk("one").turn(10, 100, 0, first_chunk=9).turn(20, 200, 90, W).observation()
    second = Talk("two").turn(30, 120, 20, N, first_chunk=5).observation()
    again = Talk("one", 2).turn(2, 100, 99).turn(2, 200, 199).observation(first=False)
    one, two = turn_figures([first, second, again])
    assert (one.number, one.sessions, one.judged, one.right, one.first_asks) == (1, 2, 1, 1, True)
    assert (one.prompt_tokens, one.cached_tokens, one.ttft_ms.value) == (110, 10, 7)
    assert one.ledger_ms is not None
    assert (one.ledger_ms.generation, one.ledger_ms.wall) == (20, 24)
    assert one.wall_ms == 24
    # Right in one of two rounds is not enough.
    assert (two.number, two.sessions, two.judged, two.right) == (2, 1, 1, 0)
    assert (two.cached_tokens, two.ttft_call_ms.value) == (90, None)


def test_where_everything_was_asked_before_figures_are_of_that_and_say_so() -> None:
    (one,) = turn_figures([Talk().turn(2, 100, 99).observation(first=False)])
    assert (one.first_asks, one.cached_tokens) == (False, 99)
    assert turn_figures([replace(Talk().turn(2, 1, 1).observation(), turns=())]) == ()


def test_turns_are_compared_in_pairs_of_session_and_round() -> None:
    before = [Talk(q).turn(36, 100, 0, first_chunk=8).turn(16, 200, 90).observation() for q in ("one", "two", "three")]
    after = [Talk(q).turn(16, 100, 0, first_chunk=2).turn(16, 200, 90).observation() for q in ("one", "two", "three")]
    after[2] = Talk("three").turn(16, 100, 0, first_chunk=2).turn(16, 200, 90, Verdict.ERROR).observation()
    first, second = compare_turns(before, after)
    assert (first.number, first.speed.value, first.speed.n) == (1, 2.0, 3)
    assert first.ttft is not None
    assert (first.ttft.value, first.ttft.n) == (4.0, 3)
    assert (second.number, second.speed.value, second.speed.n) == (2, 1.0, 2)
    asked_again = [Talk("one").turn(1, 1, 1).observation(first=False)]
    assert compare_turns(before, asked_again) == ()
