"""mlx_lm's response generator, with every request stamped on its way and decoded by our decoder where it drafts.

One thread loads the models and generates, as in mlx_lm. Requests that do not draft go into mlx_lm's batch; those that
draft are served one at a time, unless several wait and may be batched, where batching wins. What mlx_lm hands back
through each request's queue passes a `StampedQueue`, which notes the time, and ends a generation that nobody reads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import mlx.core as mx

from punie_trace.serving import mlx_lm_adapter as mlx_lm
from punie_trace.serving.admission import Admission
from punie_trace.serving.call import Call, now_ns
from punie_trace.serving.decoding import DecodeRequest, Sampling
from punie_trace.serving.mlx_lm_adapter import (
    CalledArguments,
    CalledRequest,
    CompletionRequest,
    GenerationContext,
    Response,
    Tokenized,
)
from punie_trace.serving.models import LoadedModel, ServedModels
from punie_trace.serving.prompt_caches import ExactPromptCaches
from punie_trace.serving.prompts import (
    RENDER_BESIDE_ALL_S,
    RENDER_S,
    SHORT,
    PromptTurns,
    characters_of,
    check_length,
    check_tokens,
    render_limit,
)
from punie_trace.serving.refusal import ClientGoneError, GenerationError, RefusedError
from punie_trace.serving.stamped_queue import ENDING, StampedQueue, given_up
from punie_trace.speculative.sampling import TemperatureSampler

GENERATION_THREAD: Final = "punie-generation"
_POLL_S: Final = 0.5
BATCHED = "load: several requests at once: decoded in one batch, which wins over drafts"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Whether stores and caches are empty, and how many requests were being decoded then."""

    done: bool
    open: int


class TracedGenerator(mlx_lm.GenerationThread):
    """mlx_lm's, for requests that carry a `Call`. Its thread starts at once and loads the default model."""

    model_provider: ServedModels
    prompt_cache: ExactPromptCaches

    def __init__(
        self,
        models: ServedModels,
        prompt_cache: ExactPromptCaches,
        admission: Admission,
        on_death: Callable[[str], None] | None = None,
    ) -> None:
        self.admission = admission
        self.ready_error: str | None = None
        self._on_death = on_death
        self._open: set[StampedQueue] = set()
        self._from_before: set[StampedQueue] = set()
        self._turns = PromptTurns()
        super().__init__(models, prompt_cache, GENERATION_THREAD)  # starts the thread: all it needs must be there

    @property
    def is_healthy(self) -> bool:
        """Whether a request would be answered now: the thread lives and the model is loaded."""
        return self.generation_available() and self.model_provider.loaded.is_set()

    def generate(
        self,
        request: CompletionRequest,
        generation_args: Any,
        progress_callback: Callable[[int, int], None] | None = None,
    ) -> Any:
        """As mlx_lm's, with the prompt tokenized in the caller's thread.

        What it raises stands in the call as well, with the status that it deserves.
        """
        if not isinstance(request, CalledRequest):
            raise TypeError("only the handler of this server may ask")
        call = request.call
        arguments = CalledArguments(**vars(generation_args), call=call)
        try:
            arguments.model = self.model_provider.resolve(arguments.model)
            self._tokenize_here(request, arguments)
            call.queued_ns = now_ns()
            return super().generate(request, arguments, progress_callback)
        except RefusedError as error:
            call.fail("refused", error.status, str(error))
            raise
        except ClientGoneError as error:
            call.fail("client_gone", 499, str(error))
            raise
        except Exception as error:
            call.fail("failed", 500, f"{type(error).__name__}: {error}")
            raise

    def _tokenize_here(self, request: CalledRequest, arguments: CalledArguments) -> None:
        """Tokenize in this thread, where the model is loaded that the request is for; else it must be short."""
        characters = characters_of(request)
        model = self._loaded_for(request, arguments)
        if model is None:
            if characters > SHORT:
                raise RefusedError(503, "the model is not loaded: ask it something short first, which loads it")
            return
        check_length(characters, model)
        with self._turns.turn(characters):
            arguments.tokenized = self._tokens(model.tokenizer, request, arguments)
        check_tokens(len(arguments.tokenized.prompt), model, arguments)

    def _loaded_for(self, request: CalledRequest, arguments: CalledArguments) -> LoadedModel | None:
        """The model that is asked for, once the server has loaded its own; None where it is another.

        None for images as well: what a vision model makes of them belongs to the thread that generates.
        """
        models = self.model_provider
        while models.cli_args.model is not None and not models.loaded.wait(_POLL_S):
            if self.stopping or not self.generation_available():
                raise GenerationError(self.ready_error or ENDING)
            if arguments.call.abandoned():
                raise given_up(arguments.call)
        current = models.current
        if current is not None and current.sees and mlx_lm.has_images(request):
            return None
        return current if current is not None and current.key == models.key_of(arguments.model) else None

    def forget(self, timeout_s: float) -> Forgotten:
        """Have the thread empty all stores of drafts and all prompt caches between two steps.

        A request that is decoded alone ends first; those of a batch go on, and what they leave is not kept. Waits at
        most `timeout_s`; what was not done by then is done as soon as the request that is being decoded ends.
        """
        done = threading.Event()

        def empty() -> None:
            self.prompt_cache.forget()
            self.model_provider.forget()
            self._from_before = {stamps for stamps in self._open if stamps.call.taken_ns is not None}
            self.prompt_cache.keeps = not self._from_before
            done.set()

        self.run_between_steps(empty)
        return Forgotten(done.wait(timeout_s), len(self._from_before))

    def step_begins(self) -> None:
        """Once no request is open that began before stores and caches were emptied, caches are kept again."""
        if self._from_before:
            self._from_before &= self._open
            self.prompt_cache.keeps = not self._from_before

    def stop_all(self) -> None:
        """End every open generation at its next token, and the thread after it. Does not wait."""
        self.stop()
        for stamps in list(self._open):
            stamps.call.stop()

    def ended(self, by_error: bool) -> None:
        """Whoever still waits is answered; after an error the server is told, which ends then.

        The streams of this thread are let go of: without it mlx may abort the process at its end (SIGABRT).
        """
        mx.clear_streams()
        for stamps in list(self._open):
            stamps.put(GenerationError(self.ready_error if by_error and self.ready_error else ENDING))
        if by_error and self._on_death is not None:
            self._on_death(self.ready_error or "the thread that generates ended")

    def go_on_after(self, error: Exception) -> bool:
        """A failure in the batch costs the requests in it, and no later one."""
        self.ready_error = f"{type(error).__name__}: {error}"
        if self.stopping or not self.model_provider.loaded.is_set():
            return False
        _log.error("The batch failed; its requests are answered with an error", exc_info=error)
        for stamps in list(self._open):
            stamps.put(GenerationError(self.ready_error))
        return True

    def take_up(self, answers: Any, request: Any, args: Any) -> tuple[Any, Any, Any] | None:
        """Put the stamps before the request's queue; drop a request whose client is gone."""
        stamps = StampedQueue(answers, args.call, self._open.discard)
        self._open.add(stamps)
        if args.call.abandoned():
            stamps.put(given_up(args.call))
            return None
        return stamps, request, args

    def may_batch(self, call: Call) -> bool:
        """Those that draft go alone; adaptive ones join the batch while several are open."""
        if call.cache_salt is not None:
            return False  # the batch's prompt caches are everybody's
        speculation = call.speculation
        call.batched = speculation.mode == "off" or (speculation.mode == "adaptive" and self.admission.open > 1)
        if call.batched and speculation.mode != "off":
            call.fallback = BATCHED
        return call.batched

    def tokens_of(self, tokenizer: Any, request: CalledRequest, args: CalledArguments) -> Tokenized:
        """The tokens that came with the request, or those of a short prompt."""
        args.call.taken_ns = now_ns()
        if args.tokenized is None:
            args.tokenized = self._tokens(tokenizer, request, args)
            model = self.model_provider.current
            assert model is not None
            check_tokens(len(args.tokenized.prompt), model, args)
        return args.tokenized

    def _tokens(self, tokenizer: Any, request: CalledRequest, args: CalledArguments) -> Tokenized:
        """Raises `RefusedError` for a conversation that the template does not take."""
        args.call.tokenizing_ns = now_ns()
        limit_s = RENDER_BESIDE_ALL_S if threading.current_thread().name == GENERATION_THREAD else RENDER_S
        try:
            with render_limit(request, limit_s, arguments=bool(args.chat_template_kwargs)):
                return self.tokenize(tokenizer, request, args)
        except RefusedError:
            raise
        except Exception as error:  # templates raise what they like
            raise RefusedError(400, f"the model's chat template does not take this conversation: {error}") from error
        finally:
            args.call.tokenized_ns = now_ns()

    def serve_alone(self, answers: StampedQueue, request: CalledRequest, args: CalledArguments) -> None:
        """Decode one request by our decoder."""
        try:
            last = self._decode(answers, request, args)
        except Exception as error:
            if not isinstance(error, RefusedError | ClientGoneError):
                _log.exception("A generation failed")
            answers.put(error)
            return
        if last is not None:
            answers.put(last)
        answers.put(None)

    def _decode(self, answers: StampedQueue, request: CalledRequest, args: CalledArguments) -> Response | None:
        """One generation; its last response is returned, not put, so that all is known when the client has it."""
        models = self.model_provider
        call = answers.call
        model, tokenizer = models.target
        tokenized = self.tokens_of(tokenizer, request, args)
        prompt = tokenized.prompt
        stops, text_sm = self.stops(models.model_key, tokenizer, args.stop_words)
        key = models.model_key if call.cache_salt is None else (models.model_key, call.cache_salt)
        cache, rest = self.prompt_cache.fetch_nearest_cache(key, prompt)
        known = len(prompt) - len(rest)
        if cache is None:
            cache = mlx_lm.make_prompt_cache(model)
        context = GenerationContext(
            has_tool_calling=tokenizer.has_tool_calling,
            has_thinking=tokenizer.has_thinking,
            tool_parser=tokenizer.tool_parser,
            text_sm=text_sm,
            initial_state=tokenized.initial_state,
            prompt=prompt,
            prompt_cache_count=known,
        )
        answers.put(context)
        if args.seed is not None:
            mx.random.seed(args.seed)

        def progress(done: int, whole: int) -> None:
            answers.put((done, whole))
            if call.stopped:
                raise given_up(call)

        decoder = models.decoder(call.speculation)
        tokens = decoder.decode(
            DecodeRequest(
                prompt=rest,
                context=prompt,
                cache=cache,
                max_tokens=args.max_tokens,
                sampling=Sampling(_sampler(args, tokenizer), mlx_lm.logits_processors(args)),
                progress=progress,
                prefill_step=self.cli_args.prefill_step_size,
                speculation=call.speculation,
            )
        )
        read = list(prompt)
        matcher = stops.matcher()
        last: Response | None = None
        try:
            for one in tokens:
                read.append(one.token)
                finish = "stop" if matcher.advance(one.token) else one.finish_reason
                logprob = one.logprobs[one.token].item()
                assert not isinstance(logprob, complex)
                response = Response(
                    one.text,
                    one.token,
                    logprob,
                    finish,
                    mlx_lm.top_logprobs(one.logprobs, args.top_logprobs, tokenizer),
                )
                if finish is not None:
                    last = response
                    break
                answers.put(response)
                if mlx_lm.wants_to_stop(context):
                    break
        finally:
            close = getattr(tokens, "close", None)
            if close is not None:
                close()  # now, so that the cache is whole and the record is there
            call.record, call.fallback = decoder.record(), decoder.fallback
        self.prompt_cache.insert_cache(key, read, cache)
        return last


def _sampler(args: CalledArguments, tokenizer: Any) -> Any:
    """One whose distribution is known where there is one: drafts are then verified by rejection, which accepts more.

    With a seed it stays mlx_lm's, which draws the same tokens whatever was drafted.
    """
    sampling = args.sampling
    if sampling.temperature > 0 and sampling.xtc_probability == 0 and args.seed is None:
        return TemperatureSampler(sampling.temperature, sampling.top_p, sampling.min_p, sampling.top_k)
    return mlx_lm.sampler(args, tokenizer)
