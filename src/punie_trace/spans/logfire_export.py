"""Sends spans to Logfire as well, where LOGFIRE_TOKEN is set.

It is OTLP to the endpoint that the token's region names: `logfire.configure` would bring a provider with another clock,
and its scrubbing rewrites tool arguments. The token goes into the Authorization header of these requests and nowhere
else; headers meant for another collector (OTEL_EXPORTER_OTLP_HEADERS) do not go to Logfire.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from punie_trace.spans.export import EXPORT_TIMEOUT_S, OtlpSender

_OWN_HEADERS = frozenset({"authorization", "content-type", "content-encoding", "user-agent"})


def logfire_senders(environ: Mapping[str, str] = os.environ) -> list[OtlpSender]:
    """A sender for each token in LOGFIRE_TOKEN (commas between them, as Logfire has it); none where it is not set.

    LOGFIRE_BASE_URL, where set, is used instead of the region's address (self-hosted Logfire).
    """
    tokens = [token.strip() for token in environ.get("LOGFIRE_TOKEN", "").split(",")]
    return [_sender(token, environ.get("LOGFIRE_BASE_URL")) for token in tokens if token]


def _sender(token: str, base_url: str | None) -> OtlpSender:
    # Loaded here because it takes half a second, and few set a token.
    import requests
    from logfire._internal.config import get_base_url_from_token
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    class OwnHeadersOnly(requests.Session):
        """Sends no header that the exporter picked up from the environment."""

        def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
            request.headers = {key: value for key, value in request.headers.items() if key.lower() in _OWN_HEADERS}
            return super().prepare_request(request)

    endpoint = (base_url or get_base_url_from_token(token, warn_unknown_region=False)).rstrip("/") + "/v1/traces"
    exporter = OTLPSpanExporter(
        endpoint=endpoint,
        headers={"Authorization": token},
        timeout=5 * EXPORT_TIMEOUT_S,  # across the internet; a daemon thread waits, and shutting down is bounded
        compression=Compression.Gzip,
        session=OwnHeadersOnly(),
    )
    return OtlpSender(exporter, "Logfire")
