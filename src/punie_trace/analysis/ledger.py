"""The ledger of one query: four lines that add up to its wall time to the nanosecond.

    client_queue   due to sent
    generation     at least one generation request is open
    tool           no generation is open, and at least one tool runs
    framework      the rest

In code mode a run of the model's code counts as a tool. What of the tool line no tool of its took stands beside it as
the sandbox's; so does what tools did while a generation was open, which is generation's.

In a session each turn has a ledger of its own, and that of the whole is their sum: between turns no time is anyone's.

Generations and tools are unions of intervals, since both may overlap: sums would count an instant twice. Pure, no I/O:
`close_ledger` is what writes the ledger on the query's span, `ledger_of` makes it again from the spans alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple
from operator import attrgetter
from typing import TypeAlias

from punie_trace.errors import LedgerError
from punie_trace.records import Ledger
from punie_trace.spans import conventions, names
from punie_trace.spans.code_runs import is_code_run
from punie_trace.spans.span import Span

Interval: TypeAlias = tuple[int, int]
"""Start and end in ns; the start belongs to it, the end does not."""
_Lines: TypeAlias = Sequence[tuple[str, Callable[[Ledger], int]]]

_LINES = (
    (names.LEDGER_WALL, attrgetter("wall_ns")),
    (names.LEDGER_CLIENT_QUEUE, attrgetter("client_queue_ns")),
    (names.LEDGER_GENERATION, attrgetter("generation_ns")),
    (names.LEDGER_TOOL, attrgetter("tool_ns")),
    (names.LEDGER_FRAMEWORK, attrgetter("framework_ns")),
    (names.TOOL_WORK, attrgetter("tool_work_ns")),
)
_BESIDE = ((names.SANDBOX, attrgetter("sandbox_ns")), (names.TOOL_HIDDEN, attrgetter("hidden_tool_ns")))
"""Written only where there is any, and not by versions before code mode."""
_TURN_LINES = (
    (names.TURN_LEDGER_WALL, attrgetter("wall_ns")),
    (names.TURN_LEDGER_CLIENT_QUEUE, attrgetter("client_queue_ns")),
    (names.TURN_LEDGER_GENERATION, attrgetter("generation_ns")),
    (names.TURN_LEDGER_TOOL, attrgetter("tool_ns")),
    (names.TURN_LEDGER_FRAMEWORK, attrgetter("framework_ns")),
    (names.TURN_TOOL_WORK, attrgetter("tool_work_ns")),
)
_TURN_BESIDE = (
    (names.TURN_SANDBOX, attrgetter("sandbox_ns")),
    (names.TURN_TOOL_HIDDEN, attrgetter("hidden_tool_ns")),
)


def close_ledger(
    due_ns: int,
    sent_ns: int,
    done_ns: int,
    generations: Iterable[Interval],
    tools: Iterable[Interval],
    code: Iterable[Interval] = (),
) -> Ledger:
    """The ledger of a query that was due, sent and done at these times (ns on the run's clock).

    `code` are the runs of code that the model wrote; `tools` has the tools that they called, and not the runs.

    Intervals may overlap in any way; what lies outside `sent_ns` to `done_ns` is cut off (a tool's thread may outlive
    its query). Raises `LedgerError` where the times run backwards.
    """
    if not due_ns <= sent_ns <= done_ns:
        raise LedgerError(f"a query cannot be due at {due_ns}, sent at {sent_ns} and done at {done_ns} ns")
    generating = _clip(generations, sent_ns, done_ns)
    running = _clip(tools, sent_ns, done_ns)
    coding = _clip(code, sent_ns, done_ns)
    generation = _covered(generating)
    # What the tools cover beyond the generations: |G or T| - |G|; and the code beyond both.
    of_tools = _covered([*generating, *running]) - generation if running else 0
    tool = _covered([*generating, *running, *coding]) - generation if coding else of_tools
    return Ledger(
        wall_ns=done_ns - due_ns,
        client_queue_ns=sent_ns - due_ns,
        generation_ns=generation,
        tool_ns=tool,
        framework_ns=(done_ns - sent_ns) - generation - tool,
        tool_work_ns=sum(end - start for start, end in running),
        sandbox_ns=tool - of_tools,
        hidden_tool_ns=_covered(running) - of_tools if running else 0,
    )


def ledger_of(spans: Sequence[Span]) -> Ledger:
    """The ledger from the spans of one query's trace, without regard to the ledger that its root span carries.

    Raises `LedgerError` where the query's span, or its time of sending, is missing.
    """
    return _of_spans(query_span(spans), spans)


def check_ledger(spans: Sequence[Span]) -> Ledger:
    """The ledger made from the spans, which must be the one that the query's span carries, else `LedgerError`.

    So must, in a session, the ledger of each turn be.
    """
    query = query_span(spans)
    ledger = _of_spans(query, spans)
    _check_carried(query, ledger, _LINES, _BESIDE)
    return ledger


def turn_ledgers(spans: Sequence[Span]) -> tuple[Ledger, ...]:
    """Of a session, the ledger of each turn that began, made from the spans of its trace; () for one question.

    Raises `LedgerError` where a turn carries another one, or turns do not lie one after another in their query.
    """
    return _of_turns(query_span(spans), spans)


def _of_spans(query: Span, spans: Sequence[Span]) -> Ledger:
    if names.TURNS in query.attributes and (ledgers := _of_turns(query, spans)):
        return Ledger(*map(sum, zip(*map(astuple, ledgers), strict=True)))
    return _between(query, names.SENT_NS, generation_spans(spans), tool_spans(spans))


def _of_turns(query: Span, spans: Sequence[Span]) -> tuple[Ledger, ...]:
    turns = turn_spans(spans)
    reached = query.start_ns
    for number, turn in enumerate(turns):
        if turn.start_ns < reached or (not number and turn.start_ns > reached):
            raise LedgerError(f"the turns of {query.name!r} (trace {query.trace_id}) do not lie one after another")
        reached = turn.end_ns
    if turns and reached != query.end_ns:
        raise LedgerError(f"the last turn of {query.name!r} (trace {query.trace_id}) is not done when its query is")
    generations, tools = generation_spans(spans), tool_spans(spans)
    ledgers = []
    for turn in turns:
        own = _between(turn, names.TURN_SENT_NS, begun_in(turn, generations), begun_in(turn, tools))
        _check_carried(turn, own, _TURN_LINES, _TURN_BESIDE)
        ledgers.append(own)
    return tuple(ledgers)


def _between(timed: Span, sent_as: str, generations: Iterable[Span], tools: Iterable[Span]) -> Ledger:
    """The ledger of a query or a turn, which carries its time of sending under `sent_as`."""
    sent = timed.attributes.get(sent_as)
    if not isinstance(sent, int):
        raise LedgerError(f"the span {timed.name!r} of trace {timed.trace_id} has no {sent_as}")
    tools = list(tools)
    return close_ledger(
        timed.start_ns,
        sent,
        timed.end_ns,
        [(span.start_ns, span.end_ns) for span in generations],
        [(span.start_ns, span.end_ns) for span in tools if not is_code_run(span)],
        [(span.start_ns, span.end_ns) for span in tools if is_code_run(span)],
    )


def _check_carried(timed: Span, ledger: Ledger, lines: _Lines, beside: _Lines) -> None:
    carry = timed.attributes.get
    for attribute, line_of in (*lines, *(one for one in beside if one[0] in timed.attributes)):
        if (carried := carry(attribute)) != (computed := line_of(ledger)):
            raise LedgerError(
                f"the ledger of {timed.name!r} (trace {timed.trace_id}) does not close: {attribute} is {carried}, "
                f"and its spans make it {computed}. Please report this with the run's spans.jsonl"
            )


def turn_spans(spans: Iterable[Span]) -> list[Span]:
    """The spans of a session's turns, in their order."""
    found = [span for span in spans if names.TURN_NUMBER in span.attributes]
    return sorted(found, key=lambda span: (span.start_ns, span.end_ns))


def begun_in(turn: Span, spans: Iterable[Span]) -> list[Span]:
    """Those of `spans` that belong to `turn`: turns lie one after another, and what begins in one also ends in it."""
    return [span for span in spans if turn.start_ns <= span.start_ns < turn.end_ns]


def query_spans(spans: Iterable[Span]) -> list[Span]:
    """The spans of whole queries: in the trace of one query that was written to its end, exactly one."""
    return [span for span in spans if names.SENT_NS in span.attributes or names.LEDGER_WALL in span.attributes]


def query_span(spans: Sequence[Span]) -> Span:
    """The span of the query itself. Raises `LedgerError` where there is none, or more than one."""
    found = query_spans(spans)
    if len(found) != 1:
        which = spans[0].trace_id if spans else "without spans"
        raise LedgerError(f"trace {which} holds {len(found)} query spans where there should be one")
    return found[0]


def tools_unseen(query: Span) -> bool:
    """Whether tools of this query made no spans: they are in the line `framework`. Older runs tell by their path."""
    return query.attributes.get(names.TOOLS_UNSEEN) is True or query.attributes.get(names.PATH) == "program"


def generation_spans(spans: Sequence[Span]) -> list[Span]:
    """The spans of a trace that count as generation, by their start."""
    return _by_start(conventions.generations(spans))


def tool_spans(spans: Sequence[Span]) -> list[Span]:
    """The spans of a trace that count as tools, by their start."""
    return _by_start(conventions.tools(spans))


def _by_start(spans: list[Span]) -> list[Span]:
    return sorted(spans, key=lambda span: (span.start_ns, span.end_ns)) if len(spans) > 1 else spans


def _clip(intervals: Iterable[Interval], low: int, high: int) -> list[Interval]:
    clipped = []
    for start, end in intervals:
        if end < start:
            raise LedgerError(f"something cannot start at {start} ns and end at {end} ns")
        start, end = max(start, low), min(end, high)
        if start < end:
            clipped.append((start, end))
    return clipped


def _covered(intervals: Sequence[Interval]) -> int:
    """The length of the union."""
    if len(intervals) == 1:
        return intervals[0][1] - intervals[0][0]
    total, reached = 0, None
    for start, end in sorted(intervals):
        if reached is None or start > reached:
            total += end - start
            reached = end
        elif end > reached:
            total += end - reached
            reached = end
    return total
