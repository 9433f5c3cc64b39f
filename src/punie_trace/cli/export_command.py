"""`punie-trace export`: a run's spans and metrics to the collectors that were not there when it was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from punie_trace.cli.exits import errors_as_messages, show

if TYPE_CHECKING:
    from rich.console import Console

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
    """Sends what can be sent and says what became of it; returns 4 where something was not accepted."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from punie_trace import read_run
    from punie_trace.report.interfaces import deep_links, show_links

    run = read_run(folder)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        tasks = {what: progress.add_task(what, total=None, visible=False) for what in ("spans", "metrics")}
        sent = run.send(
            otlp,
            otlp_metrics,
            on_step=lambda what, by_now, of: progress.update(tasks[what], completed=by_now, total=of, visible=True),
        )
    for note in sent.notes:
        show(console, note)
    for problem in sent.problems:
        show(console, f"error: {problem}", "red")
    taken = sent.sent_to
    show_links(deep_links(run.record, spans_at=taken.spans_at, metrics_at=taken.metrics_at), console)
    return EXIT_DONE if sent.whole else EXIT_EARLY
