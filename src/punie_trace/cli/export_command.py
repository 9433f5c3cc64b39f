"""`punie-trace export`: a run's spans and metrics to the collectors that were not there when it was measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from punie_trace.cli.exits import errors_as_messages
from punie_trace.errors import ConfigurationError, ExportError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from punie_trace.runs.reader import RunRecord

EXIT_DONE, EXIT_EARLY = 0, 4


def export(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    otlp: Annotated[
        str, typer.Option(help="A collector's URL, or auto: what the environment says, else the usual port.")
    ] = "auto",
    otlp_metrics: Annotated[
        str, typer.Option(help="Where metrics go: auto (with the spans, else Prometheus if it answers), off, or a URL.")
    ] = "auto",
) -> None:
    """Send a run's spans and metrics later, in full. Sending twice does no harm."""
    from rich.console import Console

    with errors_as_messages():
        code = _export(folder, otlp, otlp_metrics, Console(stderr=True))
    raise typer.Exit(code)


def _export(folder: Path, otlp: str, otlp_metrics: str, console: Console) -> int:
    """Sends what can be sent and says what became of it; returns 4 where something was not accepted.

    Raises `PunieTraceError` where there is no run, or nowhere to send it.
    """
    from punie_trace import read_run
    from punie_trace.report.interfaces import deep_links, show_links
    from punie_trace.spans.metric_endpoint import metric_endpoints
    from punie_trace.spans.otlp_endpoint import endpoint_for

    run = read_run(folder).record
    endpoint, endpoints = endpoint_for(otlp), metric_endpoints(otlp_metrics, otlp)
    if endpoint is None and not endpoints:
        raise ConfigurationError("There is nothing to send: --otlp is 'off'. Give the URL of a collector.")
    parts: list[Callable[[], bool]] = []
    taken: dict[str, str] = {}
    if endpoint is not None:
        parts.append(lambda: _send_spans(run, endpoint, console, taken))
    if endpoints:
        parts.append(lambda: _send_metrics(run, endpoints, console, taken, asked_for=otlp_metrics != "auto"))
    whole = True
    for part in parts:  # each is tried, whatever becomes of the other
        try:
            whole = part() and whole
        except ExportError as error:
            console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
            whole = False
    spans_at = [taken["spans"]] if "spans" in taken else []
    show_links(deep_links(run, spans_at=spans_at, metrics_at=taken.get("metrics")), console)
    return EXIT_DONE if whole else EXIT_EARLY


def _send_spans(run: RunRecord, endpoint: str, console: Console, taken: dict[str, str]) -> bool:
    from punie_trace.runs.reader import SPANS_FILE
    from punie_trace.spans.otlp_endpoint import shown
    from punie_trace.spans.otlp_post import OtlpPost
    from punie_trace.spans.resend import SpansSent, count_lines, send_spans

    path = run.folder / SPANS_FILE
    with OtlpPost(endpoint, "TRACES") as post:
        post.probe()
        lines = count_lines(path)
        with _progress(console) as progress:
            task = progress.add_task("spans", total=lines)
            sent = SpansSent()
            try:
                send_spans(path, post, sent, lambda more: progress.advance(task, more))
            finally:
                progress.stop()
                _print(console, f"{sent.accepted} spans sent to {shown(endpoint)}")
                if sent.refused:
                    _print(console, f"{sent.refused} spans refused: {sent.reason or 'no reason was given'}")
                if sent.unreadable:
                    _print(
                        console,
                        f"{sent.unreadable} of {lines} lines of {path} hold no spans that can be read, and were left "
                        "out: the file was cut off when the run ended, changed since, or comes from another program",
                    )
    taken["spans"] = endpoint
    return not sent.refused and not sent.unreadable


def _send_metrics(
    run: RunRecord, endpoints: tuple[str, ...], console: Console, taken: dict[str, str], *, asked_for: bool
) -> bool:
    from punie_trace.runs.reader import SPANS_FILE
    from punie_trace.spans.backfill import metric_requests, readable_spans
    from punie_trace.spans.metric_endpoint import first_that_answers
    from punie_trace.spans.otlp_endpoint import shown
    from punie_trace.spans.otlp_post import BodyTooLargeError, OtlpPost, RefusedError

    endpoint = first_that_answers(endpoints, asked_for=asked_for)
    if endpoint is None:
        raise ExportError(
            f"Nothing takes metrics at {' or '.join(map(shown, endpoints))}: metrics were not sent. Start Prometheus "
            "with --web.enable-otlp-receiver, or say where with --otlp-metrics."
        )
    requests = metric_requests(run.header, readable_spans(run.folder / SPANS_FILE))
    with OtlpPost(endpoint, "METRICS") as post, _progress(console) as progress:
        task = progress.add_task("metrics", total=len(requests))
        for request in requests:
            try:
                post.send(request.SerializeToString())
            except (RefusedError, BodyTooLargeError) as error:
                progress.stop()
                raise ExportError(_refused(endpoint, error)) from error
            progress.advance(task)
    taken["metrics"] = endpoint
    _print(console, f"metrics of {len(requests)} moments of the run sent to {shown(endpoint)}")
    return True


def _refused(endpoint: str, error: Exception) -> str:
    from punie_trace.spans.otlp_endpoint import shown

    reason = str(error) or "the request is too large for it"
    if any(words in reason for words in ("out of order", "out of bounds", "too old")):
        return (
            f"{shown(endpoint)} takes no values as old as this run ({reason}). Prometheus does with "
            "storage.tsdb.out_of_order_time_window in its configuration, as dashboards/stack/prometheus.yml has it."
        )
    return f"{shown(endpoint)} refused the metrics: {reason}"


def _progress(console: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


def _print(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
