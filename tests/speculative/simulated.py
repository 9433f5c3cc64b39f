"""A made-up machine for controllers: costs, acceptance and noise are known, so that the best policy is too."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from punie_trace.speculative.controller import Controller, Offer
from punie_trace.speculative.rounds import RoundRecord

MS = 1_000_000


@dataclass
class World:
    """`verify(m)` in ms; each drafted token stands with a chance drawn around `acceptance` that the drafter half knows.

    `text` is how often a free drafter has a match to offer, and `copied` the chance that a copied token stands. With
    `noisy`, one round in ten takes up to three times as long.
    """

    verify: Callable[[int], float]
    acceptance: float = 0.0
    step: float = 0.5
    text: float = 0.0
    copied: float = 0.0
    model: bool = True
    noisy: bool = True
    seed: int = 1
    tokens: int = 0
    ms: float = 0.0
    drafted: int = 0
    accepted: int = 0
    lengths: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def rate(self) -> float:
        """Tokens a millisecond so far."""
        return self.tokens / self.ms

    def forget(self) -> None:
        """Start counting anew."""
        self.tokens, self.ms, self.drafted, self.accepted, self.lengths = 0, 0.0, 0, 0, []

    def run(self, controller: Controller, rounds: int, min_acceptance: float | None = None) -> World:
        """So many rounds."""
        for _ in range(rounds):
            self._round(controller, min_acceptance)
        return self

    def _round(self, controller: Controller, min_acceptance: float | None) -> None:
        offers = []
        if self._random.random() < self.text:
            offers.append(Offer("suffix", True, self._random.randint(4, 20), 8))
        if self.model:
            offers.append(Offer("model", False, 64))
        decision = controller.decide(offers, min_acceptance)
        noise = self._random.uniform(1.0, 3.0) if self.noisy and self._random.random() < 0.1 else 1.0
        if decision.at is None or not decision.k:
            self._count(
                controller, None, (), RoundRecord("", 0, 0, 0, 0, 1, 1, 0, 0, int(self.verify(1) * MS * noise), 0)
            )
            return
        offer = offers[decision.at]
        chances = [self._chance(offer) for _ in range(decision.k)]
        confidence: list[float] = []
        for chance in chances:
            confidence.append(min(0.999, chance**0.7))
            if decision.keep is not None and not decision.keep(confidence):
                break
        made = len(confidence)
        n = controller.cut(offer, confidence, min_acceptance) if not offer.free else made
        accepted = 0
        while accepted < n and self._random.random() < chances[accepted]:
            accepted += 1
        drafting = 0.02 if offer.free else self.step * made
        times = (int(drafting * MS * noise), int(self.verify(n + 1) * MS * noise))
        record = RoundRecord(offer.drafter, decision.k, made, n, accepted, accepted + 1, n + 1, 0, *times, 0)
        self._count(controller, offer, confidence[:n], record)

    def _chance(self, offer: Offer) -> float:
        mean = self.copied if offer.free else self.acceptance
        if mean in (0.0, 1.0):
            return mean
        return self._random.betavariate(3 * mean, 3 * (1 - mean))

    def _count(self, controller: Controller, offer: Offer | None, confidence, record: RoundRecord) -> None:
        controller.observe(offer, confidence, record)
        self.tokens += record.emitted
        self.ms += record.total_ns / MS
        self.drafted += record.drafted
        self.accepted += record.accepted
        self.lengths.append(record.drafted)
