"""A body that a server compressed although it was asked not to, decompressed piece by piece within a limit."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from typing import Final

import httpx2

ENCODINGS: Final = ("gzip", "x-gzip", "deflate")
_PIECE: Final = 256 * 1024
"""Bytes that are decompressed at once: a few bytes may stand for gigabytes."""
_EITHER_FORM: Final = 47
"""zlib's window bits for 'gzip or zlib, whichever the head says'."""


class InflatedStream(httpx2.AsyncByteStream):
    """The decompressed body. Raises `httpx2.DecodingError` where it is no such thing, or more than `most` bytes."""

    def __init__(self, inner: httpx2.AsyncByteStream, most: int) -> None:
        self._inner = inner
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        inflater, total = zlib.decompressobj(_EITHER_FORM), 0
        async for data in self._inner:
            while data:
                try:
                    out = inflater.decompress(data, _PIECE)
                except zlib.error as error:
                    raise httpx2.DecodingError(f"the server's answer is not compressed as it says: {error}") from error
                total += len(out)
                if total > self._most:
                    raise httpx2.DecodingError(f"the server's answer is longer than {self._most} bytes")
                if out:
                    yield out
                data = inflater.unconsumed_tail

    async def aclose(self) -> None:
        """Close the body underneath."""
        await self._inner.aclose()
