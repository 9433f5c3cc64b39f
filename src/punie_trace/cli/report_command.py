"""`punie-trace report`: a run's summary, tables and page, made again from its folder."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from punie_trace.analysis.observations import observe
from punie_trace.analysis.summary import Summary, summarize
from punie_trace.errors import ConfigurationError, LedgerError, RunFolderError, nearest
from punie_trace.report.console import print_report
from punie_trace.report.html import html_report, write_html
from punie_trace.report.markdown import run_markdown
from punie_trace.report.outcomes_csv import write_outcomes_csv
from punie_trace.report.outcomes_parquet import write_outcomes_parquet
from punie_trace.report.summary_json import summary_text, write_summary
from punie_trace.report.trace_json import choose, perfetto_text, speedscope_text
from punie_trace.runs.reader import RunRecord, read_run

FORMATS = ("console", "html", "json", "markdown", "csv", "parquet", "speedscope", "perfetto")
TRACES = {"speedscope": speedscope_text, "perfetto": perfetto_text}


def report_command(
    folder: Path, form: str, *, query: str | None = None, configuration: str | None = None, round_: int | None = None
) -> int:
    """Shows the run in the form asked for, and writes `summary.json` anew where it was made for that.

    `query`, `configuration` and `round_` choose the query of a trace; of those that fit it is the slowest. Returns 4
    where a ledger does not close, else 0.
    """
    if form not in FORMATS:
        raise ConfigurationError(f"there is no format {form!r}; {nearest(form, FORMATS)}")
    if form not in TRACES and (query, configuration, round_) != (None, None, None):
        raise ConfigurationError(
            f"--query, --configuration and --round choose one trace, for --format {' or '.join(TRACES)}; "
            f"{form!r} is of the whole run"
        )
    if form == "console":
        return _code(show_report(read_run(folder), Console()))
    run = read_run(folder)
    if form == "csv":
        write_outcomes_csv(run, sys.stdout)
        return 0
    if form == "parquet":
        print(write_outcomes_parquet(run))  # noqa: T201
        return 0
    if form in TRACES:
        print(TRACES[form](run, choose(run, query, configuration, round_)), end="")  # noqa: T201
        return 0
    observed = observe(run)
    summary = summarize(run, observed)
    if form == "markdown":
        print(run_markdown(summary, folder), end="")  # noqa: T201
        return _code(summary)
    write_summary(folder, summary)
    if form == "json":
        print(summary_text(summary), end="")  # noqa: T201
    else:
        print(write_html(folder, html_report(run, summary, observed)))  # noqa: T201
    return _code(summary)


def _code(summary: Summary) -> int:
    return LedgerError.exit_code if summary.ledger_errors else 0


def show_report(run: RunRecord, console: Console) -> Summary:
    """Summarizes the run, writes `summary.json`, prints the tables, and writes `report.html`."""
    folder = run.folder
    observed = observe(run)
    summary = summarize(run, observed)
    print_report(summary, console, folder)
    try:
        write_summary(folder, summary)
        page = write_html(folder, html_report(run, summary, observed))
    except RunFolderError as error:  # a full disk must not cost what can be shown
        console.print(f"\n{error}", markup=False, highlight=False, soft_wrap=True)
    else:
        console.print(f"\nwith every query, its spans and texts: {page}", markup=False, highlight=False, soft_wrap=True)
    return summary
