"""The drafters during one generation: asked each round, guarded against what they raise, and held to their memory.

It knows no target and no cache. Whatever goes wrong here ends drafting in this generation with a reason, and nothing
else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import mlx.core as mx
from mlx_lm.generate import generation_stream

from punie_trace.speculative.composing import LONGEST_COPY, composed
from punie_trace.speculative.controller import PLAIN, Controller, Decision, Offer
from punie_trace.speculative.drafting import EMPTY, Draft, Drafter, KnownSampler, repetitions
from punie_trace.speculative.request import Speculation
from punie_trace.speculative.rounds import RoundRecord
from punie_trace.speculative.text import GeneratedText

_MEMORY_CHECKED = 32  # rounds between readings of the drafters' memory

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftingPlan:
    """How one generation is drafted for. No drafters means plain decoding, for the reason `fallback`.

    `asked` is what the request wants, `tree` whether it gets a tree. `memory_limit` in bytes: drafting stops where the
    drafters hold more.
    """

    asked: Speculation
    controller: Controller
    drafters: tuple[Drafter, ...] = ()
    tree: bool = False
    memory_limit: int | None = None
    fallback: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What a round does: the decision, the offers it was made from, and the drafts that the free drafters gave."""

    decision: Decision = PLAIN
    offers: Sequence[Offer] = ()
    guesses: Sequence[Draft | None] = ()

    @property
    def drafts(self) -> bool:
        """Whether there is to be a draft."""
        return self.decision.at is not None and self.decision.k > 0


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft and what came before it: who led, how many tokens were asked for, proposed, and read first by a model.

    `others` are drafts of other drafters for the same place.
    """

    draft: Draft
    drafter: str
    k: int
    proposed: int
    lag: int
    others: Sequence[Draft] = ()


class DraftingSession:
    """Begin it once the prompt is read; then in each round `choose`, `draft` where that says so, and `observe`."""

    def __init__(self, plan: DraftingPlan, text: GeneratedText, sampler: KnownSampler | None) -> None:
        self.plan = plan
        self.drafters = plan.drafters
        self.fallback = plan.fallback
        self.offered = False
        self._text = text
        self._sampler = sampler
        self._committed = 0  # tokens of the text that the drafters have heard of
        self._inside = False
        self._unread = False
        self._rounds = 0
        self.snapshot_bytes = 0
        self._snapshot: Callable[[], int] = int
        self._postponed: tuple[str, Decision] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that the drafters hold."""
        return sum(drafter.nbytes for drafter in self.drafters)

    def begin(self, snapshot_bytes: Callable[[], int] = int) -> None:
        """The drafters get the text. Those that are likely to be used read it now, or after the first token.

        `snapshot_bytes` tells what the way back from a draft takes besides (`target_cache`); it counts as theirs.
        """
        self._snapshot = snapshot_bytes
        asked = self.plan.asked
        self.plan.controller.begin()
        for drafter in self.drafters:
            self._guarded(partial(drafter.use_memory, asked.memory, asked.salt))
            self._guarded(partial(drafter.begin, self._text.tokens))
        self._committed = len(self._text.tokens)
        self._unread = True
        if not self.first_token_waits:
            self.prepare()
        self._check_memory()

    @property
    def first_token_waits(self) -> bool:
        """Whether someone waits for the first token, so that it comes by a plain step, before anything is drafted.

        By replay of recorded answers that costs nothing: a first draft of up to `longest` tokens delays the first
        token by three plain steps on average, and what it would have brought the next draft brings.
        """
        return self.plan.asked.mode == "adaptive"

    def prepare(self) -> None:
        """Drafters that are likely to be used read the text, if they did not yet; its time is in no round's record."""
        if not self._unread:
            return
        self._unread = False
        for drafter in self.drafters:
            if self.plan.controller.wants(drafter.name):
                with mx.stream(generation_stream):
                    self._guarded(partial(drafter.prepare, self._text.tokens))
        self._check_memory()

    def commit(self) -> None:
        """The drafters hear what was emitted since they heard last."""
        if self._committed < len(self._text.tokens):
            emitted = self._text.tokens[self._committed :]
            self._committed = len(self._text.tokens)
            for drafter in self.drafters:
                self._guarded(partial(drafter.commit, emitted))

    def end(self) -> None:
        """The drafters keep what they will."""
        self.commit()
        for drafter in self.drafters:
            self._guarded(partial(drafter.end, self._text.tokens, self._text.prompt_end))
        self.snapshot_bytes = max(self.snapshot_bytes, self._guarded(self._snapshot) or 0)

    def choose(self, room: int, pending: int = 0) -> Choice:
        """Ask the free drafters for their drafts, and the controller what to do with them.

        `room` tokens at most; `pending` rows are verified with them in any case.
        """
        self._inside = self._text.inside
        asked = self.plan.asked
        most = room if asked.k is None or asked.mode == "fixed" else min(room, asked.k)
        if most < 1 or not self.drafters:
            return Choice()
        offers: list[Offer] = []
        guesses: list[Draft | None] = []
        for drafter in self.drafters:
            if drafter.free:
                guess = self._propose(drafter, min(most, LONGEST_COPY))
                if guess.tokens:
                    matches = tuple([token.matched for token in guess.tokens])
                    offers.append(
                        Offer(
                            drafter=drafter.name,
                            free=True,
                            limit=len(matches),
                            matches=matches,
                            inside=self._inside,
                            pending=pending,
                        )
                    )
                    guesses.append(guess)
            else:
                limit = min(most, drafter.room(self._text.tokens))
                if limit > 0:
                    lag = drafter.lag(self._text.tokens)
                    offers.append(
                        Offer(drafter=drafter.name, limit=limit, lag=lag, inside=self._inside, pending=pending)
                    )
                    guesses.append(None)
        if not self.drafters:  # one of them raised
            return Choice()
        self.offered = self.offered or bool(offers)
        if self._postponed is not None:
            (name, decision), self._postponed = self._postponed, None
            for at, offer in enumerate(offers):
                if offer.drafter == name:
                    return Choice(Decision(at, min(decision.k, most), decision.growth), offers, guesses)
        return Choice(self.plan.controller.decide(offers, asked.min_acceptance), offers, guesses)

    def postpone(self, choice: Choice) -> None:
        """A token that is already being computed comes first; the decision holds for the round after it."""
        assert choice.decision.at is not None
        self._postponed = choice.offers[choice.decision.at].drafter, choice.decision

    def draft(self, choice: Choice) -> Drafted:
        """The draft that was decided on, cut to what is worth verifying."""
        decision = choice.decision
        assert decision.at is not None
        offer, guess = choice.offers[decision.at], choice.guesses[decision.at]
        if decision.growth is not None:
            draft = self._guarded(
                partial(
                    composed,
                    self._text.tokens,
                    self.drafters,
                    decision.growth,
                    decision.k,
                    first=[other for other in choice.guesses if other is not None],
                    sampler=self._sampler,
                    alternatives=self.plan.tree,
                )
            )
            draft = draft or EMPTY
            proposed = max(len(draft.tokens), draft.computed)
        else:
            if guess is None:
                guess = self._propose(next(d for d in self.drafters if d.name == offer.drafter), decision.k)
            proposed = len(guess.tokens)
            draft = guess.first(decision.k)
        lag = max(o.lag for o in choice.offers) if draft.computed else 0
        others = [other.first(decision.k) for other in choice.guesses if other is not None] if self.plan.tree else ()
        return Drafted(draft, offer.drafter, decision.k, proposed, lag, others)

    def observe(self, draft: Draft | None, accepted: int, record: RoundRecord) -> None:
        """A round is over; as in `Controller.observe`."""
        self._rounds += 1
        if self.drafters:
            self.plan.controller.observe(draft, accepted, self._inside, record)
            if self._rounds % _MEMORY_CHECKED == 0:
                self._check_memory()

    def stop(self, reason: str) -> None:
        """No more drafts in this generation; the first reason is kept."""
        self.drafters = ()
        self.fallback = self.fallback or reason

    def _propose(self, drafter: Drafter, k: int) -> Draft:
        """A drafter's draft, with what its kind implies for each token: a free one's rest on a repetition, a model's
        do not.
        """
        asking = partial(drafter.propose, sampler=self._sampler, alternatives=self.plan.tree)
        draft = self._guarded(lambda: asking(self._text.tokens, k)) or EMPTY
        if not draft.tokens:
            return draft
        if not drafter.free:
            return draft if draft.computed else replace(draft, computed=len(draft.tokens))
        if all(token.matched for token in draft.tokens):
            return draft
        matches = repetitions(draft)
        return Draft(tuple([token._replace(matched=m) for token, m in zip(draft.tokens, matches, strict=True)]))

    def _check_memory(self) -> None:
        snapshot = self.snapshot_bytes = max(self.snapshot_bytes, self._snapshot())
        limit = self.plan.memory_limit
        if limit is None:
            return
        held = self.nbytes
        if held <= limit < held + snapshot:
            self.stop(
                f"memory limit: a snapshot of the target's cache takes {snapshot / 1e6:.1f} MB beside the "
                f"{held / 1e6:.1f} MB that the drafters hold, and {limit / 1e6:.1f} MB are allowed"
            )
        elif held > limit:
            self.stop(f"memory limit: the drafters hold {held / 1e6:.1f} MB, and {limit / 1e6:.1f} MB are allowed")

    def _guarded(self, call: Callable[[], T]) -> T | None:
        """Call a drafter. Whatever it raises ends drafting in this generation, and nothing else."""
        try:
            return call()
        except Exception as error:
            self.stop(f"drafter error: {type(error).__name__}: {error}")
            return None
