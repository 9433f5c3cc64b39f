"""The controller that measures: each round the drafter and the length that promise most tokens a second, or none.

Theory
------
A round that verifies k draft tokens of drafter d emits E(k) = 1 + sum_(i<=k) R_i tokens, R_i the chance that the
first i all stand, and takes T(k) = V(k + 1) + D_d(k) + rest. Tokens a second over many rounds are E / T of the sums,
so the best policy maximises E - r T for the rate r that it attains itself (Dinkelbach): *one more token is worth it
while its reach times the time a token takes now exceeds what it adds to T*. The same rule ends a model's draft early,
with R from the confidence of the tokens drafted (calibrated by experience), and cuts a draft before it is verified.
Plain decoding is the case k = 0 with its own, pipelined, cost P.

V, D, P and rest are low quantiles of what was timed (`costs`), R is what was seen to stand (`acceptance`).

Regret is bounded by a purse. It holds at most `purse` plain rounds, gains what drafting gains and a share `loss` of all
time, and loses what drafting loses, both by expected costs, so that noise of the host does not count as loss. While
it is empty nothing is drafted. So against plain decoding no more than the purse and that share of the time can be lost,
whatever the drafters do. The same purse pays for probes: where no drafter seems worth it, one is tried now and then, at
intervals that double while probes fail, so that a change of the text is noticed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from punie_trace.speculative.acceptance import AcceptanceTable
from punie_trace.speculative.controller import PLAIN, Decision, Offer
from punie_trace.speculative.costs import LowQuantile, VerificationCost
from punie_trace.speculative.rounds import RoundRecord

_FIRST_PLAIN = 3  # plain rounds at the very start, so that there is something to compare with
_DEBT = -2.0  # plain rounds: deeper than this the purse does not go, whatever one round cost
_KEPT = 0.95  # of what a drafter has achieved so far, at each new round
_LAGGING = 16  # tokens to read first, from which on that is a cost of its own
_AMORTISED = 12  # rounds over which what a drafter has to read first is spread
_PROBE_FIRST, _PROBE_LAST = 16, 512  # rounds between probes
_HOPE = 1.15  # tokens a second of an untried drafter over plain decoding, so that it gets its trial
_REFRESH = 256  # rounds between plain ones, so that P does not go stale while drafting wins
_JITTER = 24  # rounds between departures from the best length, so that no V(m) goes stale


class Plan(NamedTuple):
    """A length, with its expected tokens a nanosecond."""

    k: int
    rate: float


class DraftCost:
    """What one drafter takes: for each token, for each token it must read first, and for asking at all. In ns."""

    def __init__(self) -> None:
        self.token = LowQuantile()
        self.reading = LowQuantile()

    def add(self, free: bool, drafted: int, lag: int, nanoseconds: float) -> None:
        """So many tokens took so long."""
        if free or lag < _LAGGING:
            self.token.add(nanoseconds / max(1, drafted))
        else:
            self.reading.add(max(0.0, nanoseconds - drafted * (self.token.value or 0.0)) / lag)

    def each(self, plain: float) -> float:
        """A draft token; no more than a plain round, and little until it was seen a few times (see `costs`)."""
        return min(self.token.value or 0.0, plain * (1.0 if len(self.token) >= 3 else 0.1))

    def first(self, lag: int, plain: float) -> float:
        """What comes before the first token; a guess from the plain cost before it was timed."""
        if lag < _LAGGING:
            return 0.0
        reading = self.reading.value
        return lag * (plain / 200 if reading is None else reading)


class AdaptiveController:
    """Chooses by measured costs and acceptance; keeps what it learnt from one generation to the next.

    `longest`: most tokens a draft. `purse` (plain rounds) and `loss` (share of time) bound the regret. `hysteresis`: by
    how much another length or drafter must promise more before it is taken.
    """

    def __init__(
        self, *, longest: int = 16, purse: float = 8.0, loss: float = 0.01, hysteresis: float = 0.03, seed: int = 0
    ) -> None:
        self.longest = longest
        self.purse = purse
        self.loss = loss
        self.hysteresis = hysteresis
        self.verification = VerificationCost()
        self._plain = LowQuantile()
        self._rest = LowQuantile()
        self._costs: dict[str, DraftCost] = {}
        self._acceptance: dict[str, AcceptanceTable] = {}
        self._achieved: dict[tuple[str, bool], list[float]] = {}  # drafter, inside: tokens, ns; with forgetting
        self._kept: dict[tuple, int] = {}  # context: the length chosen last
        self._saved = purse
        self._since_probe = 0
        self._interval = _PROBE_FIRST
        self._probing = False
        self._last: str | None = None
        self._rounds = 0
        self._random = random.Random(seed)
        self._further = False  # this round goes beyond the best length, to learn

    def plain_cost(self) -> float | None:
        """P in ns; None before a plain round was seen."""
        return self._plain.value

    def draft_cost(self, drafter: str) -> float | None:
        """Time of one draft token in ns; c is this over `plain_cost`."""
        costs = self._costs.get(drafter)
        return costs.token.value if costs else None

    def saved(self) -> float:
        """What is left in the purse, in plain rounds."""
        return self._saved

    def wants(self, drafter: str) -> bool:
        """Whether it has promised more than plain decoding so far; an untried one does."""
        plain = self._plain.value
        sums = self._of(drafter)
        tokens = sum(tokens for tokens, _ in sums)
        return plain is None or tokens < 4 or tokens * plain > sum(ns for _, ns in sums)

    def decide(self, offers: Sequence[Offer], min_acceptance: float | None = None) -> Decision:
        """The offer and length of most tokens a second; plain where none promises more, or the purse is empty."""
        plain = self._plain.value
        refresh = self._rounds % _REFRESH == _REFRESH - 1
        if plain is None or len(self._plain) < _FIRST_PLAIN or not offers or refresh:
            return PLAIN
        floor = 1.0 / plain
        best, best_plan, best_score = None, Plan(0, floor), floor * (1.0 if self._last is None else 1 - self.hysteresis)
        for at, offer in enumerate(offers):
            plan = self._plan(offer, plain, min_acceptance)
            score = plan.rate * (1.0 if offer.drafter == self._last else 1 - self.hysteresis)
            if plan.k and score > best_score:
                best, best_plan, best_score = at, plan, score
        if best is not None and self._saved > 0:
            return self._decision(best, offers[best], best_plan, plain, min_acceptance)
        self._since_probe += 1
        if self._since_probe >= self._interval and self._saved >= 1.0:
            return self._probe(offers, plain)
        return PLAIN

    def cut(self, offer: Offer, confidence: Sequence[float], min_acceptance: float | None = None) -> int:
        """How many drafted tokens promise the best rate, given how confident the drafter was of each."""
        if offer.free or not confidence or self._further:
            return len(confidence)
        table = self._table(offer.drafter)
        reach, product = [], 1.0
        for sure in confidence:
            product *= table.confident(sure)
            reach.append(product)
        curve = self.verification.curve(len(reach) + 1)
        fixed = (self._rest.value or 0.0) + len(reach) * (self.draft_cost(offer.drafter) or 0.0)
        plan = _best_length(reach, curve, [fixed] * len(reach), min_acceptance)
        return plan.k if plan.rate * (curve[0] + fixed) > 1.0 else 0

    def observe(self, offer: Offer | None, confidence: Sequence[float], record: RoundRecord) -> None:
        """Learn from a round."""
        self._rounds += 1
        plain = self._plain.value
        if not record.drafted:
            self._plain.add(record.verify_ns + record.rest_ns)
            self.verification.add(1, record.verify_ns)
        else:
            self.verification.add(record.rows, record.verify_ns)
            self._rest.add(record.rest_ns)
        if offer is None:
            self._saved = min(self.purse, self._saved + self.loss)
            self._last = None
            return
        costs = self._costs.setdefault(offer.drafter, DraftCost())
        costs.add(offer.free, record.proposed, record.lag, record.draft_ns)
        context = _context(offer)
        self._table(offer.drafter).add(context, record.drafted, record.accepted, () if offer.free else confidence)
        self._last = offer.drafter
        if plain is None:
            return
        expected = self._expected(offer, record, plain)
        achieved = self._achieved.setdefault((offer.drafter, offer.inside), [0.0, 0.0])
        achieved[0] = achieved[0] * _KEPT + record.emitted
        achieved[1] = achieved[1] * _KEPT + expected
        gain = record.emitted - expected / plain
        self._saved = max(_DEBT, min(self.purse, self._saved + gain + self.loss * expected / plain))
        if self._probing and gain > 0:
            self._interval = 1  # look again at once
        self._probing = False

    def _probe(self, offers: Sequence[Offer], plain: float) -> Decision:
        """Try a drafter that does not seem worth it, and let what was known of it weigh less."""
        self._since_probe = 0
        self._interval = min(max(2 * self._interval, _PROBE_FIRST), _PROBE_LAST)
        at = self._random.randrange(len(offers))
        k = min(offers[at].limit, self.longest, 4)
        costs = self._costs.get(offers[at].drafter) or DraftCost()
        if not k or costs.first(offers[at].lag, plain) > self._saved * plain:
            return PLAIN
        self._probing = True
        for (drafter, _), sums in self._achieved.items():
            if drafter == offers[at].drafter:
                sums[0] *= 0.5
                sums[1] *= 0.5
        return Decision(at, k)

    def _decision(self, at: int, offer: Offer, plan: Plan, plain: float, min_acceptance: float | None) -> Decision:
        k = plan.k
        self._further = self._rounds % _JITTER == 0 and min_acceptance is None
        if self._further:
            k = max(1, min(offer.limit, self.longest, k + self._random.choice((-2, -1, 1, 2))))
        if offer.free:
            return Decision(at, k)
        rate = max(plan.rate, 1.0 / plain)
        return Decision(at, min(offer.limit, self.longest), self._keep(offer, rate, min_acceptance))

    def _keep(self, offer: Offer, rate: float, min_acceptance: float | None):
        """The rule that ends a model's draft: the next token's reach against what it adds, at the rate attained now."""
        table = self._table(offer.drafter)
        usual = table.overall(_context(offer))
        step = self._costs.get(offer.drafter, DraftCost()).each(self._plain.value or 0.0)
        curve = self.verification.curve(self.longest + 2)
        reach = 1.0
        sums = 0.0

        spare = 2 if self._further else 0

        def keep(confidence: Sequence[float]) -> bool:
            nonlocal reach, sums, spare
            k = len(confidence)
            reach *= table.confident(confidence[-1])
            sums += reach
            if min_acceptance is not None and (sums + reach * usual) / (k + 1) < min_acceptance:
                return False
            if reach * usual > (step + curve[k + 1] - curve[k]) * rate:
                return True
            spare -= 1
            return spare >= 0

        return keep

    def _plan(self, offer: Offer, plain: float, min_acceptance: float | None) -> Plan:
        """The best length of an offer and its rate."""
        limit = min(offer.limit, self.longest)
        if limit < 1:
            return Plan(0, 0.0)
        costs = self._costs.get(offer.drafter)
        first = (costs or DraftCost()).first(offer.lag, plain) / _AMORTISED
        if not offer.free:
            tokens, spent = self._achieved.get((offer.drafter, offer.inside), (0.0, 0.0))
            if tokens < 4:  # untried here: as elsewhere, else with hope
                elsewhere = self._of(offer.drafter)
                tokens, spent = sum(t for t, _ in elsewhere), sum(ns for _, ns in elsewhere)
            if tokens < 4:
                tokens, spent = 4 * _HOPE, 4 * plain
            rounds = max(1.0, spent / (2 * plain))
            return Plan(limit, tokens / (spent + rounds * first))
        context = _context(offer)
        reach = self._table(offer.drafter).reach(context, limit)
        step = costs.each(plain) if costs else 0.0
        rest = self._rest.value or 0.0
        curve = self.verification.curve(limit + 1)
        plan = _best_length(reach, curve, [rest + first + step * k for k in range(1, limit + 1)], min_acceptance)
        before = self._kept.get((offer.drafter, context))
        if before is not None and plan.k != before <= limit:
            tokens = 1.0 + sum(reach[:before])
            rate = tokens / (curve[before] + rest + first + step * before)
            if plan.rate < rate * (1 + self.hysteresis) and min_acceptance is None:
                plan = Plan(before, rate)
        self._kept[offer.drafter, context] = plan.k
        return plan

    def _of(self, drafter: str) -> list[list[float]]:
        return [sums for (name, _), sums in self._achieved.items() if name == drafter]

    def _expected(self, offer: Offer, record: RoundRecord, plain: float) -> float:
        """What such a round takes by the costs known, in ns."""
        costs = self._costs[offer.drafter]
        curve = self.verification.curve(record.rows)
        drafting = costs.each(plain)
        reading = costs.first(record.lag, plain)
        verifying = curve[record.rows - 1] + (self._rest.value or 0.0) if record.drafted else plain
        return verifying + drafting * record.proposed + reading

    def _table(self, drafter: str) -> AcceptanceTable:
        return self._acceptance.setdefault(drafter, AcceptanceTable())


def _context(offer: Offer) -> tuple[bool, int]:
    """What acceptance is kept apart by: in a tool call or not, and the length of the match, in doublings."""
    return offer.inside, min(offer.matched, 63).bit_length()


def _best_length(
    reach: Sequence[float], curve: Sequence[float], fixed: Sequence[float], min_acceptance: float | None
) -> Plan:
    """The k of the highest E / T among those whose expected acceptance suffices; k = 0 where none does.

    `curve[k]` is V(k + 1), `fixed[k - 1]` what else a draft of k takes.
    """
    best = Plan(0, 0.0)
    tokens = 1.0
    for k, chance in enumerate(reach, start=1):
        tokens += chance
        if min_acceptance is not None and (tokens - 1.0) / k < min_acceptance:
            continue
        rate = tokens / max(curve[k] + fixed[k - 1], 1.0)
        if rate > best.rate:
            best = Plan(k, rate)
    return best
