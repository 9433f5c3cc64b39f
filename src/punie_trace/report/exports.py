"""The package's own formats of `report --format`, each registered under its name."""

from __future__ import annotations

from typing import TextIO

from punie_trace.report.markdown import document_markdown
from punie_trace.report.outcomes_csv import write_outcomes_csv
from punie_trace.report.outcomes_parquet import write_outcomes_parquet
from punie_trace.report.page import html_report, write_html
from punie_trace.report.registry import ReportSource, register_export
from punie_trace.report.run_document import run_document
from punie_trace.report.summary_json import summary_text, write_summary
from punie_trace.report.trace_json import choose, perfetto_text, speedscope_text
from punie_trace.report.turns_csv import write_turns_csv


def _html(source: ReportSource, out: TextIO) -> None:
    write_summary(source.run.folder, source.summary)
    print(write_html(source.run.folder, html_report(source.run, source.summary, source.observed)), file=out)


def _json(source: ReportSource, out: TextIO) -> None:
    write_summary(source.run.folder, source.summary)
    out.write(summary_text(source.summary))


def _markdown(source: ReportSource, out: TextIO) -> None:
    out.write(document_markdown(run_document(source.summary, source.run.folder)))


def _csv(source: ReportSource, out: TextIO) -> None:
    write_outcomes_csv(source.run, out)


def _turns(source: ReportSource, out: TextIO) -> None:
    write_turns_csv(source.run, out)


def _parquet(source: ReportSource, out: TextIO) -> None:
    print(write_outcomes_parquet(source.run), file=out)


def _speedscope(source: ReportSource, out: TextIO) -> None:
    chosen = choose(source.run, source.query, source.configuration, source.round)
    out.write(speedscope_text(source.run, chosen))


def _perfetto(source: ReportSource, out: TextIO) -> None:
    chosen = choose(source.run, source.query, source.configuration, source.round)
    out.write(perfetto_text(source.run, chosen))


register_export("html", _html, "a page of its own, written beside the run")
register_export("json", _json, "all figures, as summary.json holds them")
register_export("markdown", _markdown, "for a pull request or an issue")
register_export("csv", _csv, "a row for each query")
register_export("turns-csv", _turns, "a row for each turn of sessions")
register_export("parquet", _parquet, "the same rows, typed, written beside the run")
register_export("speedscope", _speedscope, "the spans of one query for speedscope.app", of_one_query=True)
register_export("perfetto", _perfetto, "the spans of one query for ui.perfetto.dev", of_one_query=True)
