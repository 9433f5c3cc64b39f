"""Fetches from a server of ours the spans of a query: text and two clocks. Whoever asked for them makes spans of it."""

from __future__ import annotations

from dataclasses import dataclass

import httpx2

from punie_trace.spans import names


@dataclass(frozen=True, slots=True)
class ServerSpans:
    """OTLP/JSON, one `TracesData` a line, and the anchors of the clock that its times are on, in ns."""

    lines: str
    anchor_wall_ns: int
    anchor_monotonic_ns: int


async def fetch_spans(client: httpx2.AsyncClient, root: str, trace_id: str) -> ServerSpans | None:
    """The spans of a trace at the server `root` (without '/v1'); None where it does not give them. Never raises."""
    try:
        answer = await client.get(f"{root}/spans", params={"trace_id": trace_id})
        answer.raise_for_status()
        wall, _, monotonic = answer.headers.get(names.CLOCK_HEADER, "").partition(",")
        return ServerSpans(answer.text, int(wall), int(monotonic))
    except (httpx2.HTTPError, ValueError):
        return None
