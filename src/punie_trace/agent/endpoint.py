"""What a function that asks is given of the server: all that any OpenAI-compatible client needs."""

from __future__ import annotations

from dataclasses import dataclass

import httpx2
from opentelemetry.trace import TracerProvider


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One configuration's server.

    Requests that go through `http_client` are timed and read as generations of the query under way; a framework that
    will not take a client of its own making is measured through `--program` instead. Spans that are made with
    `tracer_provider` become part of the query's trace: tools are seen by them.
    """

    base_url: str
    """With '/v1', without a slash at the end."""
    model: str
    api_key: str
    """'not-needed' where the server wants none."""
    http_client: httpx2.AsyncClient
    sync_http_client: httpx2.Client
    """The same for plain functions, which run in threads: its requests are timed like the others."""
    tracer_provider: TracerProvider
