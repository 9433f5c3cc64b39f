"""The turns of a session as a run shows them: each turn's outcome, ledger and generations, and what compares them.

Pure. It joins and checks, as `observations` does for whole queries; figures over many are for `turn_figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from punie_trace.analysis.ledger import begun_in, generation_spans, turn_ledgers, turn_spans
from punie_trace.analysis.split import GenerationSplit, server_steps, split_generation
from punie_trace.errors import LedgerError
from punie_trace.records import Ledger, Outcome, TurnOutcome, Verdict
from punie_trace.spans import conventions
from punie_trace.spans.span import Span


@dataclass(frozen=True, slots=True)
class TurnObservation:
    """One turn and what its spans hold. `ledger` is None where there is none to read, or it does not close."""

    number: int
    """Its place in the session, from 1."""
    outcome: TurnOutcome
    ledger: Ledger | None = None
    splits: tuple[GenerationSplit, ...] = ()
    prompt_tokens: int | None = None
    """Of its first request: how long the context was when the user had spoken. None where the server did not say."""
    cached_tokens: int | None = None
    """How much of that the server had in its cache."""

    @property
    def answered(self) -> bool:
        """Whether there is an answer, right or wrong: its times are those of a whole turn."""
        return self.outcome.verdict not in (Verdict.ERROR, Verdict.TIMEOUT)

    @property
    def first_chunk_ns(self) -> int | None:
        """From the sending of its first request to the first output, where that can be seen."""
        return self.splits[0].first_chunk_ns if self.splits else None

    @property
    def calls_first(self) -> bool:
        """Whether its first generation called a tool: then another followed, whatever the server gave as the reason."""
        return len(self.splits) > 1 or (bool(self.splits) and self.splits[0].calls_tool)


def observe_turns(outcome: Outcome, spans: Sequence[Span]) -> tuple[tuple[TurnObservation, ...], str | None]:
    """The turns of a session with what the spans of its trace show; and what does not close, None where all does.

    A trace of which spans are missing, as of a run that was cut off, gives turns without ledgers and generations.
    """
    bare = tuple(TurnObservation(number, turn) for number, turn in enumerate(outcome.turns, start=1))
    found = turn_spans(spans)
    if len(found) != len(bare):
        return bare, None
    try:
        ledgers = turn_ledgers(spans)
    except LedgerError as error:
        return bare, str(error)
    generations, steps = generation_spans(spans), server_steps(spans)
    turns = []
    for one, span, ledger in zip(bare, found, ledgers, strict=True):
        if ledger.wall_ns != one.outcome.wall_ns:
            return bare, (
                f"turn {one.number} of outcome {outcome.seq} of {outcome.query!r} took {one.outcome.wall_ns} ns, and "
                f"its span {ledger.wall_ns} ns"
            )
        own = begun_in(span, generations)
        first = conventions.usage_of(own[0]) if own else None
        turns.append(
            TurnObservation(
                number=one.number,
                outcome=one.outcome,
                ledger=ledger,
                splits=tuple(split_generation(each, steps.get(each.span_id)) for each in own),
                prompt_tokens=None if first is None else first.input_tokens,
                cached_tokens=None if first is None else first.cached_tokens,
            )
        )
    return tuple(turns), None
