"""The controller that measures: each round it drafts as far as that promises most tokens a second, or not at all.

Theory
------
Tokens a second over many rounds are E / T of the sums (tokens emitted, time taken), so the best policy maximises E - r
T for the rate r that it attains itself (Dinkelbach; `growth` has the rule for one draft, and takes each token from
whichever drafter gives it at the best price). Plain decoding is E = 1 at its own, pipelined, cost P. V, P, the cost of
a draft token and the rest are low quantiles of what was timed (`costs`), chances are what was seen to be accepted
(`acceptance`), r is what the last few dozen rounds attained; within and outside tool calls apart, and where a long
repetition is being copied and where not, since hard text must not be measured by the pace of copies.

What may be lost against plain decoding is bounded by a regret budget (`regret_budget`), counted by expected costs, so
that noise of the host does not count as loss. The same budget pays for probes: where no drafter seems worth it, one is
tried now and then, so that a change of the text is noticed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from punie_trace.speculative.acceptance import CopyAcceptance, ModelAcceptance
from punie_trace.speculative.controller import PLAIN, Decision, Offer
from punie_trace.speculative.costs import DraftCost, LowQuantile, VerificationCost
from punie_trace.speculative.growth import MeasuredGrowth
from punie_trace.speculative.regret_budget import Probes, RegretBudget

if TYPE_CHECKING:
    from punie_trace.speculative.drafting import Draft
    from punie_trace.speculative.rounds import RoundRecord

_FIRST_PLAIN = 3  # plain rounds at the very start, so that there is something to compare with
_KEPT = 0.95  # of what was attained so far, at each new round
_AMORTISED = 12  # rounds over which what a drafter has to read first is spread
_PROBED = 4  # tokens of a probe
_HOPE = 1.15  # tokens a second of an untried drafter over plain decoding, so that it gets its trial
_REFRESH = 256  # rounds between plain ones, so that P does not go stale while drafting wins
_FURTHER = 24  # rounds between drafts that are longer than seems best, by `_SPARE`, so that no V(m) goes stale
_SPARE = 2
_REACH = 2  # times the rows of the longest pass that was timed: no draft is longer, since its cost would be a guess
_LONG = 16  # tokens of repeated text from which on the text counts as being copied


class Attained:
    """Tokens, time in ns and rounds, with forgetting."""

    __slots__ = ("ns", "rounds", "tokens")

    def __init__(self) -> None:
        self.tokens = 0.0
        self.ns = 0.0
        self.rounds = 0.0

    def add(self, tokens: int, ns: float) -> None:
        """One round more; all before it weigh less."""
        self.tokens = self.tokens * _KEPT + tokens
        self.ns = self.ns * _KEPT + ns
        self.rounds = self.rounds * _KEPT + 1.0

    def fade(self, share: float) -> None:
        """Let all of it weigh less."""
        self.tokens *= share
        self.ns *= share
        self.rounds *= share


class AdaptiveController:
    """Chooses by measured costs and acceptance; keeps what it learnt from one generation to the next.

    `longest`: most tokens a draft. `budget` (plain rounds) and `loss` (share of time) bound the regret. `hysteresis`:
    by how much drafting, or stopping it, must promise more before it is done.
    """

    def __init__(
        self, *, longest: int = 32, budget: float = 8.0, loss: float = 0.01, hysteresis: float = 0.03, seed: int = 0
    ) -> None:
        self.longest = longest
        self.budget = RegretBudget(budget, loss)
        self.hysteresis = hysteresis
        self.verification = VerificationCost()
        self._plain = LowQuantile()
        self._rest = LowQuantile()
        self._drafting_cost = DraftCost()  # of the model: a draft has one at most
        self._copies: dict[str, CopyAcceptance] = {}
        self._models: dict[str, ModelAcceptance] = {}
        self._drafts: dict[tuple[str, bool], Attained] = {}  # drafter, inside: rounds in which it drafted
        self._all: dict[tuple[bool, bool], Attained] = {}  # inside, copying: all rounds
        self._place = False, False
        self._probes = Probes()
        self._drafting = False
        self._rounds = 0
        self._random = random.Random(seed)

    def plain_cost(self) -> float | None:
        """P in ns; None before a plain round was seen."""
        return self._plain.value

    def draft_cost(self) -> float | None:
        """Time of one token of a draft model in ns; c is this over `plain_cost`. None before one was seen."""
        return self._drafting_cost.token.value

    def begin(self) -> None:
        """Another text: how far its copies can be trusted is not known yet."""
        for copies in self._copies.values():
            copies.begin()

    def wants(self, drafter: str) -> bool:
        """Whether it has promised more than plain decoding so far; an untried one does."""
        plain = self._plain.value
        tokens, ns, _ = self._drafted_with(drafter)
        return plain is None or tokens < 4 or tokens * plain > ns

    def decide(self, offers: Sequence[Offer], min_acceptance: float | None = None) -> Decision:
        """A draft as long as its tokens pay; plain where none promises more, or the regret budget is spent."""
        plain = self._plain.value
        if offers:
            self._place = offers[0].inside, any(offer.matched >= _LONG for offer in offers)
        refresh = self._rounds % _REFRESH == _REFRESH - 1
        if plain is None or len(self._plain) < _FIRST_PLAIN or not offers or refresh:
            return PLAIN
        model = next((at for at, offer in enumerate(offers) if not offer.free), None)
        asked = model is not None and self._pays(offers[model], plain)
        reach = _REACH * self.verification.longest + 1
        most = min(self.longest, reach, max(offer.limit for offer in offers))
        rate = self._rate(plain)
        curve = self.verification.curve(offers[0].pending + most + 1)
        waiting = curve[offers[0].pending] - curve[0]  # what the rows take that are processed in any case
        growth = self._growth(
            offers[model] if asked and model is not None else None,
            rate,
            curve[offers[0].pending :],
            min_acceptance,
        )
        margin = self.hysteresis * (-1 if self._drafting else 1)
        best, at = 1.0 - rate * (plain + waiting) + margin, model if asked else None
        for number, offer in enumerate(offers):
            if offer.free:
                promise = growth.promise(offer.drafter, offer.matches) - rate * (self._rest.value or 0.0)
                if promise > best:
                    best, at = promise, number if at is None else at
        if at is not None and self.budget.left > 0:
            return Decision(at, most, growth)
        if self._probes.due() and self.budget.left >= 1.0:
            return self._probe(offers, plain)
        return PLAIN

    def observe(self, draft: Draft | None, accepted: int, inside: bool, record: RoundRecord) -> None:
        """Learn from a round."""
        self._rounds += 1
        plain = self._plain.value
        self.verification.add(record.rows, record.verify_ns)
        if record.drafted:
            self._rest.add(record.rest_ns)
        elif record.rows == 1:  # else it committed what waited, too
            self._plain.add(record.verify_ns + record.rest_ns)
        self._drafting = draft is not None
        if draft is None:
            self.budget.plain_round()
            if plain is not None:
                self._here().add(1, self._expected(record, plain))
            return
        self._learn(draft, accepted, inside, record)
        if plain is None:
            return
        expected = self._expected(record, plain)
        self._here().add(record.emitted, expected)
        for drafter in set(record.origins) or {record.drafter}:
            self._drafts.setdefault((drafter, inside), Attained()).add(record.emitted, expected)
        self._probes.ended(self.budget.drafted_round(record.emitted, expected / plain))

    def _learn(self, draft: Draft, accepted: int, inside: bool, record: RoundRecord) -> None:
        """Costs of drafting, and which tokens were accepted."""
        if record.computed:
            self._drafting_cost.add(record.computed, record.lag, record.draft_ns)
        for at, token in enumerate(draft.tokens[: accepted + 1]):
            if token.matched:
                self._copies.setdefault(token.origin, CopyAcceptance()).add(inside, token.matched, at < accepted)
            else:
                self._models.setdefault(token.origin, ModelAcceptance()).add(inside, token.confidence, at < accepted)

    def _here(self) -> Attained:
        """What was attained in places like this."""
        return self._all.setdefault(self._place, Attained())

    def _growth(
        self, model: Offer | None, rate: float, curve: list[float], min_acceptance: float | None
    ) -> MeasuredGrowth:
        attained = self._here()
        return MeasuredGrowth(
            rate=rate,
            curve=curve,
            step=self._drafting_cost.each(self._plain.value or 0.0),
            copies=self._copies,
            model=None if model is None else self._models.setdefault(model.drafter, ModelAcceptance()),
            inside=self._place[0],
            future=attained.tokens / attained.rounds if attained.rounds else 1.0,
            spare=_SPARE if self._rounds % _FURTHER == 0 and min_acceptance is None else 0,
            min_acceptance=min_acceptance,
        )

    def _rate(self, plain: float) -> float:
        """Tokens a ns that are attained anyway, at least those of plain decoding; little is known of a new place."""
        attained, floor = self._here(), 1.0 / plain
        weight = attained.rounds / (attained.rounds + 2.0)
        rate = attained.tokens / attained.ns if attained.ns else floor
        return max(floor, weight * rate + (1 - weight) * floor)

    def _pays(self, offer: Offer, plain: float) -> bool:
        """Whether drafts of this model have been worth more than plain decoding, here or else elsewhere."""
        tokens, ns, rounds = 0.0, 0.0, 0.0
        if (here := self._drafts.get((offer.drafter, offer.inside))) is not None:
            tokens, ns, rounds = here.tokens, here.ns, here.rounds
        if tokens < 4:
            tokens, ns, rounds = self._drafted_with(offer.drafter)
        if tokens < 4:
            tokens, ns, rounds = 4 * _HOPE, 4 * plain, 2.0
        first = self._drafting_cost.first(offer.lag, plain) / _AMORTISED
        margin = 1 - self.hysteresis if self._drafting else 1 + self.hysteresis
        return tokens * plain > (ns + rounds * first) * margin

    def _probe(self, offers: Sequence[Offer], plain: float) -> Decision:
        """Try a drafter that does not seem worth it, and let what was known of it weigh less."""
        self._probes.planned()
        at = self._random.randrange(len(offers))
        offer = offers[at]
        k = min(offer.limit, self.longest, _PROBED)
        if not offer.free and self._drafting_cost.first(offer.lag, plain) > self.budget.left * plain:
            return PLAIN
        self._probes.begun()
        for (drafter, _), attained in self._drafts.items():
            if drafter == offer.drafter:
                attained.fade(0.5)
        return Decision(at, k)

    def _expected(self, record: RoundRecord, plain: float) -> float:
        """What such a round takes by the costs known, in ns."""
        costs = self._drafting_cost
        verifying = plain
        if record.drafted or record.rows > 1:
            verifying = self.verification.curve(record.rows)[-1] + (self._rest.value or 0.0)
        reading = costs.first(record.lag, plain) if record.computed else 0.0
        return verifying + costs.each(plain) * record.computed + reading

    def _drafted_with(self, drafter: str) -> tuple[float, float, float]:
        """Tokens, ns and rounds of a drafter, wherever it drafted."""
        sums = [attained for (name, _), attained in self._drafts.items() if name == drafter]
        return sum(a.tokens for a in sums), sum(a.ns for a in sums), sum(a.rounds for a in sums)
