"""A made-up machine for controllers: costs, acceptance and noise are known, so that the best policy is too."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from punie_trace.speculative.composing import composed
from punie_trace.speculative.controller import Controller, Offer
from punie_trace.speculative.drafting import Kind, Proposal
from punie_trace.speculative.ngram import NgramDrafter
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
        offers: list[Offer] = []
        if self._random.random() < self.text:
            n = self._random.randint(4, 20)
            offers.append(Offer("suffix", True, n, tuple(range(8, 8 + n))))
        if self.model:
            offers.append(Offer("model", False, 64))
        drafters = [Guessing(offer, self) for offer in offers]
        decision = controller.decide(offers, min_acceptance)
        noise = self._random.uniform(1.0, 3.0) if self.noisy and self._random.random() < 0.1 else 1.0
        if decision.at is None or not decision.k:
            record = RoundRecord("", 0, 0, 0, 0, 1, 1, 0, 0, int(self.verify(1) * MS * noise), 0)
            self._count(controller, None, record)
            return
        drafter = drafters[decision.at]
        if decision.growth is not None:
            proposal = composed([], drafters, decision.growth, decision.k)
        else:
            proposal = drafter.propose([], decision.k).of(drafter.kind, drafter.free)
        n = len(proposal.tokens)
        accepted = 0
        while accepted < n and self._random.random() < proposal.tokens[accepted] / MS:
            accepted += 1
        drafting = (0.02 + self.step * proposal.computed) * noise
        times = (int(drafting * MS), int(self.verify(n + 1) * MS * noise))
        record = RoundRecord(
            drafter.kind, decision.k, n, n, accepted, accepted + 1, n + 1, 0, *times, 0, proposal.computed
        )
        self._count(controller, proposal, record)

    def chance(self, free: bool) -> float:
        """The chance of one draft token."""
        mean = self.copied if free else self.acceptance
        if mean in (0.0, 1.0):
            return mean
        return self._random.betavariate(3 * mean, 3 * (1 - mean))

    def _count(self, controller: Controller, proposal: Proposal | None, record: RoundRecord) -> None:
        controller.observe(proposal, record.accepted, False, record)
        self.tokens += record.emitted
        self.ms += record.total_ns / MS
        self.drafted += record.drafted
        self.accepted += record.accepted
        self.lengths.append(record.drafted)


class Guessing(NgramDrafter):
    """Proposes tokens that are their own chances, in millionths."""

    def __init__(self, offer: Offer, world: World) -> None:
        super().__init__()
        self.offer = offer
        self.world = world
        self.free = offer.free
        self.kind: Kind = "suffix" if offer.free else "model"

    def propose(self, context, k, *, after=(), sampler=None, alternatives=False) -> Proposal:
        chances = [self.world.chance(self.free) for _ in range(min(k, self.offer.limit - len(after)))]
        sure = tuple(min(0.999, chance**0.7) for chance in chances)
        return Proposal(tuple(int(chance * MS) for chance in chances), None, sure, self.offer.matched)
