"""Asks a session: its turns one after another, in one conversation, each within a span of its own.

A turn is due when the one before it is done and the user has thought; what passes between is no one's time. A turn that
failed ends the session, as nothing can follow on it; one that was answered wrongly does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from punie_trace.driver.net import ask_safely
from punie_trace.driver.outcomes import seen_in, turn_outcome
from punie_trace.driver.target import Target
from punie_trace.errors import ConfigurationError
from punie_trace.records import Answer, Query, TurnOutcome, Verdict
from punie_trace.spans.query_span import QuerySpan

NextDue = Callable[[], Awaitable[int]]
"""Waits for a session's next turn to be due, and says when (ns on the run's clock)."""


@dataclass(slots=True)
class Session:
    """A session that is asked once, through `target`, within the span of its query."""

    target: Target
    query: Query
    span: QuerySpan
    say: Callable[[str], Awaitable[Answer]] | None = None
    """What answers its turns, where that was readied before; else the target's `converse` gives it."""
    _answers: list[Answer | None] = field(default_factory=list)
    """Of the turns that began; None for one that was not answered: it was cut off."""

    async def ask(self, next_due: NextDue) -> None:
        """Asks every turn, or those before one that fails. Cancelling it ends the turn that is under way."""
        for turn in self.query.turns:
            due_ns = await next_due() if self._answers else self.span.due_ns
            with self.span.turn(due_ns) as span:
                span.mark_sent(None if self._answers else self.span.sent_ns)
                self._answers.append(None)
                answer = await ask_safely(self._say, turn.text)
            self._answers[-1] = seen = seen_in(span, self.target, answer)
            if seen.error is not None:
                return

    async def _say(self, text: str) -> Answer:
        """Within `ask_safely`, so that a conversation that cannot be begun is the first turn's error."""
        if self.say is None:
            if self.target.converse is None:
                raise ConfigurationError(f"the path {self.target.path!r} asks single questions only")
            self.say = self.target.converse(self.query)
        return await self.say(text)

    def whole(self) -> Answer:
        """The session as one answer: the last one's text, all its calls and generations, and its turns."""
        seen = self._seen()
        last = seen[-1] if seen else Answer("")
        failed = next((f"turn {number}: {one.error}" for number, one in enumerate(seen, 1) if one.error), None)
        return Answer(
            text=last.text,
            tool_calls=tuple(call for one in seen for call in one.tool_calls),
            generations=tuple(generation for one in seen for generation in one.generations),
            error=failed,
            workspace=last.workspace,
            held=last.held,
            reason=last.reason,
            tools_unseen=any(one.tools_unseen for one in seen),
            output=last.output,
            turns=tuple(self._answers),
        )

    def outcomes(self, verdicts: Sequence[Verdict], error: str | None) -> tuple[TurnOutcome, ...]:
        """What became of each turn that began; writes the verdicts on their spans. `error` is of one that was cut off.

        Turns without a verdict were not judged.
        """
        found = []
        for place, (span, seen) in enumerate(zip(self.span.turns, self._seen(), strict=True)):
            verdict = verdicts[place] if place < len(verdicts) else Verdict.NOT_JUDGED
            outcome = turn_outcome(span, seen, verdict, error if self._answers[place] is None else None)
            span.set_verdict(verdict, outcome.error)
            found.append(outcome)
        return tuple(found)

    def _seen(self) -> list[Answer]:
        """The turns as far as they came, what was cut off with what its spans show."""
        pairs = zip(self.span.turns, self._answers, strict=True)
        return [seen_in(span, self.target, None) if answer is None else answer for span, answer in pairs]
