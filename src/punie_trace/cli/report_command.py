"""`punie-trace report`: a run's summary, tables and page, made again from its folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from punie_trace.cli.exits import errors_as_messages
from punie_trace.errors import ConfigurationError, LedgerError, RunFolderError, nearest

if TYPE_CHECKING:
    from rich.console import Console

    from punie_trace import Run

TRACES = ("speedscope", "perfetto")
FORMATS = ("console", "html", "json", "markdown", "csv", "parquet", *TRACES)


def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="console, html, json, markdown, csv or parquet (the outcomes), speedscope or perfetto (one query).",
        ),
    ] = "console",
    query: Annotated[str | None, typer.Option(help="Of which query the trace is. [the slowest that fits]")] = None,
    configuration: Annotated[str | None, typer.Option(help="Of which configuration the trace is.")] = None,
    round_: Annotated[int | None, typer.Option("--round", help="Of which round the trace is.")] = None,
) -> None:
    """Make a run's report again from its folder, without any server."""
    with errors_as_messages():
        if form not in FORMATS:
            raise ConfigurationError(f"there is no format {form!r}; {nearest(form, FORMATS)}")
        if form not in TRACES and (query, configuration, round_) != (None, None, None):
            raise ConfigurationError(
                f"--query, --configuration and --round choose one trace, for --format {' or '.join(TRACES)}; "
                f"{form!r} is of the whole run"
            )
        code = _report(folder, form, query, configuration, round_)
    raise typer.Exit(code)


def _report(folder: Path, form: str, query: str | None, configuration: str | None, round_: int | None) -> int:
    """Shows the run in the form asked for; returns 4 where a ledger does not close, else 0."""
    from punie_trace import read_run

    run = read_run(folder)
    if form == "csv":
        from punie_trace.report.outcomes_csv import write_outcomes_csv

        write_outcomes_csv(run.record, sys.stdout)
        return 0
    if form == "parquet":
        from punie_trace.report.outcomes_parquet import write_outcomes_parquet

        typer.echo(write_outcomes_parquet(run.record))
        return 0
    if form in TRACES:
        from punie_trace.report.trace_json import choose, perfetto_text, speedscope_text

        text_of = speedscope_text if form == "speedscope" else perfetto_text
        typer.echo(text_of(run.record, choose(run.record, query, configuration, round_)), nl=False)
        return 0
    if form == "console":
        from rich.console import Console

        show_report(run, Console())
    elif form == "markdown":
        from punie_trace.report.markdown import run_markdown

        typer.echo(run_markdown(run.summary, folder), nl=False)
    else:
        run.write_summary()
        if form == "json":
            from punie_trace.report.summary_json import summary_text

            typer.echo(summary_text(run.summary), nl=False)
        else:
            typer.echo(run.write_report())
    return LedgerError.exit_code if run.summary.ledger_errors else 0


def show_report(run: Run, console: Console) -> None:
    """Prints the tables, and writes `summary.json` and `report.html` into the run's folder."""
    from punie_trace.report.console import print_report

    print_report(run.summary, console, run.folder)
    try:
        run.write_summary()
        page = run.write_report()
    except RunFolderError as error:  # a full disk must not cost what can be shown
        console.print(f"\n{error}", markup=False, highlight=False, soft_wrap=True)
    else:
        console.print(f"\nwith every query, its spans and texts: {page}", markup=False, highlight=False, soft_wrap=True)
