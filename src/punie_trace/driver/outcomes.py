"""From what came back, and what the spans of a query show, to its outcome: values only, and nothing is judged here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from punie_trace.driver.net import MAX_CHARS, generation_failure, with_servers_words
from punie_trace.driver.target import Target
from punie_trace.records import (
    Answer,
    Arrival,
    Generation,
    Judgement,
    Ledger,
    Outcome,
    TurnOutcome,
    Verdict,
)
from punie_trace.spans import names
from punie_trace.spans.timed_span import TimedSpan

_RIGHT_OR_OPEN = (Verdict.CORRECT, Verdict.NOT_JUDGED)
_ABOUT_CALLS = (Verdict.BAD_ARGUMENTS, Verdict.WRONG_TOOL, Verdict.SHOULD_NOT_HAVE_CALLED)


def seen_in(span: TimedSpan, target: Target, answer: Answer | None) -> Answer:
    """`answer` with the calls and generations that the spans of a query or a turn show; without one, an empty one."""
    generations = tuple(span.generations)
    unseen = answer is not None and answer.tools_unseen
    calls = tuple(span.tool_calls(target.defaults, by_messages=unseen))
    if answer is None:
        return Answer("", calls, generations)
    failure = with_servers_words(answer.error, generations) or generation_failure(generations)
    calls = tuple(call for call in calls if call.name not in answer.output_calls)
    return replace(answer, tool_calls=calls, generations=generations, error=failure)


def outcome_of(
    arrival: Arrival,
    target: Target,
    ledger: Ledger,
    trace_id: str,
    answer: Answer,
    judgement: Judgement,
    turns: tuple[TurnOutcome, ...] = (),
    *,
    error: str | None,
) -> Outcome:
    """The line that a run keeps of a query; `error` is what went wrong on the way, besides what the answer says."""
    generations = answer.generations
    error = error or answer.error or judgement.reason
    return Outcome(
        seq=arrival.seq,
        round=arrival.round,
        configuration=arrival.configuration,
        query=arrival.query.name,
        path=target.path,
        due_ns=arrival.due_ns,
        sent_ns=turns[0].sent_ns if turns else arrival.due_ns + ledger.client_queue_ns,
        done_ns=turns[-1].done_ns if turns else arrival.due_ns + ledger.wall_ns,
        verdict=judgement.verdict,
        error=error or _first_wrong(turns, judgement.verdict) or _reason(answer, judgement.verdict),
        trace_id=trace_id,
        answer=answer.text,
        tool_calls=answer.tool_calls,
        generations=len(generations),
        input_tokens=_sum([g.input_tokens for g in generations]),
        output_tokens=_sum([g.output_tokens for g in generations]),
        cached_tokens=_sum([g.cached_tokens for g in generations]),
        ttft_ns=_time_to_first_token(generations),
        served_model=target.served_model or next((g.served_model for g in generations), None),
        evaluations=judgement.evaluations,
        turns=turns,
    )


def turn_outcome(span: TimedSpan, answer: Answer, verdict: Verdict, error: str | None) -> TurnOutcome:
    """What became of a turn whose time is closed; `error` is what went wrong besides what the answer says."""
    generations, ledger = answer.generations, span.finish()
    return TurnOutcome(
        due_ns=span.due_ns,
        sent_ns=span.due_ns + ledger.client_queue_ns,
        done_ns=span.due_ns + ledger.wall_ns,
        verdict=verdict,
        error=error or answer.error or _reason(answer, verdict),
        answer=answer.text,
        tool_calls=answer.tool_calls,
        generations=len(generations),
        input_tokens=_sum([g.input_tokens for g in generations]),
        output_tokens=_sum([g.output_tokens for g in generations]),
        cached_tokens=_sum([g.cached_tokens for g in generations]),
        ttft_ns=_time_to_first_token(generations),
    )


def _first_wrong(turns: Sequence[TurnOutcome], verdict: Verdict) -> str | None:
    """In which turn of a session what became of the whole happened first, and why where that can be told."""
    if verdict in _RIGHT_OR_OPEN:
        return None
    for number, turn in enumerate(turns, start=1):
        if turn.verdict is verdict:
            return f"turn {number}" + (f": {turn.error}" if turn.error else "")
    return None


def _reason(answer: Answer, verdict: Verdict) -> str | None:
    """Why an answer that came whole was not right, where that can be told."""
    if verdict in _RIGHT_OR_OPEN:
        return None
    if verdict is Verdict.UNPARSED_CALL:
        return next((g.unusable_call for g in answer.generations if g.unusable_call is not None), None)
    refused = next((call for call in answer.tool_calls if call.refused is not None), None)
    if refused is not None and refused.name == names.RUN_CODE:
        return f"the code was stopped: {refused.refused}"[:MAX_CHARS]
    if refused is not None and verdict in _ABOUT_CALLS:
        return f"{refused.name or 'a call'} was not run: {refused.refused}"[:MAX_CHARS]
    return answer.reason


def _time_to_first_token(generations: Sequence[Generation]) -> int | None:
    first = min(generations, key=lambda g: g.sent_ns, default=None)
    return None if first is None or first.first_chunk_ns is None else first.first_chunk_ns - first.sent_ns


def _sum(counts: Sequence[int | None]) -> int | None:
    """The sum of what was reported; None where any generation reported nothing, as half a sum would mislead."""
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None
