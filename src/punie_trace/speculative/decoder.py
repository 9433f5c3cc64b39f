"""`SpeculativeDecoder`: what `mlx_lm.stream_generate` does, faster, with the same tokens. The library's front door.

It picks what to draft with for each request, turns tokens into text, and keeps the records. The rounds themselves are
in `generation`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.generate import GenerationResponse, generation_stream, wired_limit
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.tokenizer_utils import TokenizerWrapper

from punie_trace.errors import ConfigurationError
from punie_trace.speculative.adaptive import AdaptiveController
from punie_trace.speculative.arrays import integers
from punie_trace.speculative.cache import counts_tokens, length_of, model_refusal, refusal, remembered_tokens
from punie_trace.speculative.controller import Controller, FixedController
from punie_trace.speculative.drafting import Drafter
from punie_trace.speculative.drafting_session import DraftingPlan
from punie_trace.speculative.generation import Generation
from punie_trace.speculative.monitor import Monitor
from punie_trace.speculative.registry import DrafterResources, needs_draft_model, registration, without_draft_model
from punie_trace.speculative.request import OFF, Speculation
from punie_trace.speculative.rounds import GenerationRecord
from punie_trace.speculative.target_cache import TargetCache
from punie_trace.speculative.text import Marks, Progress, PromptText
from punie_trace.speculative.tree import tree_refusal
from punie_trace.speculative.verifier import LogitsProcessor, Sampler, Verifier

_FIXED_K = 3  # as mlx_lm.server has it


class SpeculativeDecoder:
    """Generates with one target model, and drafters that belong to it.

    `drafter` None leaves the registered ones that need no draft model, for requests that name one.
    `draft_memory_limit` in bytes: drafting stops in a generation in which the drafters hold more. One generation drafts
    at a time; others that run meanwhile decode plainly.

    After each generation `last_generation` holds its record, and `monitor` the sums.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: object,
        drafter: Drafter | None = None,
        *,
        controller: Controller | None = None,
        draft_memory_limit: int | None = None,
        monitor: Monitor | None = None,
        seed: int | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer if isinstance(tokenizer, TokenizerWrapper) else TokenizerWrapper(tokenizer)
        self.drafter = drafter
        self.controller = controller or AdaptiveController()
        self._tree_controller = AdaptiveController()  # passes over trees have costs of their own
        self.draft_memory_limit = draft_memory_limit
        self.monitor = monitor or Monitor()
        self.last_generation: GenerationRecord | None = None
        self._by_name: dict[str, Drafter] = {member.name: member for member in drafter.members()} if drafter else {}
        self._lease = threading.Lock()
        self._to_forget: list[str | None] = []
        self._tree_refusal: tuple[str | None] | None = None
        self._random = np.random.default_rng(seed)
        tokens = self.tokenizer
        self._marks = Marks(
            tuple(tokens.tool_call_start_tokens or ()) if tokens.has_tool_calling else (),
            tuple(tokens.tool_call_end_tokens or ()) if tokens.has_tool_calling else (),
        )

    def stream_generate(
        self,
        prompt: Sequence[int] | mx.array,
        *,
        max_tokens: int = 256,
        sampler: Sampler | None = None,
        logits_processors: Sequence[LogitsProcessor] | None = None,
        prompt_cache: list | None = None,
        cached_tokens: Sequence[int] | None = None,
        prompt_progress_callback: Progress | None = None,
        prefill_step_size: int = 2048,
        speculation: Speculation | None = None,
    ) -> Iterator[GenerationResponse]:
        """Like `mlx_lm.stream_generate`: one response a token, the last with its `finish_reason`.

        `prompt` is what is to be read; `prompt_cache` the target's cache alone, which may hold an earlier part of the
        text. `cached_tokens` says which tokens those are; without it the cache is asked what this decoder noted on it.
        When the iterator ends or is closed, the cache holds exactly the whole prompt and all emitted tokens but the
        last. `max_tokens` -1 means no limit. `speculation` None means adaptive where there is a drafter, else off.
        Logits processors are shown the whole text, the part in the cache too where it is known, so that an answer is
        the one that a fresh prefill gives (mlx-lm shows them `prompt` alone).

        Raises `ConfigurationError` at once for an empty prompt, for `max_tokens` 0 and for a drafter that is not there,
        and `ModelError` while iterating where the target's logits are not numbers.
        """
        tokens = integers(prompt) if isinstance(prompt, mx.array) else [int(token) for token in prompt]
        if not tokens:
            raise ConfigurationError("the prompt holds no tokens; there must be at least one to continue from")
        if max_tokens == 0 or max_tokens < -1:
            raise ConfigurationError(f"max_tokens is {max_tokens}; give at least 1, or -1 for no limit")
        if prefill_step_size < 1:
            raise ConfigurationError(f"prefill_step_size is {prefill_step_size}; give at least 1")
        asked = speculation or (Speculation() if self.drafter else OFF)
        drafters = self._asked_for(asked)
        cache = make_prompt_cache(self.model) if prompt_cache is None else prompt_cache
        held = length_of(cache)
        if cached_tokens is not None and not counts_tokens(cache):
            held = len(cached_tokens)
        if cached_tokens is not None and len(cached_tokens) != held:
            raise ConfigurationError(f"cached_tokens names {len(cached_tokens)} tokens, and the cache holds {held}")
        known = list(cached_tokens) if cached_tokens is not None else remembered_tokens(cache) or []
        target = TargetCache(self.model, cache, held)
        verifier = Verifier(
            target,
            sampler=sampler,
            processors=logits_processors or (),
            history=[*known, *tokens[:-1]],
            random=self._random,
        )
        text = PromptText(tokens=tokens, known=known, step=prefill_step_size, progress=prompt_progress_callback)
        return self._generated(target, verifier, text, asked, drafters, max_tokens)

    def forget(self, salt: str | None = None) -> bool:
        """Have all drafters forget what requests of this `salt` taught them, or with None all requests.

        Costs and acceptance as measured stay: they know no text. While a generation drafts this waits for its end:
        then False is returned, and True when it is done. Prompt caches are the caller's.
        """
        self._to_forget.append(salt)
        if not self._lease.acquire(blocking=False):
            return False
        try:
            self._forget()
        finally:
            self._lease.release()
        return True

    def _forget(self) -> None:
        while self._to_forget:
            salt = self._to_forget.pop(0)
            for drafter in self._by_name.values():
                drafter.forget(salt)

    def _generated(
        self,
        target: TargetCache,
        verifier: Verifier,
        text: PromptText,
        asked: Speculation,
        drafters: tuple[Drafter, ...],
        max_tokens: int,
    ) -> Iterator[GenerationResponse]:
        fallback = None
        if drafters and (reason := model_refusal(self.model)):
            fallback = f"model: {reason}"
        elif drafters and (reason := refusal(target.entries)):
            fallback = f"cache: {reason}"
        leased = bool(drafters) and not fallback and self._lease.acquire(blocking=False)
        if drafters and not fallback and not leased:
            fallback = "busy: another generation is drafting"
        if leased:
            self._forget()
        try:
            tree = asked.tree and leased and target.growing and self._tree_reason() is None
            if asked.tree and leased and not tree:
                reason = self._tree_reason() or "its cache cannot take the rows of a tree"
                fallback = f"tree: {reason}; drafts are verified one after another"
            plan = DraftingPlan(
                asked=asked,
                controller=self._controller_for(asked, tree),
                drafters=drafters if leased else (),
                tree=tree,
                memory_limit=self.draft_memory_limit,
                fallback=fallback,
            )
            generation = Generation(target, verifier, prompt=text, plan=plan, max_tokens=max_tokens, marks=self._marks)
            try:
                with wired_limit(self.model, [generation_stream]):  # ty: ignore[invalid-argument-type]
                    yield from self._text(generation, len(text.tokens), max_tokens)
            finally:
                self.last_generation = generation.close()
                self.monitor.add(self.last_generation)
        finally:
            if leased:
                self._forget()
                self._lease.release()

    def _text(self, generation: Generation, prompt_tokens: int, max_tokens: int) -> Iterator[GenerationResponse]:
        """Tokens to responses, as mlx-lm has them: the end-of-text token closes, and adds no text."""
        detokenizer = self.tokenizer.detokenizer
        ends = self.tokenizer.eos_token_ids
        begun = time.perf_counter()
        prompt_tps = 0.0
        for count, (token, logprobs, from_draft) in enumerate(generation.tokens(), start=1):
            if count == 1:
                now = time.perf_counter()
                prompt_tps = prompt_tokens / max(now - begun, 1e-9)
                begun = now
            ended = token in ends
            last = ended or count == max_tokens
            if not ended:
                detokenizer.add_token(token)
            if last:
                detokenizer.finalize()
            yield GenerationResponse(
                text=detokenizer.last_segment,
                token=token,
                logprobs=logprobs,
                from_draft=from_draft,
                prompt_tokens=prompt_tokens,
                prompt_tps=prompt_tps,
                generation_tokens=count,
                generation_tps=count / max(time.perf_counter() - begun, 1e-9),
                peak_memory=mx.get_peak_memory() / 1e9,
                finish_reason=("stop" if ended else "length") if last else None,
            )
            if last:
                return

    def _asked_for(self, asked: Speculation) -> tuple[Drafter, ...]:
        """The drafters of a request, free ones first; those that need no model are made when first asked for."""
        if asked.mode == "off" or (asked.mode == "fixed" and asked.k == 0):
            return ()
        if asked.drafter is None:
            if self.drafter is None:
                raise ConfigurationError(
                    "this decoder has no drafter: load a draft model, or ask for the drafter " + without_draft_model()
                )
            return self.drafter.members()
        if asked.drafter == "hybrid":
            model = self._by_name.get("model")
            return (self._named("suffix"), model) if model else (self._named("suffix"),)
        return (self._named(asked.drafter),)

    def _controller_for(self, asked: Speculation, tree: bool) -> Controller:
        if asked.mode == "fixed":
            return FixedController(_FIXED_K if asked.k is None else asked.k)
        return self._tree_controller if tree else self.controller

    def _named(self, name: str) -> Drafter:
        """The drafter of that name; one that needs no draft model is made when it is first asked for."""
        if name not in self._by_name:
            if needs_draft_model(name):
                raise ConfigurationError(
                    "this decoder has no draft model: load one, or ask for the drafter " + without_draft_model()
                )
            self._by_name[name] = registration(name).make(DrafterResources())
        return self._by_name[name]

    def _tree_reason(self) -> str | None:
        """Why the target cannot verify trees; tried once."""
        if self._tree_refusal is None:
            with mx.stream(generation_stream):
                self._tree_refusal = (tree_refusal(self.model, make_prompt_cache(self.model)),)
        return self._tree_refusal[0]
