"""`punie-trace report`: a run's summary and tables, made again from its folder."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from punie_trace.analysis.summary import Summary, summarize
from punie_trace.errors import ConfigurationError, nearest
from punie_trace.report.console import print_report
from punie_trace.report.summary_json import summary_text, write_summary
from punie_trace.runfile import read_run

FORMATS = ("console", "json")


def report_command(folder: Path, form: str) -> None:
    """Writes `summary.json` anew and shows the run in the form asked for."""
    if form not in FORMATS:
        raise ConfigurationError(f"there is no format {form!r}; {nearest(form, FORMATS)}")
    if form == "json":
        summary = summarize(read_run(folder))
        write_summary(folder, summary)
        print(summary_text(summary), end="")  # noqa: T201
    else:
        show_report(folder, Console())


def show_report(folder: Path, console: Console) -> Summary:
    """Summarizes the run in `folder`, writes `summary.json`, and prints the tables."""
    summary = summarize(read_run(folder))
    write_summary(folder, summary)
    print_report(summary, console, folder)
    return summary
