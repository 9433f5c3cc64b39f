"""Ends the reading of a stream whose answer is whole, where the server neither says `[DONE]` nor closes the connection.

Some servers send a finish reason, perhaps the token counts, and then nothing more: a client that waits for the end mark
waits until its time is over, and a right answer becomes a time-out. After a finish reason only so much is waited for.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import anyio
import httpx2

from punie_trace.spans.completion import CompletionReader

FINISHED_S: Final = 2.0
"""The longest wait after a finish reason for token counts, the end mark or the end."""
COUNTED_S: Final = 0.5
"""The same after token counts that came with the finish reason or after it: only the end can follow."""


async def until_left_open(
    pieces: httpx2.AsyncByteStream, reader: CompletionReader, on_left_open: Callable[[], None]
) -> AsyncIterator[bytes]:
    """The pieces of a body, which whoever takes them feeds to `reader`, until nothing more has to be waited for.

    Comments that keep the connection alive count as nothing. `on_left_open` is called where the wait was in vain.
    Raises what reading raises.
    """
    ending = aiter(pieces)
    known: tuple[int, str | None, int | None] | None = None
    deadline = 0.0
    while True:
        if reader.finish_reason is None or reader.form != "events" or reader.done:
            try:
                yield await anext(ending)
            except StopAsyncIteration:
                return
            continue
        progress = (reader.chunks, reader.finish_reason, reader.output_tokens)
        if progress != known:
            known = progress
            deadline = time.monotonic() + (FINISHED_S if reader.output_tokens is None else COUNTED_S)
        data: bytes | None = None
        with anyio.move_on_after(max(0.0, deadline - time.monotonic())):
            try:
                data = await anext(ending)
            except StopAsyncIteration:
                return
        if data is None:
            on_left_open()
            return
        yield data
