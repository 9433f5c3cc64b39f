from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.analysis.ledger import check_ledger, close_ledger, ledger_of
from punie_trace.errors import LedgerError
from punie_trace.records import Ledger
from punie_trace.spans import names
from punie_trace.spans.span import Span
from tests.synthetic_run import SpanMaker, query_attributes

instants = st.integers(min_value=0, max_value=60)
intervals = st.lists(st.tuples(instants, instants).map(lambda pair: (min(pair), max(pair))), max_size=6)
times = st.tuples(instants, instants, instants).map(sorted)


@given(times, intervals, intervals, intervals)
def test_it_is_what_counting_every_instant_gives(
    moments: list[int],
    generations: list[tuple[int, int]],
    tools: list[tuple[int, int]],
    code: list[tuple[int, int]],
) -> None:
    due, sent, done = moments
    ledger = close_ledger(due, sent, done, generations, tools, code)

    def inside(where: list[tuple[int, int]], at: int) -> bool:
        return any(start <= at < end for start, end in where)

    generating = {at for at in range(sent, done) if inside(generations, at)}
    running = {at for at in range(sent, done) if inside(tools, at)}
    computing = {at for at in range(sent, done) if inside(code, at)} - generating - running
    waited_for = (running - generating) | computing
    assert ledger == Ledger(
        wall_ns=done - due,
        client_queue_ns=sent - due,
        generation_ns=len(generating),
        tool_ns=len(waited_for),
        framework_ns=done - sent - len(generating) - len(waited_for),
        tool_work_ns=sum(len([at for at in range(start, end) if sent <= at < done]) for start, end in tools),
        sandbox_ns=len(computing),
        hidden_tool_ns=len(running & generating),
    )


@given(st.integers(0, 2**62), st.lists(st.integers(0, 2**40), min_size=2, max_size=2), intervals, intervals, intervals)
def test_it_adds_up_to_the_nanosecond(
    due: int,
    steps: list[int],
    generations: list[tuple[int, int]],
    tools: list[tuple[int, int]],
    code: list[tuple[int, int]],
) -> None:
    sent, done = due + steps[0], due + sum(steps)
    shifted = [[(due + start * 10**8, due + end * 10**8) for start, end in some] for some in (generations, tools, code)]
    ledger = close_ledger(due, sent, done, *shifted)
    lines = (ledger.client_queue_ns, ledger.generation_ns, ledger.tool_ns, ledger.framework_ns)
    assert sum(lines) == ledger.wall_ns == done - due
    assert min(lines) >= 0


def test_parallel_tools_count_once_and_their_work_in_full() -> None:
    ledger = close_ledger(0, 10, 100, [(20, 40), (30, 50)], [(45, 70), (50, 80), (95, 200)])
    assert ledger == Ledger(100, 10, generation_ns=30, tool_ns=35, framework_ns=25, tool_work_ns=60, hidden_tool_ns=5)


@pytest.mark.parametrize(("due", "sent", "done", "interval"), [(5, 4, 9, (0, 1)), (1, 5, 4, (0, 1)), (1, 2, 3, (9, 8))])
def test_times_that_run_backwards_are_an_error(due: int, sent: int, done: int, interval: tuple[int, int]) -> None:
    with pytest.raises(LedgerError, match="cannot"):
        close_ledger(due, sent, done, [], [interval])


def make_trace() -> list[Span]:
    trace = SpanMaker("1f" * 16)
    trace.add("POST", 20, 40, {names.SEGMENT: names.SEGMENT_GENERATION}, "CLIENT")
    trace.add("execute_tool", 45, 60, {names.GEN_AI_OPERATION: names.OPERATION_EXECUTE_TOOL})
    trace.add("chat m", 15, 42, {names.GEN_AI_OPERATION: names.OPERATION_CHAT})
    trace.add("query q", 0, 100, query_attributes(10, Ledger(100, 10, 20, 15, 55, 15)))
    return trace.spans


def test_the_spans_alone_give_the_ledger_that_they_carry() -> None:
    assert check_ledger(make_trace()) == Ledger(100, 10, 20, 15, 55, 15)


@pytest.mark.parametrize("line", [names.LEDGER_WALL, names.LEDGER_FRAMEWORK, names.TOOL_WORK])
def test_a_ledger_that_is_not_that_of_its_spans_is_an_error(line: str) -> None:
    *children, query = make_trace()
    wrong = replace(query, attributes={**query.attributes, line: 54})
    with pytest.raises(LedgerError, match=line):
        check_ledger([*children, wrong])
    assert ledger_of([*children, wrong]) == Ledger(100, 10, 20, 15, 55, 15)


def test_a_trace_without_its_query_span_or_with_two_is_an_error() -> None:
    spans = make_trace()
    with pytest.raises(LedgerError, match="0 query spans"):
        ledger_of(spans[:-1])
    with pytest.raises(LedgerError, match="2 query spans"):
        ledger_of([*spans, spans[-1]])
    with pytest.raises(LedgerError, match="without spans"):
        ledger_of([])


def test_a_query_span_that_does_not_say_when_it_was_sent_is_an_error() -> None:
    *children, query = make_trace()
    attributes = {key: value for key, value in query.attributes.items() if key != names.SENT_NS}
    with pytest.raises(LedgerError, match=names.SENT_NS):
        ledger_of([*children, replace(query, attributes=attributes)])
