"""`punie-trace export` against a receiver that speaks the real protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from punie_trace.runs.reader import read_run
from punie_trace.spans import names
from tests.cli.conftest import Bench
from tests.synthetic_run import write_run

if TYPE_CHECKING:
    from tests.receiver import Receiver


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "a-run")


def outcomes(receiver: Receiver) -> int:
    (resource,) = receiver.metrics[-1].resource_metrics
    (metric,) = (m for m in resource.scope_metrics[0].metrics if m.name == names.METRIC_QUERY_OUTCOMES)
    return sum(point.as_int for point in metric.sum.data_points)


def test_a_run_is_sent_in_full_and_twice_is_the_same(bench: Bench, run_folder: Path, receiver: Receiver) -> None:
    run = read_run(run_folder)
    result = bench.invoke("export", str(run_folder), "--otlp", receiver.url)
    assert result.exit_code == 0, result.output
    assert len(receiver.spans) == len(run.spans)
    assert outcomes(receiver) == len(run.outcomes)
    assert f"{len(run.spans)} spans sent to {receiver.url}/v1/traces" in result.output
    assert f"moments of the run sent to {receiver.url}/v1/metrics" in result.output
    first = {span.SerializeToString() for span in receiver.spans}
    metrics = [one.SerializeToString() for one in receiver.metrics if one.resource_metrics]
    assert bench.invoke("export", str(run_folder), "--otlp", receiver.url).exit_code == 0
    assert {span.SerializeToString() for span in receiver.spans} == first
    assert [one.SerializeToString() for one in receiver.metrics if one.resource_metrics] == metrics * 2


def test_spans_and_metrics_go_to_endpoints_of_their_own(bench: Bench, run_folder: Path, receiver: Receiver) -> None:
    receiver.refused = ("/v1/metrics",)
    flags = ("--otlp", receiver.url, "--otlp-metrics", f"{receiver.url}/api/v1/otlp")
    result = bench.invoke("export", str(run_folder), *flags)
    assert result.exit_code == 0, result.output
    assert f"sent to {receiver.url}/api/v1/otlp/v1/metrics" in result.output


def test_only_one_of_them(bench: Bench, run_folder: Path, receiver: Receiver) -> None:
    result = bench.invoke("export", str(run_folder), "--otlp", "off", "--otlp-metrics", receiver.url)
    assert result.exit_code == 0, result.output
    assert not receiver.spans
    assert receiver.metrics
    receiver.metrics.clear()
    result = bench.invoke("export", str(run_folder), "--otlp", receiver.url, "--otlp-metrics", "off")
    assert result.exit_code == 0, result.output
    assert receiver.spans
    assert not receiver.metrics


def test_nowhere_to_send_it(bench: Bench, run_folder: Path) -> None:
    result = bench.invoke("export", str(run_folder), "--otlp", "off")
    assert result.exit_code == 2
    assert "nothing to send" in result.output


def test_a_file_that_was_cut_and_tampered_with_is_sent_as_far_as_it_goes(
    bench: Bench, run_folder: Path, receiver: Receiver
) -> None:
    path = run_folder / "spans.jsonl"
    lines = path.read_text().splitlines()
    lines[5] = '{"message": "of another program"}'
    path.write_text("\n".join(lines)[:-300])
    result = bench.invoke("export", str(run_folder), "--otlp", receiver.url)
    assert result.exit_code == 4
    assert len(receiver.spans) == len(lines) - 2
    assert f"2 of {len(lines)} lines" in result.output
    assert outcomes(receiver) > 0


def test_what_takes_no_spans_still_gets_the_metrics(bench: Bench, run_folder: Path, receiver: Receiver) -> None:
    receiver.refused = ("/v1/traces",)
    result = bench.invoke("export", str(run_folder), "--otlp", receiver.url)
    assert result.exit_code == 4
    assert "no OTLP/HTTP receiver of spans" in result.output
    assert receiver.metrics


def test_values_that_are_too_old_are_told_what_to_do(bench: Bench, run_folder: Path, receiver: Receiver) -> None:
    receiver.next_statuses = [200, 400]
    receiver.answer = b"out of order sample"
    flags = ("--otlp", "off", "--otlp-metrics", f"{receiver.url}/v1/metrics")
    result = bench.invoke("export", str(run_folder), *flags)
    assert result.exit_code == 4
    assert "out_of_order_time_window" in result.output


def test_what_is_no_run(bench: Bench, tmp_path: Path) -> None:
    result = bench.invoke("export", str(tmp_path), "--otlp", "http://127.0.0.1:1")
    assert result.exit_code == 2
    assert "is not a run" in result.output
