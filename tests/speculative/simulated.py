"""A made-up machine for controllers: costs, acceptance and noise are known, so that the best policy is too."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from punie_trace.speculative.composing import composed
from punie_trace.speculative.controller import Controller, Offer
from punie_trace.speculative.drafting import Draft, DraftToken, FreeDrafter
from punie_trace.speculative.rounds import RoundRecord

MS = 1_000_000


@dataclass
class World:
    """`verify(m)` in ms; each drafted token is accepted with a chance drawn around `acceptance`, half known to the
    drafter.

    `text` is how often a free drafter has a match to offer, and `copied` the chance that a copied token is accepted.
    With `noisy`, one round in ten takes up to three times as long.
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
            offers.append(Offer(drafter="suffix", free=True, limit=n, matches=tuple(range(8, 8 + n))))
        if self.model:
            offers.append(Offer(drafter="model", limit=64))
        drafters = [Guessing(offer, self) for offer in offers]
        decision = controller.decide(offers, min_acceptance)
        noise = self._random.uniform(1.0, 3.0) if self.noisy and self._random.random() < 0.1 else 1.0
        if decision.at is None or not decision.k:
            record = RoundRecord(verify_ns=int(self.verify(1) * MS * noise))
            self._count(controller, None, record)
            return
        drafter = drafters[decision.at]
        if decision.growth is not None:
            draft = composed([], drafters, decision.growth, decision.k)
        else:
            draft = drafter.propose([], decision.k)
        n = len(draft.tokens)
        accepted = 0
        while accepted < n and self._random.random() < draft.tokens[accepted].id / MS:
            accepted += 1
        drafting = (0.02 + self.step * draft.computed) * noise
        record = RoundRecord(
            drafter=drafter.name,
            k=decision.k,
            proposed=n,
            drafted=n,
            accepted=accepted,
            emitted=accepted + 1,
            rows=n + 1,
            draft_ns=int(drafting * MS),
            verify_ns=int(self.verify(n + 1) * MS * noise),
            computed=draft.computed,
            origins=draft.origins,
        )
        self._count(controller, draft, record)

    def chance(self, free: bool) -> float:
        """The chance of one draft token."""
        mean = self.copied if free else self.acceptance
        if mean in (0.0, 1.0):
            return mean
        return self._random.betavariate(3 * mean, 3 * (1 - mean))

    def _count(self, controller: Controller, draft: Draft | None, record: RoundRecord) -> None:
        controller.observe(draft, record.accepted, False, record)
        self.tokens += record.emitted
        self.ms += record.total_ns / MS
        self.drafted += record.drafted
        self.accepted += record.accepted
        self.lengths.append(record.drafted)


class Guessing(FreeDrafter):
    """Proposes tokens that are their own chances, in millionths."""

    def __init__(self, offer: Offer, world: World) -> None:
        self.offer = offer
        self.world = world
        self.free = offer.free
        self.name = "suffix" if offer.free else "model"

    def propose(self, context, k, *, after=(), sampler=None, alternatives=False) -> Draft:
        chances = [self.world.chance(self.free) for _ in range(min(k, self.offer.limit - len(after)))]
        first = max(1, self.offer.matched)
        tokens = [
            DraftToken(int(chance * MS), self.name, min(0.999, chance**0.7), first + at if self.free else 0)
            for at, chance in enumerate(chances)
        ]
        return Draft(tuple(tokens), 0 if self.free else len(tokens))
