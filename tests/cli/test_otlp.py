"""Where spans and metrics of a run go, with a receiver that speaks the real protocol."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from punie_trace.engine import tracing
from punie_trace.spans import names
from punie_trace.spans.metric_sender import MetricSender
from punie_trace.testing import Script
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


@pytest.fixture
def after_start(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Have something happen when the run has found its receivers and nothing is measured yet."""
    connect = tracing.connect_metrics

    def arrange(happens: Callable[[], None]) -> None:
        def connect_then(mode: str, run_id: str, otlp: str) -> MetricSender | None:
            sender = connect(mode, run_id, otlp)
            happens()
            return sender

        monkeypatch.setattr(tracing, "connect_metrics", connect_then)

    return arrange


@pytest.mark.parametrize("status", [400, 413, 429, 503])
def test_a_receiver_that_begins_to_refuse_costs_the_run_nothing(
    bench: Bench,
    one_server: Callable[[Script], str],
    receiver: Receiver,
    status: int,
    after_start: Callable[[Callable[[], None]], None],
) -> None:
    after_start(lambda: setattr(receiver, "status", status))
    result = bench.run(one_server(GOOD), "--otlp", receiver.url)
    assert result.exit_code == 0, result.output
    assert "metrics not all accepted" in result.output
    assert "not accepted (they are in the file)" in result.output
    assert not receiver.spans
    assert spans_in_file(bench) > 4


def test_a_receiver_that_begins_to_hang_does_not_hold_up_the_end(
    bench: Bench,
    one_server: Callable[[Script], str],
    receiver: Receiver,
    after_start: Callable[[Callable[[], None]], None],
) -> None:
    began: list[float] = []

    def hang() -> None:
        receiver.release.clear()
        began.append(monotonic())

    after_start(hang)
    result = bench.run(one_server(GOOD), "--otlp", receiver.url)
    assert result.exit_code == 0, result.output
    assert monotonic() - began[0] < 15  # queries take 0.1 s, servers 2 s, and the last sending 4 s at most
    assert "metrics not all accepted" in result.output
    lost = f"{spans_in_file(bench)} not accepted (they are in the file)"
    assert f"0 spans sent to {receiver.url}/v1/traces, {lost}" in result.output


def spans_in_file(bench: Bench) -> int:
    return len((bench.out / "spans.jsonl").read_text().splitlines())
