"""What a controller is asked and told, and the one that always does the same. No model, no clock, no mlx."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from punie_trace.speculative.rounds import RoundRecord


@dataclass(frozen=True, slots=True)
class Offer:
    """What one drafter could do in this round.

    `limit`: the most tokens it can give; for a free drafter, how many it has given already. `matched`: length of the
    repeated text behind them (0 for a model). `lag`: tokens it must read first. `inside`: within a tool call.
    """

    drafter: str
    free: bool
    limit: int
    matched: int = 0
    lag: int = 0
    inside: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """Offer `at` (None: decode plainly), at most `k` tokens; `keep` is asked after each, None goes on to k."""

    at: int | None = None
    k: int = 0
    keep: Callable[[Sequence[float]], bool] | None = None


PLAIN = Decision()


class Controller(Protocol):
    """Decides each round, and is told how it went."""

    def wants(self, drafter: str) -> bool:
        """Whether this drafter is likely to be used, so that it should read a new request's prompt at once."""
        ...

    def decide(self, offers: Sequence[Offer], min_acceptance: float | None = None) -> Decision:
        """Which drafter, and how far. `offers` is empty where nothing can be drafted."""
        ...

    def cut(self, offer: Offer, confidence: Sequence[float], min_acceptance: float | None = None) -> int:
        """How many of the drafted tokens are worth verifying."""
        ...

    def observe(self, offer: Offer | None, confidence: Sequence[float], record: RoundRecord) -> None:
        """A round is over; `offer` is the one that was asked for a draft, None in a plain round."""
        ...


class FixedController:
    """Always k tokens, of the first drafter with a guess; a match shorter than `trusted` gives way to the next."""

    def __init__(self, k: int, *, trusted: int = 4) -> None:
        self.k = k
        self.trusted = trusted

    def decide(self, offers: Sequence[Offer], min_acceptance: float | None = None) -> Decision:
        """The first offer that can be trusted, else the last."""
        for at, offer in enumerate(offers):
            if at == len(offers) - 1 or not offer.free or offer.matched >= self.trusted:
                return Decision(at, min(self.k, offer.limit))
        return PLAIN

    def wants(self, drafter: str) -> bool:
        """Always."""
        return True

    def cut(self, offer: Offer, confidence: Sequence[float], min_acceptance: float | None = None) -> int:
        """All of them."""
        return len(confidence)

    def observe(self, offer: Offer | None, confidence: Sequence[float], record: RoundRecord) -> None:
        """Learns nothing."""
