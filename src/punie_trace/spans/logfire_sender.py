"""Sends spans to Logfire as well, where LOGFIRE_TOKEN is set.

It is OTLP to the endpoint that the token's region names: `logfire.configure` would bring a provider with another clock,
and its scrubbing rewrites tool arguments. The token goes into the Authorization header of these requests and nowhere
else; headers meant for another collector (OTEL_EXPORTER_OTLP_HEADERS) do not go to Logfire.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from punie_trace.spans.otlp_endpoint import TRACES_PATH
from punie_trace.spans.otlp_post import OtlpPost
from punie_trace.spans.otlp_sender import EXPORT_TIMEOUT_S, OtlpSender


def logfire_senders(environ: Mapping[str, str] = os.environ) -> list[OtlpSender]:
    """A sender for each token in LOGFIRE_TOKEN (commas between them, as Logfire has it); none where it is not set.

    LOGFIRE_BASE_URL, where set, is used instead of the region's address (self-hosted Logfire).
    """
    tokens = [token.strip() for token in environ.get("LOGFIRE_TOKEN", "").split(",")]
    return [_sender(token, environ.get("LOGFIRE_BASE_URL")) for token in tokens if token]


def _sender(token: str, base_url: str | None) -> OtlpSender:
    if not base_url:
        # Loaded here because it takes half a second, and few set a token.
        from logfire._internal.config import get_base_url_from_token

        base_url = get_base_url_from_token(token, warn_unknown_region=False)
    post = OtlpPost(
        base_url.rstrip("/") + TRACES_PATH,
        "TRACES",
        {},  # what the environment says is meant for another collector
        timeout_s=5 * EXPORT_TIMEOUT_S,  # across the internet; a daemon thread waits, and the end is bounded
        headers={"Authorization": token},
    )
    return OtlpSender(post, "Logfire")
