"""How likely a draft token is to stand: by drafter, context and position, and by the drafter's own confidence.

Counts are forgotten exponentially, so that a change of text shows within a few dozen rounds. A token's outcome is only
counted where all before it stood: that is the chance the round needs. A context that is rare leans on what is known of
the drafter as a whole, and that on a prior. Pure Python.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Sequence

CONFIDENCE_EDGES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)

_KEPT = 0.97  # of every count, at each new one
_LEAN = 4.0  # how many outcomes what is known more generally weighs
_POSITIONS = 12  # positions beyond are counted as this one


class Chance:
    """A running share with forgetting: (stood + lean * prior) / (tried + lean)."""

    __slots__ = ("stood", "tried")

    def __init__(self) -> None:
        self.stood = 0.0
        self.tried = 0.0

    def add(self, stood: bool) -> None:
        """Count one outcome."""
        self.stood = self.stood * _KEPT + stood
        self.tried = self.tried * _KEPT + 1.0

    def given(self, prior: float) -> float:
        """The share, leaning on `prior` while little was counted."""
        return (self.stood + _LEAN * prior) / (self.tried + _LEAN)


class AcceptanceTable:
    """Chances of one drafter; `prior` is assumed before anything was seen.

    A context is whatever the caller distinguishes: inside or outside a tool call, the length of the match.
    """

    def __init__(self, prior: float = 0.7) -> None:
        self.prior = prior
        self._all = Chance()
        self._positions: dict[tuple[Hashable, int], Chance] = {}
        self._contexts: dict[Hashable, Chance] = {}
        self._confidence = [Chance() for _ in range(len(CONFIDENCE_EDGES) + 1)]

    def add(self, context: Hashable, drafted: int, accepted: int, confidence: Sequence[float]) -> None:
        """A draft of so many tokens was verified, and so many stood."""
        for at in range(min(drafted, accepted + 1)):
            stood = at < accepted
            self._all.add(stood)
            self._contexts.setdefault(context, Chance()).add(stood)
            self._positions.setdefault((context, min(at, _POSITIONS)), Chance()).add(stood)
            if at < len(confidence):
                self._confidence[bisect_right(CONFIDENCE_EDGES, confidence[at])].add(stood)

    def overall(self, context: Hashable) -> float:
        """The chance of a token whose predecessors stood, wherever it is in the draft."""
        general = self._all.given(self.prior)
        chance = self._contexts.get(context)
        return general if chance is None else chance.given(general)

    def reach(self, context: Hashable, k: int) -> list[float]:
        """The chance that the first 1, 2, ..., k tokens all stand."""
        general = self.overall(context)
        result: list[float] = []
        product = 1.0
        for at in range(k):
            chance = self._positions.get((context, min(at, _POSITIONS)))
            product *= general if chance is None else chance.given(general)
            result.append(product)
        return result

    def confident(self, confidence: float) -> float:
        """The chance of a token that the drafter is so confident of, as experience has it."""
        return self._confidence[bisect_right(CONFIDENCE_EDGES, confidence)].given(min(max(confidence, 0.02), 0.98))
