"""A request's queue of answers, in the thread that generates: what passes is stamped in the call, and bounded by it.

mlx_lm puts a context, progress, a response for each token, and None at the end; whatever comes after an end or an
error, or for a client that is gone, goes no further.
"""

from __future__ import annotations

import math
import queue
from collections.abc import Callable
from typing import Any, Final

from punie_trace.serving.call import Call, now_ns
from punie_trace.serving.mlx_lm_adapter import GenerationContext, Response
from punie_trace.serving.refusal import ClientGoneError, GenerationError

ENDING: Final = "the server is ending"


class StampedQueue:
    """Stands before a request's queue, in the thread that generates."""

    def __init__(self, inner: queue.Queue[Any], call: Call, ended: Callable[[StampedQueue], None]) -> None:
        self.call = call
        self._inner = inner
        self._ended = ended
        self._context: GenerationContext | None = None
        self._over = False

    def put(self, item: Any) -> None:
        """Note what passes, and pass it on; nothing follows an end or an error."""
        if self._over:
            return
        call = self.call
        if isinstance(item, GenerationContext):
            self._context = item
            call.prompt_tokens = len(item.prompt)
        elif isinstance(item, Response):
            call.last_token_ns = now_ns()
            if call.first_token_ns is None:
                call.first_token_ns = call.last_token_ns
            if self._context is not None:
                call.cached_tokens = max(self._context.prompt_cache_count, 0)
            call.output_tokens += 1
            call.finish_reason = item.finish_reason
            if math.isnan(item.logprob):
                item = GenerationError("the model's logits are not numbers (NaN): its weights or their precision")
        if item is not None and not isinstance(item, Exception) and call.abandoned():
            item = given_up(call)
        if isinstance(item, Exception) and self._context is not None:
            self._context.stop()
        self._over = item is None or isinstance(item, Exception)
        self._inner.put(item)
        if self._over:
            self._ended(self)


def given_up(call: Call) -> Exception:
    """Why a call that is abandoned is: on whose side."""
    return GenerationError(ENDING) if call.ending else ClientGoneError("the client closed its connection")
