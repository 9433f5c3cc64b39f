"""`punie-trace report`: a run's summary, tables and page, made again from its folder."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from punie_trace.analysis.summary import Summary
from punie_trace.errors import ConfigurationError, LedgerError, RunFolderError, nearest
from punie_trace.report.console import print_document
from punie_trace.report.page import html_report, write_html
from punie_trace.report.registry import ReportSource, exports
from punie_trace.report.run_document import run_document
from punie_trace.report.summary_json import write_summary
from punie_trace.runs.reader import RunRecord, read_run

CONSOLE = "console"


def report_command(
    folder: Path, form: str, *, query: str | None = None, configuration: str | None = None, round_: int | None = None
) -> int:
    """Shows the run in the form asked for, and writes `summary.json` anew where it was made for that.

    `query`, `configuration` and `round_` choose the query of a trace; of those that fit it is the slowest. Returns 4
    where a ledger does not close, else 0.
    """
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
    if form == CONSOLE:
        return _code(show_report(read_run(folder), Console()))
    source = ReportSource(read_run(folder), query, configuration, round_)
    known[form].write(source, sys.stdout)
    # Rows and traces are written without the summary, which is then not worth making.
    return _code(source.summary) if "summary" in vars(source) else 0


def _code(summary: Summary) -> int:
    return LedgerError.exit_code if summary.ledger_errors else 0


def show_report(run: RunRecord, console: Console) -> Summary:
    """Summarizes the run, writes `summary.json`, prints the tables, and writes `report.html`."""
    folder = run.folder
    source = ReportSource(run)
    print_document(run_document(source.summary, folder), console)
    try:
        write_summary(folder, source.summary)
        page = write_html(folder, html_report(run, source.summary, source.observed))
    except RunFolderError as error:  # a full disk must not cost what can be shown
        console.print(f"\n{error}", markup=False, highlight=False, soft_wrap=True)
    else:
        console.print(f"\nwith every query, its spans and texts: {page}", markup=False, highlight=False, soft_wrap=True)
    return source.summary
