"""`punie-trace report`: a run's summary and tables, made again from its folder."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from punie_trace.analysis.summary import Summary, summarize
from punie_trace.errors import ConfigurationError, nearest
from punie_trace.report.console import print_report
from punie_trace.report.markdown import run_markdown
from punie_trace.report.outcomes_csv import write_outcomes_csv
from punie_trace.report.summary_json import summary_text, write_summary
from punie_trace.runfile import read_run

FORMATS = ("console", "json", "markdown", "csv")


def report_command(folder: Path, form: str) -> None:
    """Shows the run in the form asked for; the first two forms also write `summary.json` anew."""
    if form not in FORMATS:
        raise ConfigurationError(f"there is no format {form!r}; {nearest(form, FORMATS)}")
    if form == "json":
        summary = summarize(read_run(folder))
        write_summary(folder, summary)
        print(summary_text(summary), end="")  # noqa: T201
    elif form == "markdown":
        print(run_markdown(summarize(read_run(folder)), folder), end="")  # noqa: T201
    elif form == "csv":
        write_outcomes_csv(read_run(folder), sys.stdout)
    else:
        show_report(folder, Console())


def show_report(folder: Path, console: Console) -> Summary:
    """Summarizes the run in `folder`, writes `summary.json`, and prints the tables."""
    summary = summarize(read_run(folder))
    write_summary(folder, summary)
    print_report(summary, console, folder)
    return summary
