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

CONSOLE = "console"


def report(
    folder: Annotated[Path | None, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="console, html, json, markdown, csv or parquet (the outcomes), turns-csv, speedscope or perfetto "
            "(one query).",
        ),
    ] = "console",
    query: Annotated[str | None, typer.Option(help="Of which query the trace is. [the slowest that fits]")] = None,
    configuration: Annotated[str | None, typer.Option(help="Of which configuration the trace is.")] = None,
    round_: Annotated[int | None, typer.Option("--round", help="Of which round the trace is.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Print everything, not only what fits on a screen.")] = False,
    definitions: Annotated[
        bool, typer.Option("--definitions", help="Print how each figure is defined, and nothing else.")
    ] = False,
) -> None:
    """Make a run's report again from its folder, without any server."""
    with errors_as_messages():
        if definitions:
            from rich.console import Console

            from punie_trace.report.console import print_facts
            from punie_trace.report.run_document import definitions as all_definitions

            print_facts(all_definitions(), Console())
            raise typer.Exit(0)
        if folder is None:
            raise ConfigurationError("report needs the folder of a run, such as runs/<id>")
        code = report_command(folder, form, query=query, configuration=configuration, round_=round_, full=full)
    raise typer.Exit(code)


def report_command(
    folder: Path,
    form: str,
    *,
    query: str | None = None,
    configuration: str | None = None,
    round_: int | None = None,
    full: bool = False,
) -> int:
    """Shows the run in the form asked for; returns 4 where a ledger does not close, else 0.

    `query`, `configuration` and `round_` choose the query of a trace; of those that fit it is the slowest.
    """
    from punie_trace import read_run
    from punie_trace.report.registry import ReportSource, exports

    known = exports()
    if form != CONSOLE and form not in known:
        raise ConfigurationError(f"there is no format {form!r}; {nearest(form, [CONSOLE, *known])}")
    of_one_query = form in known and known[form].of_one_query
    if not of_one_query and (query, configuration, round_) != (None, None, None):
        traces = " or ".join(name for name, one in known.items() if one.of_one_query)
        raise ConfigurationError(
            f"--query, --configuration and --round choose one trace, for --format {traces}; "
            f"{form!r} is of the whole run"
        )
    run = read_run(folder)
    if form == CONSOLE:
        from rich.console import Console

        show_report(run, Console(), full=full)
        return LedgerError.exit_code if run.summary.ledger_errors else 0
    source = ReportSource(run.record, query, configuration, round_)
    known[form].write(source, sys.stdout)
    # Rows and traces are written without the summary, which is then not worth making.
    return LedgerError.exit_code if "summary" in vars(source) and source.summary.ledger_errors else 0


def show_report(run: Run, console: Console, *, full: bool = False) -> None:
    """Prints a screen, or everything, and writes `summary.json` and `report.html` into the run's folder."""
    from punie_trace.report.console import print_document
    from punie_trace.report.run_document import run_document

    print_document(run_document(run.summary, run.folder), console, full=full)
    try:
        run.write_summary()
        page = run.write_report()
    except RunFolderError as error:  # a full disk must not cost what can be shown
        console.print(f"\n{error}", markup=False, highlight=False, soft_wrap=True)
    else:
        hint = "" if full else "; --full prints all figures, 'punie-trace report --definitions' what they mean"
        console.print(f"\nwith every query: {page}{hint}", markup=False, highlight=False, soft_wrap=True)
