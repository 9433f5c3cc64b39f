"""A run's spans and metrics to collectors that were not there when it was measured, in full.

Sending twice does no harm. Spans and metrics are each tried, whatever becomes of the other. Nothing is printed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from punie_trace.engine.energy_gauges import energy_gauges
from punie_trace.errors import ConfigurationError, ExportError
from punie_trace.records import SentTo
from punie_trace.runs.reader import SPANS_FILE, RunRecord
from punie_trace.spans.backfill import metric_requests, readable_spans
from punie_trace.spans.metric_endpoint import first_that_answers, metric_endpoints
from punie_trace.spans.otlp_endpoint import endpoint_for, shown
from punie_trace.spans.otlp_post import BodyTooLargeError, OtlpPost, RefusedError
from punie_trace.spans.resend import SpansSent, count_lines, send_spans

OnStep: TypeAlias = Callable[[str, int, int], None]
"""(what, how much of it was sent by now, of how much): 'spans' or 'metrics'."""


@dataclass(slots=True)
class Sent:
    """What became of a run that was sent: what to tell, what was not accepted and why, and who took something."""

    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    whole: bool = True
    """Whether all of it was accepted."""
    sent_to: SentTo = field(default_factory=SentTo)


def send_run(run: RunRecord, otlp: str = "auto", otlp_metrics: str = "auto", on_step: OnStep | None = None) -> Sent:
    """Sends what can be sent. Raises `ConfigurationError` where there is nowhere to send it.

    `otlp` and `otlp_metrics` are a collector's URL, 'off', or 'auto': what the environment says, else the usual port.
    """
    endpoint, endpoints = endpoint_for(otlp), metric_endpoints(otlp_metrics, otlp)
    if endpoint is None and not endpoints:
        raise ConfigurationError("There is nothing to send: --otlp is 'off'. Give the URL of a collector.")
    sent = Sent()
    spans_at = metrics_at = None
    step = on_step or (lambda _what, _by_now, _of: None)
    if endpoint is not None:
        try:
            _send_spans(run, endpoint, step, sent)
            spans_at = endpoint
        except ExportError as error:
            sent.problems.append(str(error))
    if endpoints:
        try:
            metrics_at = _send_metrics(run, endpoints, step, sent, asked_for=otlp_metrics != "auto")
        except ExportError as error:
            sent.problems.append(str(error))
    sent.whole = sent.whole and not sent.problems
    sent.sent_to = SentTo((spans_at,) if spans_at is not None else (), metrics_at)
    return sent


def _send_spans(run: RunRecord, endpoint: str, step: OnStep, report: Sent) -> None:
    path = run.folder / SPANS_FILE
    sent = SpansSent()
    by_now = 0
    with OtlpPost(endpoint, "TRACES") as post:
        post.probe()
        lines = count_lines(path)

        def more(count: int) -> None:
            nonlocal by_now
            by_now += count
            step("spans", by_now, lines)

        try:
            send_spans(path, post, sent, more)
        finally:
            report.notes.append(f"{sent.accepted} spans sent to {shown(endpoint)}")
            if sent.refused:
                report.notes.append(f"{sent.refused} spans refused: {sent.reason or 'no reason was given'}")
            if sent.unreadable:
                report.notes.append(
                    f"{sent.unreadable} of {lines} lines of {path} hold no spans that can be read, and were left out: "
                    "the file was cut off when the run ended, changed since, or comes from another program"
                )
    report.whole = report.whole and not sent.refused and not sent.unreadable


def _send_metrics(run: RunRecord, endpoints: tuple[str, ...], step: OnStep, report: Sent, *, asked_for: bool) -> str:
    """Returns the endpoint that took them."""
    endpoint = first_that_answers(endpoints, asked_for=asked_for)
    if endpoint is None:
        raise ExportError(
            f"Nothing takes metrics at {' or '.join(map(shown, endpoints))}: metrics were not sent. Start Prometheus "
            "with --web.enable-otlp-receiver, or say where with --otlp-metrics."
        )
    requests = metric_requests(run.header, readable_spans(run.folder / SPANS_FILE), energy_gauges(run))
    with OtlpPost(endpoint, "METRICS") as post:
        for number, request in enumerate(requests, start=1):
            try:
                post.send(request.SerializeToString())
            except (RefusedError, BodyTooLargeError) as error:
                raise ExportError(_refused(endpoint, error)) from error
            step("metrics", number, len(requests))
    report.notes.append(f"metrics of {len(requests)} moments of the run sent to {shown(endpoint)}")
    return endpoint


def _refused(endpoint: str, error: Exception) -> str:
    reason = str(error) or "the request is too large for it"
    if any(words in reason for words in ("out of order", "out of bounds", "too old")):
        return (
            f"{shown(endpoint)} takes no values as old as this run ({reason}). Prometheus does with "
            "storage.tsdb.out_of_order_time_window in its configuration, as dashboards/stack/prometheus.yml has it."
        )
    return f"{shown(endpoint)} refused the metrics: {reason}"
