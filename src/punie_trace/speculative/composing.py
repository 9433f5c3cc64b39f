"""One draft from several drafters: copied tokens where a repeated text is trusted, a model's where it is not.

A model costs a step for each token and a copy costs none, so within a draft the cheaper source is taken for as long as
it is likely enough, and the other goes on from where it ends. Who is asked, and when it is enough, is the controller's
`Growth` to say; this module only asks, in order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from punie_trace.speculative.controller import Growth
from punie_trace.speculative.drafting import NOTHING, Drafter, KnownSampler, Proposal
from punie_trace.speculative.rules import point_mass

LONGEST_COPY = 32
"""Tokens a free drafter is asked for at once."""


class _Copy:
    """The best guess of the free drafters, followed token by token; asked for anew where the draft leaves it."""

    def __init__(self, drafters: Sequence[Drafter], context: Sequence[int]) -> None:
        self._drafters = drafters
        self._context = context
        self._guess, self._at, self.drafter = NOTHING, 0, ""
        self._matches: tuple[int, ...] = ()

    def look(self, draft: Sequence[int]) -> tuple[int, Sequence[int]] | None:
        """The token that a repeated text has next, and what repetition lies behind it and those that follow it."""
        if self._at == len(self._guess.tokens):
            self._guess, self._at = NOTHING, 0
            for drafter in self._drafters:
                guess = drafter.propose(self._context, LONGEST_COPY, after=draft)
                if guess.tokens and (not self._guess.tokens or guess.matched > self._guess.matched):
                    self._guess, self.drafter = guess, drafter.kind
            if not self._guess.tokens:
                return None
            self._matches = self._guess.behind(free=True)
        return self._guess.tokens[self._at], self._matches[self._at :]

    @property
    def confidence(self) -> float:
        """How sure the drafter is of the token that `look` gave."""
        return self._guess.confidence[self._at]

    def step(self, token: int) -> None:
        """The draft goes on with this token."""
        if self._at < len(self._guess.tokens) and self._guess.tokens[self._at] == token:
            self._at += 1
        else:
            self._guess, self._at = NOTHING, 0


def composed(
    context: Sequence[int],
    drafters: Sequence[Drafter],
    growth: Growth,
    k: int,
    *,
    sampler: KnownSampler | None = None,
    alternatives: bool = False,
) -> Proposal:
    """A draft of at most k tokens, cut to what is worth verifying; not where tokens were drawn at random.

    `sampler` and `alternatives` as in `Drafter.propose`.
    """
    copy = _Copy([drafter for drafter in drafters if drafter.free], context)
    model = next((drafter for drafter in drafters if not drafter.free), None)
    tokens: list[int] = []
    confidence: list[float] = []
    origins: list[str] = []
    matches: list[int] = []
    rows: dict[int, np.ndarray] = {}
    seconds: list[tuple[int, int]] = []
    computed = 0
    while len(tokens) < k:
        found = copy.look(tokens)
        if found is not None and growth.copies(copy.drafter, found[1]):
            token, matched = found[0], found[1][0]
            growth.copied(copy.drafter, matched)
            confidence.append(copy.confidence)
            origins.append(copy.drafter)
            matches.append(matched)
        elif model is not None and growth.asks():
            said = model.propose(context, 1, after=tokens, sampler=sampler, alternatives=alternatives)
            if not said.tokens:
                break
            token = said.tokens[0]
            computed += 1
            growth.said(said.confidence[0])
            confidence.append(said.confidence[0])
            origins.append(model.kind)
            matches.append(0)
            if said.probabilities is not None:
                rows[len(tokens)] = said.probabilities[0]
            seconds += [(len(tokens), second) for _, second in said.seconds_best]
        else:
            break
        tokens.append(token)
        copy.step(token)
    worth = growth.length()
    probabilities = None
    if rows:
        # What was drawn must not be cut for what it turned out to be: those that are kept would then come from another
        # distribution than the one they are verified by.
        worth = max(worth, max(rows) + 1)
        # A copied token is certain of itself.
        probabilities = point_mass(np.array([tokens], dtype=np.int64), len(next(iter(rows.values()))))[0]
        for at, row in rows.items():
            probabilities[at] = row
    whole = Proposal(
        tuple(tokens),
        probabilities,
        tuple(confidence),
        matches[0] if matches else 0,
        tuple(seconds),
        tuple(origins),
        tuple(matches),
        computed,
    )
    return whole.first(worth)
