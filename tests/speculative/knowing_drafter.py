"""A drafter that knows the answer and says it wrong now and then, so that drafts are refused at every place."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from punie_trace.speculative import Draft, DraftToken, FreeDrafter


class KnowingDrafter(FreeDrafter):
    """Proposes `answer`, each token wrong with a chance of `wrong`."""

    name = "knowing"

    def __init__(self, answer: Sequence[int] = (), wrong: float = 0.3, seed: int = 0) -> None:
        self.answer = list(answer)
        self.wrong = wrong
        self._random = random.Random(seed)
        self._at = 0

    def begin(self, context: Sequence[int]) -> None:
        """A new answer."""
        self._at = 0

    def commit(self, emitted: Sequence[int]) -> None:
        """So far it was emitted."""
        self._at += len(emitted)

    def propose(self, context: Sequence[int], k: int, *, after: Sequence[int] = (), **options: Any) -> Draft:
        """The next k tokens of the answer, or nearly so."""
        begin = self._at + len(after)
        ids = [one if self._random.random() >= self.wrong else one ^ 1 for one in self.answer[begin : begin + k]]
        return Draft(tuple([DraftToken(one, self.name, 0.7, 8 + at) for at, one in enumerate(ids)]))
