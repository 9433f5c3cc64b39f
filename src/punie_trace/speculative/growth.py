"""When a draft should grow by one more token, where that token should come from, and how much of it to verify.

Theory
------
A round that verifies k tokens emits E(k) = 1 + sum_(i<=k) R_i, R_i the chance that the first i are all accepted, and
takes T(k) = V(k + 1) + what drafting took. At the rate r of tokens that is attained anyway, the best draft maximises E
- r T (Dinkelbach). So one more token is worth it while its reach exceeds r times what it adds to T; as V may have a
bump that a longer draft gets over, all further lengths are considered, not the next alone. A copied token costs its row
in V only, a model's also its step, so a copy wins against the model unless it is less likely by so much that what
follows it is worth more than the step. What was drafted is paid for: at the end k maximises sum R_i - r V(k + 1).

Pure Python; chances and costs are asked of `acceptance` and `costs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat

from punie_trace.speculative.acceptance import CopyAcceptance, ModelAcceptance


class MeasuredGrowth:
    """The rule for one draft.

    `rate` in tokens a ns, `curve[m - 1]` = V(m) and `step` in ns; `copies` and `model` hold the chances (`model` None:
    it shall not be asked). `future` is how many tokens a draft wins besides the one in question. `spare` tokens more
    are drafted than seems worth it, to learn. `min_acceptance`: the expected share of accepted tokens to keep to.
    """

    def __init__(
        self,
        *,
        rate: float,
        curve: Sequence[float],
        step: float,
        copies: dict[str, CopyAcceptance],
        model: ModelAcceptance | None,
        inside: bool,
        future: float = 4.0,
        spare: int = 0,
        min_acceptance: float | None = None,
    ) -> None:
        self._rate = rate
        self._curve = curve
        self._step = step
        self._copies = copies
        self._model = model
        self._inside = inside
        self._future = future
        self._spare = spare
        self._whole = spare > 0
        self._least = min_acceptance
        self._reaches: list[float] = []
        self._reach = 1.0
        self._sum = 0.0

    def copies(self, drafter: str, matches: Sequence[int]) -> bool:
        """Whether to copy the next token, behind which so much repeated text lies, and behind those that follow it."""
        if self._model is not None:
            # A short repetition is held to be worth less than its record, which mixes text that repeats itself with
            # text that does not; a model's own doubts show.
            chance = self._copied(drafter, matches[0]) * matches[0] / (matches[0] + 1.0)
            usual = self._model.usual(self._inside)
            if (usual - chance) * (1.0 + self._future) > self._step * self._rate and self.asks(spend=False):
                return False
        return self._worth((self._copied(drafter, matched) for matched in matches[: self._left()]), 0.0)

    def asks(self, *, spend: bool = True) -> bool:
        """Whether to ask the model for the next token."""
        if self._model is None or not self._left():
            return False
        if self._worth(repeat(self._model.usual(self._inside), self._left()), self._step):
            return True
        if self._spare and spend:
            self._spare -= 1
            return True
        return False

    def asks_again(self) -> bool:
        """Whether the model, asked for the next token, will be asked for another if it is as sure as usual."""
        if self._model is None or self._left() < 2:
            return False
        usual = self._model.usual(self._inside)
        return self._worth(repeat(usual, self._left() - 1), self._step, before=(usual,))

    def copied(self, drafter: str, matched: int) -> None:
        """The next token was copied."""
        self._add(self._copied(drafter, matched))

    def computed(self, confidence: float) -> None:
        """The next token is the model's, of such confidence."""
        self._add(1.0 if self._model is None else self._model.confident(confidence))

    def length(self) -> int:
        """How many of the tokens drafted are worth verifying; all where it is to be learnt what more of them cost."""
        if self._whole:
            return len(self._reaches)
        best, most, tokens = 0, -self._rate * self._curve[0], 0.0
        for k, reach in enumerate(self._reaches, start=1):
            tokens += reach
            if self._least is not None and tokens / k < self._least:
                continue
            if (gain := tokens - self._rate * self._curve[k]) > most:
                best, most = k, gain
        return best

    def promise(self, drafter: str, matches: Sequence[int]) -> float:
        """The most that copies bring now behind which so much repeated text lies: E - r V, in tokens."""
        best, reach, tokens = -1e9, 1.0, 0.0
        for k, matched in enumerate(matches[: len(self._curve) - 1], start=1):
            reach *= self._copied(drafter, matched)
            tokens += reach
            if self._least is not None and tokens / k < self._least:
                continue
            best = max(best, 1.0 + tokens - self._rate * self._curve[k])
        return best

    def _copied(self, drafter: str, matched: int) -> float:
        return self._copies.setdefault(drafter, CopyAcceptance()).chance(self._inside, matched)

    def _left(self) -> int:
        return len(self._curve) - 1 - len(self._reaches)

    def _add(self, chance: float) -> None:
        self._reach *= chance
        self._sum += self._reach
        self._reaches.append(self._reach)

    def _worth(self, chances: Iterable[float], step: float, before: Sequence[float] = ()) -> bool:
        """Whether tokens of such chances, at `step` each, win more than they take, the first or the first few.

        `before` are chances of tokens that come in front of them in any case.
        """
        drafted, total, reach = len(self._reaches), self._sum, self._reach
        for chance in before:
            reach *= chance
            drafted, total = drafted + 1, total + reach
        gained, cost = 0.0, 0.0
        for further, chance in enumerate(chances, start=1):
            reach *= chance
            gained += reach
            if self._least is not None and (total + gained) / (drafted + further) < self._least:
                return bool(step) and not drafted  # how sure a model is shows only once it was asked
            cost = step * further + self._curve[drafted + further] - self._curve[drafted]
            if gained > cost * self._rate:
                return True
            if reach < 0.01:
                return False
        return False
