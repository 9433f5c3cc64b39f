"""What a controller is asked and what it hears, and the one that always does the same. No model, no clock, no mlx."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from punie_trace.speculative.drafting import Draft
    from punie_trace.speculative.rounds import RoundRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What one drafter could do in this round.

    `limit`: the most tokens it can give; for a free drafter, how many it has given already. `matches`: length of the
    repeated text behind each of them (none for a model). `lag`: tokens it must read first. `inside`: within a tool
    call. `pending`: rows that the target processes in any case in front of the draft.
    """

    drafter: str
    free: bool = False
    limit: int
    matches: tuple[int, ...] = ()
    lag: int = 0
    inside: bool = False
    pending: int = 0

    @property
    def matched(self) -> int:
        """The length of the repeated text behind the first token."""
        return self.matches[0] if self.matches else 0


class Growth(Protocol):
    """Asked token by token while a draft grows from several drafters (`composing`)."""

    def copies(self, drafter: str, matches: Sequence[int]) -> bool:
        """Whether to copy the next token, which rests on a repetition of `matches[0]` tokens; the others may follow."""
        ...

    def asks(self) -> bool:
        """Whether else to ask the model for it."""
        ...

    def asks_again(self) -> bool:
        """Whether the model is likely to be asked for the token after that, too."""
        ...

    def copied(self, drafter: str, matched: int) -> None:
        """It was copied."""
        ...

    def computed(self, confidence: float) -> None:
        """The model computed it, so sure of it."""
        ...

    def length(self) -> int:
        """How many of the tokens drafted are worth verifying."""
        ...


@dataclass(frozen=True, slots=True)
class Decision:
    """At most `k` tokens (0: decode plainly): of offer `at` alone, or with `growth` of all of them in turn."""

    at: int | None = None
    k: int = 0
    growth: Growth | None = None


PLAIN = Decision()


class Controller(Protocol):
    """Decides each round, and hears how it went."""

    def begin(self) -> None:
        """A generation starts."""
        ...

    def wants(self, drafter: str) -> bool:
        """Whether this drafter is likely to be used, so that it should read a new request's prompt at once."""
        ...

    def decide(self, offers: Sequence[Offer], min_acceptance: float | None = None) -> Decision:
        """Which drafter, and how far. `offers` is empty where nothing can be drafted."""
        ...

    def observe(self, draft: Draft | None, accepted: int, inside: bool, record: RoundRecord) -> None:
        """A round is over: so many of the draft's first tokens were accepted. None in a plain round.

        `inside` says whether it began within a tool call.
        """
        ...


class FixedController:
    """Always k tokens, of the first drafter with a guess; a match shorter than `trusted` gives way to the next."""

    def __init__(self, k: int, *, trusted: int = 4) -> None:
        self.k = k
        self.trusted = trusted

    def begin(self) -> None:
        """Nothing to do."""

    def decide(self, offers: Sequence[Offer], min_acceptance: float | None = None) -> Decision:
        """The first offer that can be trusted, else the last."""
        for at, offer in enumerate(offers):
            if at == len(offers) - 1 or not offer.free or offer.matched >= self.trusted:
                return Decision(at, min(self.k, offer.limit))
        return PLAIN

    def wants(self, drafter: str) -> bool:
        """Always."""
        return True

    def observe(self, draft: Draft | None, accepted: int, inside: bool, record: RoundRecord) -> None:
        """Learns nothing."""
