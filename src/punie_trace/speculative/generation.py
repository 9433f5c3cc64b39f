"""One generation: prefill, then rounds of draft and verify, or plain steps. Yields tokens; ends with a true cache.

It knows nothing of text and of the end of an answer: whoever iterates stops when enough came, at any token, and then
calls `close`. Until then the cache may hold more than was handed out; `close` cuts it back to the prompt and all
emitted tokens but the last, whatever happened in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.generate import generation_stream

from punie_trace.speculative.cache import length_of, refusal, remember_tokens, trim_to
from punie_trace.speculative.composing import LONGEST_COPY, composed
from punie_trace.speculative.controller import PLAIN, Controller, Decision, Offer
from punie_trace.speculative.draft_caches import common_prefix
from punie_trace.speculative.drafting import NOTHING, Drafted, Drafter, Proposal
from punie_trace.speculative.rounds import GenerationRecord, RoundRecord
from punie_trace.speculative.tree import grown
from punie_trace.speculative.verifier import Ahead, Verified, Verifier

Progress = Callable[[int, int], None]

_MEMORY_CHECKED = 32  # rounds between looks at the drafters' memory
_TREE_ROWS = 12

T = TypeVar("T")


class Emitted(NamedTuple):
    """One token, its log-probabilities (V,), and whether it was drafted."""

    token: int
    logprobs: mx.array
    from_draft: bool


class Marks(NamedTuple):
    """The texts that open and close a tool call, as tokens; empty where the tokenizer knows none."""

    opening: tuple[int, ...] = ()
    closing: tuple[int, ...] = ()


class Generation:
    """`tokens()` does the work; `close()` must be called once it is over, and gives the record.

    `known` are the tokens that the cache already holds (fewer than its length where that is not known: drafters then
    see a shorter text). `drafters` empty means plain decoding, for the reason `fallback`.
    """

    def __init__(
        self,
        model: nn.Module,
        cache: list,
        verifier: Verifier,
        *,
        prompt: Sequence[int],
        known: Sequence[int],
        max_tokens: int,
        drafters: Sequence[Drafter],
        controller: Controller,
        mode: str,
        fallback: str | None,
        min_acceptance: float | None = None,
        tree: bool = False,
        longest: int | None = None,
        memory_limit: int | None = None,
        marks: Marks = Marks(),  # noqa: B008  a value
        prefill_step: int = 2048,
        progress: Progress | None = None,
    ) -> None:
        self._model = model
        self._cache = cache
        self._verifier = verifier
        self._prompt = list(prompt)
        self._left = max_tokens if max_tokens >= 0 else 1 << 62
        self._drafters = tuple(drafters)
        self._controller = controller
        self._mode = mode
        self._fallback = fallback
        self._min_acceptance = min_acceptance
        self._tree = tree
        self._most = 1 << 30 if longest is None else longest
        self._memory_limit = memory_limit
        self._marks = marks
        self._prefill_step = prefill_step
        self._progress = progress or (lambda *_: None)
        self._context = [*known, *prompt]
        self._prompt_end = len(self._context)
        self._told = 0
        self._cached = length_of(cache)
        self._pipelined = refusal(cache) is None
        arguments = getattr(model, "args", None)
        self._longest = int(getattr(arguments, "max_position_embeddings", 0) or 1 << 30)
        self._inside = False
        self._ahead: Ahead | None = None
        self._postponed: tuple[str, Decision] | None = None
        self._within = False
        self._plain_before = False
        self._emitted = 0
        self._prefill_ns = 0
        self._rounds: list[RoundRecord] = []
        self._offered = False
        self._open = True

    def tokens(self) -> Iterator[Emitted]:
        """Prefill, then tokens until `max_tokens` were yielded."""
        begun = time.perf_counter_ns()
        self._prefill()
        self._prefill_ns = time.perf_counter_ns() - begun
        total = len(self._prompt)
        while self._left > 0:
            with mx.stream(generation_stream):
                verified = self._round()
            if not self._emitted:
                self._progress(total, total)
            last = len(verified.tokens) - 1
            for at, token in enumerate(verified.tokens):
                self._context.append(token)
                self._emitted += 1
                self._left -= 1
                self._mark(token)
                yield Emitted(token, verified.logprobs[at], at < last)
                if not self._left:
                    return

    def close(self) -> GenerationRecord:
        """Cut the cache back to what was handed out, let the drafters go, sum up. Harmless the second time."""
        if self._open:
            self._open = False
            self._ahead = None
            whole = self._cached + len(self._prompt) + max(self._emitted - 1, -1)
            if self._pipelined:  # a pass that was broken off may have reached the first layers only
                trim_to(self._cache, min([whole, *(layer.offset for layer in self._cache)]))
            if len(self._context) - self._emitted == self._cached + len(self._prompt):
                remember_tokens(self._cache, self._context[: length_of(self._cache)])
            self._commit()
            for drafter in self._drafters:
                self._guarded(partial(drafter.end, self._context, self._prompt_end))
        if self._fallback is None and self._offered and not any(r.drafted for r in self._rounds):
            self._fallback = "no gain: drafting promised no more tokens a second than plain decoding"
        return GenerationRecord(
            self._mode,
            self._cached + len(self._prompt),
            self._cached,
            self._emitted,
            self._prefill_ns,
            tuple(self._rounds),
            self._fallback,
            sum(drafter.nbytes for drafter in self._drafters),
            sum(getattr(layer, "nbytes", 0) for layer in self._cache),
        )

    def _prefill(self) -> None:
        """All of the prompt but its last token, as mlx-lm does it, so that the cache comes out alike."""
        prompt, total = self._prompt, len(self._prompt)
        done = 0
        self._progress(0, total)
        while total - done > 1:
            step = min(self._prefill_step, total - done - 1)
            with mx.stream(generation_stream):
                self._model(mx.array([prompt[done : done + step]], mx.uint32), cache=self._cache)
                mx.eval([layer.state for layer in self._cache])
            done += step
            self._progress(done, total)
            mx.clear_cache()
        for drafter in self._drafters:
            self._guarded(partial(drafter.begin, self._context))
            if self._drafters and self._controller.wants(drafter.kind):
                with mx.stream(generation_stream):
                    self._guarded(partial(drafter.prepare, self._context))
        self._told = len(self._context)
        self._check_memory()

    def _round(self) -> Verified:
        """Decide, draft, verify; or one plain step."""
        begun = time.perf_counter_ns()
        self._commit()
        self._within = self._inside
        decision, offers, guesses = self._decide()
        if decision.at is None or not decision.k:
            return self._plain(begun, ahead=True)
        offer = offers[decision.at]
        if self._ahead is not None:  # its token comes first; the decision stands until then
            self._postponed = offer.drafter, decision
            return self._plain(begun, ahead=False)
        draft = self._drafted(decision, offers, guesses)
        proposal = draft.proposal
        if not proposal.tokens:
            return self._plain(begun, ahead=False, draft=draft)
        drafted = time.perf_counter_ns()
        rows = 1 + len(proposal.tokens)
        if self._tree and self._verifier.deterministic_rows:
            others = [guess.first(decision.k) for guess in guesses if guess is not None]
            tree = grown(self._context[-1], [proposal, *others], rows=max(rows, _TREE_ROWS))
            rows = len(tree.tokens)
            verified = self._verifier.tree(tree)
        else:
            verified = self._verifier.linear(self._context[-1], proposal)
            trim_to(self._cache, self._length() + verified.accepted + 1)
        done = time.perf_counter_ns()
        self._plain_before = False
        record = RoundRecord(
            proposal.origin,
            draft.k,
            draft.proposed,
            max(len(proposal.tokens), verified.accepted),
            verified.accepted,
            len(verified.tokens),
            rows,
            draft.lag,
            drafted - begun,
            done - drafted,
            time.perf_counter_ns() - done,
            proposal.computed,
            proposal.origins,
        )
        self._rounds.append(record)
        stood = common_prefix(proposal.tokens, verified.tokens[: verified.accepted])  # of a tree: of its trunk
        self._controller.observe(proposal, stood, self._within, record)
        if len(self._rounds) % _MEMORY_CHECKED == 0:
            self._check_memory()
        return verified

    def _drafted(self, decision: Decision, offers: list[Offer], guesses: list[Proposal | None]) -> Drafted:
        """The draft that was decided on, cut to what is worth verifying."""
        assert decision.at is not None
        offer, guess, growth = offers[decision.at], guesses[decision.at], decision.growth
        if growth is not None:
            options = {"sampler": self._verifier.known, "alternatives": self._tree}
            compose = partial(composed, self._context, self._drafters, growth, decision.k, **options)
            proposal = self._guarded(compose) or NOTHING
            proposed = max(len(proposal.tokens), proposal.computed)
        else:
            if guess is None:
                guess = self._propose(next(d for d in self._drafters if d.kind == offer.drafter), decision.k)
            proposed = len(guess.tokens)
            proposal = guess.first(decision.k).of(offer.drafter, offer.free)
        lag = max(o.lag for o in offers) if proposal.computed else 0
        return Drafted(proposal, offer.drafter, decision.k, proposed, lag)

    def _plain(self, begun: int, *, ahead: bool, draft: Drafted | None = None) -> Verified:
        """One step. With `ahead`, after another, the next is begun before this is handed out, as mlx-lm does it.

        `draft` is what was drafted for this round in vain.
        """
        started = time.perf_counter_ns()
        step = self._ahead or self._verifier.step(mx.array(self._context[-1:], mx.uint32))
        self._ahead = None
        if ahead and self._pipelined and self._left > 1 and (self._plain_before or not self._drafters):
            self._ahead = self._verifier.step(step.token)
        token = step.result()
        done = time.perf_counter_ns()
        self._plain_before = True
        spent = started - begun  # deciding, and drafting where that was in vain
        if draft is None:
            record = RoundRecord("", 0, 0, 0, 0, 1, 1, 0, 0, done - started, spent)
        else:
            _, name, k, proposed, lag = draft
            record = RoundRecord(name, k, proposed, 0, 0, 1, 1, lag, spent, done - started, 0, draft.proposal.computed)
        self._rounds.append(record)
        if self._drafters:
            self._controller.observe(draft.proposal if draft else None, 0, self._within, record)
        if self._emitted % 256 == 0:
            mx.clear_cache()
        return Verified((token,), step.logprobs, 0)

    def _decide(self) -> tuple[Decision, list[Offer], list[Proposal | None]]:
        """Ask the free drafters for their guesses, and the controller what to do with them."""
        offers: list[Offer] = []
        guesses: list[Proposal | None] = []
        most = min(self._most, self._left - 1, self._longest - self._length() - 2)
        if most < 1 or not self._drafters:
            return PLAIN, offers, guesses
        for drafter in self._drafters:
            if drafter.free:
                guess = self._propose(drafter, min(most, LONGEST_COPY))
                if guess.tokens:
                    offers.append(Offer(drafter.kind, True, len(guess.tokens), guess.behind(True), 0, self._inside))
                    guesses.append(guess)
            else:
                room = min(most, drafter.room(self._context))
                if room > 0:
                    offers.append(Offer(drafter.kind, False, room, (), drafter.lag(self._context), self._inside))
                    guesses.append(None)
        if not self._drafters:  # one of them raised
            return PLAIN, [], []
        self._offered = self._offered or bool(offers)
        if self._postponed is not None:
            (name, decision), self._postponed = self._postponed, None
            for at, offer in enumerate(offers):
                if offer.drafter == name:
                    return Decision(at, min(decision.k, most), decision.growth), offers, guesses
        return self._controller.decide(offers, self._min_acceptance), offers, guesses

    def _length(self) -> int:
        """Tokens the cache holds by contract now: prompt and emitted but the last."""
        return self._cached + len(self._prompt) + self._emitted - 1

    def _commit(self) -> None:
        """Tell the drafters what was emitted since they were told last."""
        if self._told < len(self._context):
            news = self._context[self._told :]
            self._told = len(self._context)
            for drafter in self._drafters:
                self._guarded(partial(drafter.commit, news))

    def _mark(self, token: int) -> None:
        """Keep track of whether the text is inside a tool call."""
        marks = self._marks.closing if self._inside else self._marks.opening
        if marks and token == marks[-1] and tuple(self._context[-len(marks) :]) == marks:
            self._inside = not self._inside

    def _guarded(self, call: Callable[[], T]) -> T | None:
        """Call a drafter. Whatever it raises ends drafting in this generation, and nothing else."""
        try:
            return call()
        except Exception as error:
            self._stop_drafting(f"drafter error: {type(error).__name__}: {error}")
            return None

    def _propose(self, drafter: Drafter, k: int) -> Proposal:
        known = self._verifier.known
        return (
            self._guarded(lambda: drafter.propose(self._context, k, sampler=known, alternatives=self._tree)) or NOTHING
        )

    def _check_memory(self) -> None:
        held = sum(drafter.nbytes for drafter in self._drafters)
        if self._memory_limit is not None and held > self._memory_limit:
            self._stop_drafting(
                f"memory limit: the drafters hold {held / 1e6:.1f} MB, and {self._memory_limit / 1e6:.1f} MB "
                "are allowed"
            )

    def _stop_drafting(self, reason: str) -> None:
        self._drafters = ()
        self._fallback = self._fallback or reason
