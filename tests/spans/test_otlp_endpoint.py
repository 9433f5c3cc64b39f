from __future__ import annotations

import pytest

from punie_trace.errors import ConfigurationError
from punie_trace.spans.otlp_endpoint import DEFAULT_ENDPOINT, endpoint_for, shown


@pytest.mark.parametrize(
    ("mode", "environ", "expected"),
    [
        ("off", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other:4318"}, None),
        ("auto", {}, DEFAULT_ENDPOINT),
        ("auto", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other:4318/"}, "http://other:4318/v1/traces"),
        (
            "auto",
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b/as/it/is"},
            "http://b/as/it/is",
        ),
        ("http://127.0.0.1:4318", {}, "http://127.0.0.1:4318/v1/traces"),
        ("https://host/otlp/", {}, "https://host/otlp/v1/traces"),
        ("http://host:1/v1/traces", {}, "http://host:1/v1/traces"),
    ],
)
def test_where_spans_go(mode: str, environ: dict[str, str], expected: str | None) -> None:
    assert endpoint_for(mode, environ) == expected


@pytest.mark.parametrize("mode", ["127.0.0.1:4318", "yes", "grpc://host:4317", "http://", "http://[", "http://h:x"])
def test_what_is_no_url_is_a_clear_error(mode: str) -> None:
    with pytest.raises(ConfigurationError, match="--otlp"):
        endpoint_for(mode, {})


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://user:secret@host:1/v1/traces?key=secret#secret", "http://host:1/v1/traces"),
        ("https://[::1]:4318/v1/traces", "https://[::1]:4318/v1/traces"),
        ("http://h:secret/", "an address that cannot be read"),
    ],
)
def test_an_address_is_shown_without_secrets(endpoint: str, expected: str) -> None:
    assert shown(endpoint) == expected
