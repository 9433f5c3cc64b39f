"""Fetches from a server of ours the spans of a query: text and two clocks. Whoever asked for them makes spans of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import httpx2

from punie_trace.http_clients import TooLongError, read_within
from punie_trace.spans import names

_MOST_BYTES: Final = 64 * 1024 * 1024
_LIMIT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class ServerSpans:
    """OTLP/JSON, one `TracesData` a line, and the anchors of the clock that its times are on, in ns."""

    lines: str
    anchor_wall_ns: int
    anchor_monotonic_ns: int


async def fetch_spans(client: httpx2.AsyncClient, root: str, trace_id: str) -> ServerSpans | None:
    """The spans of a trace at the server `root` (without '/v1'); None where it does not give them. Never raises."""
    deadline = time.monotonic() + _LIMIT_S
    try:
        async with client.stream("GET", f"{root}/spans", params={"trace_id": trace_id}) as answer:
            answer.raise_for_status()
            wall, _, monotonic = answer.headers.get(names.CLOCK_HEADER, "").partition(",")
            lines = await read_within(answer, _MOST_BYTES, deadline)
        return ServerSpans(lines.decode("utf-8"), int(wall), int(monotonic))
    except (httpx2.HTTPError, ValueError, TooLongError, TimeoutError):
        return None
