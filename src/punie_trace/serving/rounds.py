"""What one generation's speculation did, round by round, in the form in which spans, timings and metrics want it.

Values and sums. They are made from what the decoder records, so that the server's other parts know no decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Round:
    """One round of draft and verify; `k` is how many tokens were to be drafted, times are in ns."""

    drafter: str
    k: int
    drafted: int
    accepted: int
    draft_ns: int = 0
    verify_ns: int = 0
    rest_ns: int = 0


@dataclass(frozen=True, slots=True)
class SpeculationRecord:
    """All rounds of one generation; `fallback` is why drafting stopped or never began, None where it did not."""

    rounds: tuple[Round, ...] = ()
    fallback: str | None = None

    @property
    def drafting(self) -> Sequence[Round]:
        """The rounds in which anything was drafted: a round without a draft is a plain step."""
        return [one for one in self.rounds if one.drafted > 0]

    @property
    def drafted(self) -> int:
        """Tokens drafted."""
        return sum(one.drafted for one in self.rounds)

    @property
    def accepted(self) -> int:
        """Drafted tokens that the target accepted."""
        return sum(one.accepted for one in self.rounds)

    @property
    def drafters(self) -> tuple[str, ...]:
        """Who drafted, in the order of their first round."""
        return tuple(dict.fromkeys(one.drafter for one in self.drafting))

    @property
    def acceptance(self) -> float | None:
        """Accepted / drafted; None where nothing was drafted."""
        return self.accepted / self.drafted if self.drafted else None

    @property
    def mean_length(self) -> float | None:
        """Tokens that a drafting round yields: 1 + accepted / rounds (the bonus token counts); None without any."""
        rounds = len(self.drafting)
        return 1 + self.accepted / rounds if rounds else None

    @property
    def mean_k(self) -> float | None:
        """Tokens drafted a round, over the rounds that drafted."""
        rounds = len(self.drafting)
        return self.drafted / rounds if rounds else None

    def accepted_by_position(self) -> list[int]:
        """How often the draft's first, second, ... token was accepted."""
        longest = max((one.accepted for one in self.rounds), default=0)
        return [sum(one.accepted > position for one in self.rounds) for position in range(longest)]
