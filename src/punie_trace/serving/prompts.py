"""From a request to tokens, beside the thread that generates: in the thread of the request's own connection.

A long prompt takes the tokenizer seconds, and a chat template may take as long. In the thread that generates this would
be everybody's wait, so only what is known to be short is tokenized there (for a model that is not loaded yet). What
cannot fit into the model's context is refused by its length, before it is tokenized; of the others, long ones take
turns, so that many of them at once cost no more memory and cores than one.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from punie_trace.serving.refusal import RefusedError
from punie_trace.serving.time_limit import time_limit

if TYPE_CHECKING:
    from collections.abc import Generator

    from punie_trace.serving.mlx_lm_adapter import CalledArguments, CalledRequest
    from punie_trace.serving.models import LoadedModel

SHORT: Final = 1 << 18
"""Characters of a prompt up to which tokenizing is a matter of a few tenths of a second."""
SMALL: Final = 1 << 14
FEW_MESSAGES: Final = 32
"""Requests with no more characters and messages than this cost no template any time to speak of."""
RENDER_S: Final = 30.0
"""The longest that a request's own thread may render and tokenize its prompt; see `render_limit`."""
RENDER_BESIDE_ALL_S: Final = 3.0
"""The same in the thread that generates, which tokenizes only what is short."""
TURN_S: Final = 30.0
"""The longest wait of a long prompt for another long prompt to be tokenized."""


@contextmanager
def render_limit(request: CalledRequest, limit_s: float, *, arguments: bool) -> Generator[None]:
    """Rendering and tokenizing within takes `limit_s` at most: templates may take the square of what they are given.

    `arguments`: whether the template is handed any of the request's. Raises `RefusedError` (400).
    """
    if not arguments and len(request.messages) <= FEW_MESSAGES and characters_of(request) <= SMALL:
        yield
        return
    try:
        with time_limit(limit_s):
            yield
    except TimeoutError:
        raise RefusedError(
            400, f"the model's chat template and tokenizer took longer than {limit_s:g} s for this conversation"
        ) from None


class PromptTurns:
    """Long prompts are tokenized one at a time. Safe to use from several threads."""

    def __init__(self, turn_s: float = TURN_S) -> None:
        self._turn_s = turn_s
        self._long = threading.Lock()

    @contextmanager
    def turn(self, characters: int) -> Generator[None]:
        """Wait for the turn of a prompt of that length. Raises `RefusedError` (503) where it does not come in time."""
        if characters <= SHORT:
            yield
            return
        if not self._long.acquire(timeout=self._turn_s):
            raise RefusedError(503, "other long prompts are being tokenized; come again")
        try:
            yield
        finally:
            self._long.release()


def characters_of(request: CalledRequest) -> int:
    """Characters of a request that become tokens: of prompt, messages and tools, and not of images."""
    waiting: list[Any] = [request.prompt, request.tools]
    for message in request.messages:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        waiting += [part.get("text") for part in parts]
        waiting.append(message.get("tool_calls"))
    total = 0
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            total += len(one)
        elif isinstance(one, dict):
            total += sum(map(len, one))
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return total


def check_length(characters: int, model: LoadedModel) -> None:
    """Raises `RefusedError` (400) for a prompt that is too long however well its text packs into tokens."""
    if model.context_length is not None and characters > model.context_length * model.longest_token:
        raise RefusedError(
            400,
            f"the prompt has {characters} characters, which is more than {characters // model.longest_token} tokens, "
            f"and the model takes {model.context_length} with its answer",
        )


def check_tokens(tokens: int, model: LoadedModel, args: CalledArguments) -> None:
    """Raises `RefusedError` (400) for a prompt or for sampling options that do not go with the model.

    `args.max_tokens` is cut to what the context has room for.
    """
    if not tokens:
        raise RefusedError(400, "the prompt is empty: it has no token")
    if model.context_length is not None:
        if tokens >= model.context_length:
            raise RefusedError(
                400, f"the prompt has {tokens} tokens, and the model takes {model.context_length} with its answer"
            )
        args.max_tokens = min(args.max_tokens, model.context_length - tokens)
    if model.vocabulary is not None:
        if args.sampling.top_k >= model.vocabulary:
            raise RefusedError(400, f"top_k must be less than the vocabulary's {model.vocabulary}")
        for token in args.logits.logit_bias or ():
            if not 0 <= token < model.vocabulary:
                raise RefusedError(400, f"logit_bias names the token {token}, and the vocabulary has none such")
