from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from punie_trace.spans.logfire_sender import logfire_senders

if TYPE_CHECKING:
    from tests.receiver import Receiver
    from tests.spans.conftest import Traced

TOKEN = "pylf_v1_eu_" + "0" * 43


def test_without_a_token_nothing_is_sent() -> None:
    assert logfire_senders({}) == []
    assert logfire_senders({"LOGFIRE_TOKEN": ""}) == []


def test_spans_arrive_with_the_token_and_no_other_header(
    traced: Traced, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-other-collectors-key=secret")
    (sender,) = logfire_senders({"LOGFIRE_TOKEN": TOKEN, "LOGFIRE_BASE_URL": receiver.url})
    traced.provider.add_sink(sender)
    span = traced.provider.get_tracer("t").start_span("s", attributes={"tool.arguments": "password = 1"})
    span.end()
    sender.close(20)
    assert sender.counts().exported == 1
    (arrived,) = receiver.spans
    assert arrived.start_time_unix_nano == traced.kept.one("s").start_time, "on our clock"
    assert arrived.attributes[0].value.string_value == "password = 1", "and as it was"
    (headers,) = receiver.headers
    assert headers["authorization"] == TOKEN
    assert "x-other-collectors-key" not in headers
    assert TOKEN not in "".join(capfd.readouterr())
    assert TOKEN not in sender.endpoint
    assert all(TOKEN.encode() not in body.SerializeToString() for body in receiver.bodies)


def test_each_token_gets_its_own_sender() -> None:
    senders = logfire_senders({"LOGFIRE_TOKEN": f"{TOKEN}, {TOKEN}", "LOGFIRE_BASE_URL": "http://127.0.0.1:9"})
    assert len(senders) == 2
    for sender in senders:
        sender.close()


def test_logfire_still_tells_the_address_of_a_token() -> None:
    """The one name of logfire's inside that this project uses."""
    from logfire._internal.config import get_base_url_from_token

    assert get_base_url_from_token(TOKEN, warn_unknown_region=False) == "https://logfire-eu.pydantic.dev"
    assert get_base_url_from_token("older", warn_unknown_region=False) == "https://logfire-us.pydantic.dev"
