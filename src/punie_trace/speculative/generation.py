"""One generation: prefill, then rounds of draft and verify, or plain steps. Yields tokens; ends with a true cache.

It knows nothing of words and of the end of an answer: whoever iterates stops when enough came, at any token, and then
calls `close`. Until then the cache may hold more than was handed out; `close` cuts it back to the prompt and all
emitted tokens but the last, whatever happened in between.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import mlx.core as mx
from mlx_lm.generate import generation_stream

from punie_trace.speculative.cache import remember_tokens
from punie_trace.speculative.draft_caches import common_prefix
from punie_trace.speculative.drafting_session import Drafted, DraftingPlan, DraftingSession
from punie_trace.speculative.rounds import GenerationRecord, RoundRecord
from punie_trace.speculative.target_cache import LONGEST_PENDING, TargetCache
from punie_trace.speculative.text import GeneratedText, Marks, PromptText
from punie_trace.speculative.tree import grown
from punie_trace.speculative.verifier import Ahead, Verified, Verifier

_TREE_ROWS = 12
_CLEARED = 256  # tokens between plain steps after which mlx lets go of unused buffers, as mlx-lm does it


class Emitted(NamedTuple):
    """One token, its log-probabilities (V,), and whether it was drafted."""

    token: int
    logprobs: mx.array
    from_draft: bool


class Generation:
    """`tokens()` does the work; `close()` must be called once it is over, and gives the record.

    `verifier` is `target`'s. At most `max_tokens` are emitted, -1 for no limit.
    """

    def __init__(
        self,
        target: TargetCache,
        verifier: Verifier,
        *,
        prompt: PromptText,
        plan: DraftingPlan,
        max_tokens: int = -1,
        marks: Marks = Marks(),  # noqa: B008  a value
    ) -> None:
        self._target = target
        self._verifier = verifier
        self._prompt = prompt
        self._text = GeneratedText(prompt, marks)
        self._session = DraftingSession(plan, self._text, verifier.known)
        self._max_tokens = max_tokens if max_tokens >= 0 else 1 << 62
        self._cached = target.held
        arguments = getattr(target.model, "args", None)
        self._longest = int(getattr(arguments, "max_position_embeddings", 0) or 1 << 30)
        self._ahead: Ahead | None = None
        self._plain_before = False
        self._prefill_ns = 0
        self._rounds: list[RoundRecord] = []
        self._open = True

    def tokens(self) -> Iterator[Emitted]:
        """Prefill, then tokens until `max_tokens` were yielded."""
        begun = time.perf_counter_ns()
        self._prefill()
        self._prefill_ns = time.perf_counter_ns() - begun
        while self._left > 0:
            with mx.stream(generation_stream):
                verified = self._round()
            if not self._text.emitted:
                self._prompt.report(len(self._prompt.tokens))
            last = len(verified.tokens) - 1
            for at, token in enumerate(verified.tokens):
                self._text.append(token)
                yield Emitted(token, verified.logprobs[at], at < last)
                if not self._left:
                    return
            self._session.prepare()

    def close(self) -> GenerationRecord:
        """Cut the cache back to what was handed out, let the drafters go, sum up. Harmless the second time."""
        session, emitted = self._session, self._text.emitted
        if self._open:
            self._open = False
            self._ahead = None
            text = self._text.tokens[: self._text.prompt_end + emitted - 1]
            held = 0
            try:
                with mx.stream(generation_stream):
                    held = self._target.close(self._length, text)
            finally:
                self._note(held)
            session.end()
        if session.fallback is None and session.offered and not any(r.drafted for r in self._rounds):
            session.fallback = "no gain: drafting promised no more tokens a second than plain decoding"
        return GenerationRecord(
            mode=session.plan.asked.mode,
            prompt_tokens=self._cached + len(self._prompt.tokens),
            cached_tokens=self._cached,
            emitted=emitted,
            prefill_ns=self._prefill_ns,
            rounds=tuple(self._rounds),
            fallback=session.fallback,
            drafter_bytes=session.nbytes,
            snapshot_bytes=session.snapshot_bytes,
            cache_bytes=sum(getattr(layer, "nbytes", 0) for layer in self._target.entries),
        )

    def _note(self, held: int) -> None:
        """Note on the cache which tokens it holds, where all of them are known."""
        if self._text.prompt_end == self._cached + len(self._prompt.tokens):
            remember_tokens(self._target.entries, self._text.tokens[:held])

    @property
    def _left(self) -> int:
        """Tokens that may still be emitted."""
        return self._max_tokens - self._text.emitted

    @property
    def _length(self) -> int:
        """Tokens the cache holds by contract now: prompt and emitted but the last."""
        return self._cached + len(self._prompt.tokens) + self._text.emitted - 1

    def _prefill(self) -> None:
        """All of the prompt but its last token, as mlx-lm does it, so that the cache comes out alike."""
        prompt = self._prompt.tokens
        processed = 0
        self._prompt.report(0)
        while len(prompt) - processed > 1:
            step = min(self._prompt.step, len(prompt) - processed - 1)
            with mx.stream(generation_stream):
                self._target.feed(mx.array(list(prompt[processed : processed + step]), mx.uint32))
                mx.eval([layer.state for layer in self._target.entries])
            self._target.settle()
            processed += step
            self._prompt.report(processed)
            mx.clear_cache()
        self._session.begin(lambda: self._target.snapshot_bytes)

    def _round(self) -> Verified:
        """Decide, draft, verify; or one plain step."""
        begun = time.perf_counter_ns()
        session = self._session
        session.commit()
        pending = len(self._target.pending)
        if pending > LONGEST_PENDING or (session.first_token_waits and not self._text.emitted):
            return self._plain(begun, ahead=False)
        choice = session.choose(min(self._left - 1, self._longest - self._length - 2), pending)
        if not choice.drafts:
            return self._plain(begun, ahead=True)
        if self._ahead is not None:  # its token comes first
            session.postpone(choice)
            return self._plain(begun, ahead=False)
        drafted = session.draft(choice)
        if not drafted.draft.tokens:
            return self._plain(begun, ahead=False, vain=drafted)
        return self._verified(begun, drafted)

    def _verified(self, begun: int, drafted: Drafted) -> Verified:
        """Have the target judge a draft."""
        draft, last = drafted.draft, self._text.tokens[-1]
        started = time.perf_counter_ns()
        rows = 1 + len(draft.tokens) + len(self._target.pending)
        if self._session.plan.tree and self._verifier.deterministic_rows:
            tree = grown(last, [draft, *drafted.others], rows=max(rows, _TREE_ROWS))
            rows = len(tree.tokens)
            verified = self._verifier.tree(tree)
            accepted = common_prefix(draft.ids, verified.tokens[: verified.accepted])  # of its trunk
        else:
            verified = self._verifier.linear(last, draft)
            accepted = verified.accepted
            self._target.keep([last, *draft.ids], accepted + 1)
        done = time.perf_counter_ns()
        self._plain_before = False
        record = RoundRecord(
            drafter=draft.origin,
            k=drafted.k,
            proposed=drafted.proposed,
            drafted=max(len(draft.tokens), verified.accepted),
            accepted=verified.accepted,
            emitted=len(verified.tokens),
            rows=rows,
            lag=drafted.lag,
            draft_ns=started - begun,
            verify_ns=done - started,
            rest_ns=time.perf_counter_ns() - done,
            computed=draft.computed,
            origins=draft.origins,
        )
        self._rounds.append(record)
        self._session.observe(draft, accepted, record)
        return verified

    def _plain(self, begun: int, *, ahead: bool, vain: Drafted | None = None) -> Verified:
        """One step. With `ahead`, after another, the next is begun before this is handed out, as mlx-lm does it.

        `vain` is what was drafted for this round and is not worth verifying.
        """
        started = time.perf_counter_ns()
        rows = 1 + len(self._target.pending)
        step = self._ahead or self._verifier.step(mx.array(self._text.tokens[-1:], mx.uint32))
        self._ahead = None
        if ahead and self._target.steps_back and self._left > 1 and (self._plain_before or not self._session.drafters):
            self._ahead = self._verifier.step(step.token)
        token = step.result()
        done = time.perf_counter_ns()
        self._plain_before = True
        spent = started - begun  # deciding, and drafting where that was in vain
        if vain is None:
            record = RoundRecord(rows=rows, verify_ns=done - started, rest_ns=spent)
        else:
            record = RoundRecord(
                drafter=vain.drafter,
                k=vain.k,
                proposed=vain.proposed,
                rows=rows,
                lag=vain.lag,
                draft_ns=spent,
                verify_ns=done - started,
                computed=vain.draft.computed,
            )
        self._rounds.append(record)
        self._session.observe(vain.draft if vain else None, 0, record)
        if self._text.emitted % _CLEARED == 0:
            mx.clear_cache()
        return Verified((token,), step.logprobs, 0)
