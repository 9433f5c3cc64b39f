"""One draft from several drafters: copied tokens where a repeated text is trusted, a model's where it is not.

A model costs a step for each token and a copy costs none, so within a draft the cheaper source is taken for as long as
it is likely enough, and the other goes on from where it ends. Who is asked, and when it is enough, is the controller's
`Growth` to say; this module only asks, in order.
"""

from __future__ import annotations

from collections.abc import Sequence

from punie_trace.speculative.controller import Growth
from punie_trace.speculative.drafting import EMPTY, Draft, Drafter, DraftToken, GoesAhead, KnownSampler, repetitions

LONGEST_COPY = 32
"""Tokens a free drafter is asked for at once."""


class _Copy:
    """The best guess of the free drafters, followed token by token; asked for anew where the draft leaves it."""

    def __init__(self, drafters: Sequence[Drafter], context: Sequence[int], first: Sequence[Draft]) -> None:
        self._drafters = drafters
        self._context = context
        self._guess = max(first, key=lambda guess: guess.matched, default=EMPTY)
        self._at = 0
        self._matches = repetitions(self._guess)

    def next_token(self, draft: Sequence[int]) -> tuple[DraftToken, Sequence[int]] | None:
        """The token that a repeated text has next, and what repetition lies behind it and those that follow it."""
        if self._at == len(self._guess.tokens):
            self._guess, self._at = EMPTY, 0
            for drafter in self._drafters:
                guess = drafter.propose(self._context, LONGEST_COPY, after=draft)
                if guess.tokens and (not self._guess.tokens or guess.matched > self._guess.matched):
                    self._guess = guess
            if not self._guess.tokens:
                return None
            self._matches = repetitions(self._guess)
        return self._guess.tokens[self._at], self._matches[self._at :]

    def follow(self, token: int) -> None:
        """The draft goes on with this token."""
        if self._at < len(self._guess.tokens) and self._guess.tokens[self._at].id == token:
            self._at += 1
        else:
            self._guess, self._at = EMPTY, 0


def composed(
    context: Sequence[int],
    drafters: Sequence[Drafter],
    growth: Growth,
    k: int,
    *,
    first: Sequence[Draft] = (),
    sampler: KnownSampler | None = None,
    alternatives: bool = False,
) -> Draft:
    """A draft of at most k tokens, cut to what is worth verifying; not where tokens were drawn at random.

    `first` are drafts that free drafters have given already for this context, so that they are not asked twice.
    `sampler` and `alternatives` as in `Drafter.propose`.
    """
    copy = _Copy([drafter for drafter in drafters if drafter.free], context, first)
    model = next((drafter for drafter in drafters if not drafter.free), None)
    ahead = model if isinstance(model, GoesAhead) else None
    tokens: list[DraftToken] = []
    ids: list[int] = []
    computed = drawn = 0
    while len(tokens) < k:
        found = copy.next_token(ids)
        if found is not None and growth.copies(found[0].origin, found[1]):
            token, matches = found
            if not token.matched:
                token = token._replace(matched=matches[0])
            growth.copied(token.origin, token.matched)
        elif model is not None and growth.asks():
            if ahead is not None and len(tokens) + 1 < k and growth.asks_again():
                ahead.go_ahead()
            step = model.propose(context, 1, after=ids, sampler=sampler, alternatives=alternatives)
            if not step.tokens:
                break
            token = step.tokens[0]
            computed += 1
            growth.computed(token.confidence)
            if token.distribution is not None:
                drawn = len(tokens) + 1
        else:
            break
        tokens.append(token)
        ids.append(token.id)
        copy.follow(token.id)
    # What was drawn must not be cut for what it turned out to be: those that are kept would then come from another
    # distribution than the one they are verified by.
    return Draft(tuple(tokens), computed).first(max(growth.length(), drawn))
