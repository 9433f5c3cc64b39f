"""All that this package uses of `mlx_lm.server` and of mlx_lm's private names, under names of our own.

`mlx_lm.server` has no documented interface. Its classes are made to be started as a program, so what is needed of them
is reached by overriding methods that begin with an underscore. Each of those is named in this module and in no other;
`tests/serving/test_mlx_lm_adapter.py` holds the installed version against them. The classes here decide nothing: each
private step is handed to a public method, which `generator`, `handler`, `models` and `prompt_caches` override.
"""

from __future__ import annotations

import argparse
import sys
import uuid
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import mlx_lm.server as stock
from mlx_lm.models.cache import LRUPromptCache, can_trim_prompt_cache, make_prompt_cache, trim_prompt_cache
from mlx_lm.server import CompletionRequest, GenerationArguments, GenerationContext, ModelDescription, Response

from punie_trace.records import JsonValue
from punie_trace.serving.call import Call
from punie_trace.serving.refusal import RefusedError

__all__ = [
    "DEFAULT_MODEL",
    "CalledArguments",
    "CalledRequest",
    "CompletionHandler",
    "CompletionRequest",
    "GenerationContext",
    "GenerationThread",
    "LRUPromptCache",
    "ModelDescription",
    "ModelHolder",
    "ModelKey",
    "Response",
    "Tokenized",
    "can_trim_prompt_cache",
    "fingerprint",
    "has_images",
    "logits_processors",
    "make_prompt_cache",
    "read_flags",
    "sampler",
    "top_logprobs",
    "trim_prompt_cache",
    "wants_to_stop",
]

ModelKey: TypeAlias = tuple[str | None, str | None, str | None]
DEFAULT_MODEL: Final = "default_model"
"""The name under which mlx_lm serves the model of its command line."""


@dataclass
class CalledRequest(CompletionRequest):
    """mlx_lm's request, with the call that it belongs to."""

    call: Call


@dataclass
class CalledArguments(GenerationArguments):
    """mlx_lm's arguments of a generation, with the call that they belong to, and its prompt where it is tokenized."""

    call: Call
    tokenized: Tokenized | None = None


class Tokenized(NamedTuple):
    """A prompt in tokens, as mlx_lm's loop takes it. `segments` are its parts at whose ends a cache is kept."""

    prompt: list[int]
    segments: list[list[int]]
    segment_types: list[str]
    initial_state: str
    vision: Any


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A field of a request's body; where it is absent, the flag counts, or the default."""

    key: str
    default: JsonValue = None
    flag: str | None = None

    def of(self, body: Mapping[str, JsonValue], flags: argparse.Namespace) -> Any:
        """Its value in `body`."""
        return body.get(self.key, self.default if self.flag is None else getattr(flags, self.flag))


PARAMETERS: Final[dict[str, _Parameter]] = {
    "stream": _Parameter("stream", False),
    "stream_options": _Parameter("stream_options"),
    "requested_model": _Parameter("model", DEFAULT_MODEL),
    "requested_draft_model": _Parameter("draft_model", DEFAULT_MODEL),
    "num_draft_tokens": _Parameter("num_draft_tokens", flag="num_draft_tokens"),
    "adapter": _Parameter("adapters"),
    "max_tokens": _Parameter("max_tokens", flag="max_tokens"),
    "temperature": _Parameter("temperature", flag="temp"),
    "top_p": _Parameter("top_p", flag="top_p"),
    "top_k": _Parameter("top_k", flag="top_k"),
    "min_p": _Parameter("min_p", flag="min_p"),
    "repetition_penalty": _Parameter("repetition_penalty", 0.0),
    "repetition_context_size": _Parameter("repetition_context_size", 20),
    "presence_penalty": _Parameter("presence_penalty", 0.0),
    "presence_context_size": _Parameter("presence_context_size", 20),
    "frequency_penalty": _Parameter("frequency_penalty", 0.0),
    "frequency_context_size": _Parameter("frequency_context_size", 20),
    "xtc_probability": _Parameter("xtc_probability", 0.0),
    "xtc_threshold": _Parameter("xtc_threshold", 0.1),
    "logit_bias": _Parameter("logit_bias"),
    "logprobs": _Parameter("logprobs", False),
    "top_logprobs": _Parameter("top_logprobs", -1),
    "seed": _Parameter("seed"),
    "chat_template_kwargs": _Parameter("chat_template_kwargs"),
}
"""What mlx_lm's handler reads of a body: its own attribute, and where the value comes from."""


class CompletionHandler(stock.APIHandler):
    """mlx_lm's handler, given a body that is an object already; it reads no body itself."""

    def complete(self, body: dict[str, Any], *, chat: bool, call: Call) -> None:
        """Answer `body`. Raises `RefusedError` where mlx_lm's own checks refuse it, before anything is sent."""
        flags = self.response_generator.cli_args
        self.body = body
        for attribute, parameter in PARAMETERS.items():
            setattr(self, attribute, parameter.of(body, flags))
        self.max_tokens = body.get("max_completion_tokens", self.max_tokens)
        try:
            self.validate_model_parameters()
        except ValueError as error:
            raise RefusedError(400, str(error)) from None
        if chat:
            self.request_id = f"chatcmpl-{uuid.uuid4()}"
            self.object_type = "chat.completion.chunk" if self.stream else "chat.completion"
            asked = ("chat", "", body["messages"], body.get("tools") or None, body.get("role_mapping"))
        else:
            self.request_id = f"cmpl-{uuid.uuid4()}"
            self.object_type = "text_completion"
            asked = ("text", body["prompt"], [], None, None)
        self.handle_completion(CalledRequest(*asked, call), body.get("stop") or [])

    @abstractmethod
    def status_of(self, status: int) -> int:
        """The status to send where mlx_lm would send `status` (it sends 404 for whatever its generator raises)."""

    @abstractmethod
    def stream_begins(self) -> None:
        """Called before the head of a streamed answer is sent."""

    @abstractmethod
    def send_access_headers(self) -> None:
        """Send the headers that let a page of another origin read the answer, where it may."""

    @abstractmethod
    def finish_response(self, response: dict[str, Any]) -> None:
        """Add to the last part of an answer."""

    def generate_response(self, text: str, finish_reason: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """A part of the answer, or the whole of it."""
        response = super().generate_response(text, finish_reason, *args, **kwargs)
        if finish_reason is not None:
            self.finish_response(response)
        return response

    def _set_completion_headers(self, status_code: int = 200) -> None:
        super()._set_completion_headers(self.status_of(status_code))

    def _set_stream_headers(self, status_code: int = 200) -> None:
        self.stream_begins()
        super()._set_stream_headers(status_code)

    def _set_cors_headers(self) -> None:
        self.send_access_headers()


class GenerationThread(stock.ResponseGenerator):
    """mlx_lm's response generator: one thread that loads the models and generates. It starts when this is made."""

    def __init__(self, models: ModelHolder, prompt_caches: LRUPromptCache, name: str) -> None:
        super().__init__(models, prompt_caches)
        self._generation_thread.name = name

    @property
    def waiting(self) -> int:
        """Requests that the thread has not taken up yet."""
        return self.requests.qsize()

    @property
    def stopping(self) -> bool:
        """Whether the thread was told to end."""
        return self._stop

    def stop(self) -> None:
        """Tell the thread to end between two steps. Does not wait."""
        self._stop = True

    def wait(self, timeout_s: float) -> bool:
        """Wait until the thread has ended; False where it has not."""
        self._generation_thread.join(timeout_s)
        return not self._generation_thread.is_alive()

    @abstractmethod
    def ended(self, by_error: bool) -> None:
        """Called in the thread when it generates no more."""

    @abstractmethod
    def go_on_after(self, error: Exception) -> bool:
        """Called when a step of the batch raised: whether the loop shall begin again. The batch is lost in any case."""

    @abstractmethod
    def take_up(self, answers: Any, request: Any, args: Any) -> tuple[Any, Any, Any] | None:
        """Called when a request leaves the queue; gives what the loop shall have of it, None for nothing."""

    @abstractmethod
    def may_batch(self, call: Call) -> bool:
        """Whether a request that mlx_lm can decode in a batch shall be."""

    @abstractmethod
    def tokens_of(self, tokenizer: Any, request: CalledRequest, args: CalledArguments) -> Tokenized:
        """The prompt in tokens."""

    @abstractmethod
    def serve_alone(self, answers: Any, request: CalledRequest, args: CalledArguments) -> None:
        """Decode one request that is in no batch, and put what it yields; must not raise."""

    def tokenize(self, tokenizer: Any, request: CalledRequest, args: CalledArguments) -> Tokenized:
        """mlx_lm's own way from a request to tokens: chat template, tools, images."""
        return Tokenized(*super()._tokenize(tokenizer, request, args))

    def run_between_steps(self, action: Callable[[], None]) -> None:
        """Have the thread call `action` between two steps, when no request is being decoded but those of a batch."""
        self.requests.put((None, action, None))

    @abstractmethod
    def step_begins(self) -> None:
        """Called in the thread before it looks for a request; what the step before left has been stored."""

    def stops(self, model_key: Any, tokenizer: Any, stop_words: Sequence[str]) -> tuple[Any, Any]:
        """What finds stop sequences among tokens, and what splits text into answer, thinking and calls."""
        return self._make_state_machine(model_key, tokenizer, stop_words)

    def _run_generate(self) -> None:
        super()._run_generate()
        while not self.requests.empty():
            self._taken(*self.requests.get_nowait())
        self.ended(self._generation_failed)

    def _generate(self) -> None:
        while True:
            try:
                super()._generate()
                return
            except Exception as error:
                if not self.go_on_after(error):
                    raise

    def _next_request(self, timeout: float | None = None) -> Any:
        self.step_begins()
        taken = super()._next_request(timeout)
        return None if taken is None else self._taken(*taken)

    def _taken(self, answers: Any, request: Any, args: Any) -> Any:
        if answers is None:
            request()
            return None
        return self.take_up(answers, request, args)

    def _is_batchable(self, args: Any) -> bool:
        return super()._is_batchable(args) and self.may_batch(args.call)

    def _tokenize(self, tokenizer: Any, request: Any, args: Any) -> Any:
        return tuple(self.tokens_of(tokenizer, request, args))

    def _serve_single(self, request: Any, stream: Any) -> None:
        if has_images(request[1]):
            super()._serve_single(request, stream)
        else:
            self.serve_alone(*request)


class ModelHolder(stock.ModelProvider):
    """mlx_lm's provider of models, kept from loading a draft model: that is the subclass's business."""

    @abstractmethod
    def model_loaded(self, key: ModelKey) -> None:
        """Called when a target has been loaded, with the names of target, adapter and draft model."""

    def _load(self, model_path: str, adapter_path: str | None = None, draft_model_path: str | None = None) -> None:
        super()._load(model_path, adapter_path, None)
        self.model_key = (model_path, adapter_path, draft_model_path)
        self.model_loaded(self.model_key)


def read_flags(arguments: Sequence[str], program: str) -> tuple[str, int, argparse.Namespace]:
    """Host, port and all flags as mlx_lm's own parser reads them. Ends the process with its usage where it does not."""
    read: list[tuple[str, int, argparse.Namespace]] = []

    def instead(host: str, port: int, provider: stock.ModelProvider, **_: object) -> None:
        read.append((host, port, provider.cli_args))

    run, argv = stock.run, sys.argv
    stock.run, sys.argv = instead, [program, *arguments]  # ty: ignore[invalid-assignment]
    try:
        stock.main()
    finally:
        stock.run, sys.argv = run, argv
    return read[0]


def fingerprint() -> str:
    """Versions, platform and device, as mlx_lm's server puts them into its answers."""
    return stock.get_system_fingerprint()


def has_images(request: CompletionRequest) -> bool:
    """Whether a message of the request holds an image."""
    return any(stock._image_parts(request.messages))


def wants_to_stop(context: GenerationContext) -> bool:
    """Whether the handler reads no more of this generation."""
    return context._should_stop


def sampler(args: GenerationArguments, tokenizer: Any) -> Callable[..., Any]:
    """What draws the next token, by the request's options."""
    return stock._make_sampler(args, tokenizer)


def logits_processors(args: GenerationArguments) -> list[Callable[..., Any]]:
    """Biases and penalties, by the request's options."""
    return stock._make_logits_processors(args)


def top_logprobs(logprobs: Any, most: int, tokenizer: Any) -> Any:
    """The `most` likeliest tokens with their log-probabilities, in the form that answers have them."""
    return stock._format_top_logprobs(logprobs, most, tokenizer)
