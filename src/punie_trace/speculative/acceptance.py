"""How likely a draft token is to be accepted, learnt from those that were verified.

Two things tell: for a model's token, how sure the model was of it; for a copied one, the length of the repeated text
behind it, which grows with every token of the draft. Inside and outside a tool call are counted apart. Counts are
forgotten exponentially, so that a change of text shows within a few dozen rounds, and only outcomes of tokens whose
predecessors were all accepted are counted: that is the chance that a round needs. Pure Python.
"""

from __future__ import annotations

from bisect import bisect_right

CONFIDENCE_EDGES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)

_KEPT = 0.97  # of every count, at each new one
_LEAN = 4.0  # how many outcomes what is known more generally weighs
_TEXT_KEPT = 0.9  # of what one text accepted, at each new outcome
_TEXT_LEAN = 2.0  # outcomes before which a text is taken for one like all others
_LONGEST = 127  # a repeated text longer than this counts as this long


class Chance:
    """A running share with forgetting: (accepted + lean * prior) / (tried + lean)."""

    __slots__ = ("accepted", "tried")

    def __init__(self) -> None:
        self.accepted = 0.0
        self.tried = 0.0

    def add(self, accepted: bool) -> None:
        """Count one outcome."""
        self.accepted = self.accepted * _KEPT + accepted
        self.tried = self.tried * _KEPT + 1.0

    def given(self, prior: float) -> float:
        """The share, leaning on `prior` while little was counted."""
        return (self.accepted + _LEAN * prior) / (self.tried + _LEAN)


class ModelAcceptance:
    """Chances of a draft model's tokens; `prior` is assumed before anything was seen."""

    def __init__(self, prior: float = 0.7) -> None:
        self.prior = prior
        self._all = Chance()
        self._inside = {True: Chance(), False: Chance()}
        self._confidence = [Chance() for _ in range(len(CONFIDENCE_EDGES) + 1)]

    def add(self, inside: bool, confidence: float, accepted: bool) -> None:
        """A token of such confidence, all before it having been accepted, was or was not."""
        self._all.add(accepted)
        self._inside[inside].add(accepted)
        self._confidence[bisect_right(CONFIDENCE_EDGES, confidence)].add(accepted)

    def usual(self, inside: bool) -> float:
        """The chance of a token that is not drafted yet."""
        return self._inside[inside].given(self._all.given(self.prior))

    def confident(self, confidence: float) -> float:
        """The chance of a token that the drafter is so confident of, as experience has it."""
        return self._confidence[bisect_right(CONFIDENCE_EDGES, confidence)].given(min(max(confidence, 0.02), 0.98))


class CopyAcceptance:
    """Chances of copied tokens, by the length m of the repeated text, in doublings.

    Before anything was seen m / (m + 1), Laplace's rule of succession for a text that went on alike m times out of m.
    Texts differ in whether a few tokens alike mean anything: what a text accepted of its copies, against what was
    expected of them, is counted from its beginning, and scales the chances down while it falls short.
    """

    def __init__(self) -> None:
        self._lengths: dict[int, Chance] = {}
        self._inside: dict[tuple[bool, int], Chance] = {}
        self._expected = 0.0
        self._accepted = 0.0

    def begin(self) -> None:
        """Another text."""
        self._expected = self._accepted = 0.0

    def add(self, inside: bool, matched: int, accepted: bool) -> None:
        """A token after a repetition of so many, all before it having been accepted, was or was not."""
        length = min(matched, _LONGEST).bit_length()
        self._expected = self._expected * _TEXT_KEPT + self._general(inside, length)
        self._accepted = self._accepted * _TEXT_KEPT + accepted
        self._lengths.setdefault(length, Chance()).add(accepted)
        self._inside.setdefault((inside, length), Chance()).add(accepted)

    def chance(self, inside: bool, matched: int) -> float:
        """The chance of the token after a repetition of `matched` tokens."""
        trust = min(1.0, (self._accepted + _TEXT_LEAN) / (self._expected + _TEXT_LEAN))
        return trust * self._general(inside, min(matched, _LONGEST).bit_length())

    def _general(self, inside: bool, length: int) -> float:
        """The chance in texts at large."""
        shortest = 1 << max(0, length - 1)
        general = self._lengths.get(length)
        prior = shortest / (shortest + 1.0)
        if general is not None:
            prior = general.given(prior)
        here = self._inside.get((inside, length))
        return prior if here is None else here.given(prior)
