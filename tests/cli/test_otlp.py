"""Where spans and metrics of a run go, with a receiver that speaks the real protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from punie_trace.servers.fake import Script
from punie_trace.telemetry import names
from tests.cli.conftest import GOOD, Bench

if TYPE_CHECKING:
    from tests.receiver import Receiver


def test_a_run_sends_all_its_spans_and_metrics(
    bench: Bench, one_server: Callable[[Script], str], receiver: Receiver
) -> None:
    result = bench.run(one_server(GOOD), "--otlp", receiver.url)
    assert result.exit_code == 0, result.output
    assert len(receiver.spans) == len((bench.out / "spans.jsonl").read_text().splitlines())
    (resource,) = receiver.metrics[-1].resource_metrics
    found = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    outcomes = found[names.METRIC_QUERY_OUTCOMES].sum.data_points
    assert sum(point.as_int for point in outcomes) == 4
    assert names.METRIC_MEMORY_PEAK in found
    exemplars = [e for point in found[names.METRIC_QUERY_DURATION].histogram.data_points for e in point.exemplars]
    assert {e.trace_id for e in exemplars} <= {span.trace_id for span in receiver.spans}
    assert exemplars
    assert f"metrics sent to {receiver.url}/v1/metrics" in result.output


@pytest.mark.parametrize("status", [400, 429, 503])
def test_a_receiver_that_begins_to_refuse_costs_the_run_nothing(
    bench: Bench, one_server: Callable[[Script], str], receiver: Receiver, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from punie_trace.cli import tracing

    connect = tracing.connect_metrics

    def connect_then_refuse(mode: str, run_id: str, otlp: str) -> object:
        sender = connect(mode, run_id, otlp)
        receiver.status = status
        return sender

    monkeypatch.setattr(tracing, "connect_metrics", connect_then_refuse)
    result = bench.run(one_server(GOOD), "--otlp", receiver.url)
    assert result.exit_code == 0, result.output
    assert "metrics not all accepted" in result.output
    assert "not accepted (they are in the file)" in result.output
    assert not receiver.spans
