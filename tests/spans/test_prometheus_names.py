from __future__ import annotations

import pytest

from punie_trace.spans import names
from punie_trace.spans.prometheus_names import Kind, label_name, metric_name, series_name


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected"),
    [
        ("gen_ai.client.operation.duration", "s", "histogram", "gen_ai_client_operation_duration_seconds"),
        ("gen_ai.client.token.usage", "{token}", "histogram", "gen_ai_client_token_usage"),
        ("punie.query.outcomes", "{query}", "counter", "punie_query_outcomes_total"),
        ("punie.server.memory.peak", "By", "gauge", "punie_server_memory_peak_bytes"),
        ("share", "1", "gauge", "share_ratio"),
        ("requests.total", "{request}", "counter", "requests_total"),
        ("a..b__c", "", "gauge", "a_b_c"),
        ("wait.seconds", "s", "counter", "wait_seconds_total"),
    ],
)
def test_names_follow_the_rules(name: str, unit: str, kind: Kind, expected: str) -> None:
    assert metric_name(name, unit, kind) == expected


def test_labels_keep_their_underscores() -> None:
    assert label_name("punie.run.id") == "punie_run_id"
    assert label_name("gen_ai.token.type") == "gen_ai_token_type"


def test_only_parts_that_a_metric_has() -> None:
    assert series_name(names.METRIC_QUERY_DURATION, "bucket") == "punie_query_duration_seconds_bucket"
    assert series_name(names.METRIC_QUERY_OUTCOMES) == "punie_query_outcomes_total"
    with pytest.raises(ValueError, match="no part"):
        series_name(names.METRIC_QUERY_DURATION)
    with pytest.raises(ValueError, match="no part"):
        series_name(names.METRIC_QUERY_OUTCOMES, "sum")
    with pytest.raises(KeyError):
        series_name("someone.else")
