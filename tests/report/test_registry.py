"""A column and a format added from outside the package, by one line each, and where they then stand."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TextIO

import pytest
from rich.console import Console

from punie_trace.cli.report_command import report_command
from punie_trace.errors import ConfigurationError
from punie_trace.report import registry
from punie_trace.report.console import print_document
from punie_trace.report.markdown import document_markdown
from punie_trace.report.page import html_report
from punie_trace.report.registry import SCREEN, ReportSource, columns, exports, register_column, register_export
from punie_trace.report.run_document import run_document
from punie_trace.runs.reader import read_run
from tests.synthetic_run import write_run


@pytest.fixture(autouse=True)
def _only_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_columns", {(one.group, one.title): one for one in columns()})
    monkeypatch.setattr(registry, "_exports", exports())


def printed(source: ReportSource) -> str:
    file = io.StringIO()
    print_document(run_document(source.summary), Console(file=file, width=100))
    return file.getvalue()


def test_a_column_of_one_line_stands_in_console_markdown_and_page(tmp_path: Path) -> None:
    source = ReportSource(read_run(write_run(tmp_path / "r")))
    register_column("Work", "calls a query", lambda row: f"{row.figures.tool_calls_per_query:.2f} calls")
    shown = printed(source), document_markdown(run_document(source.summary)), html_report(source.run, source.summary)
    for text in shown:
        assert "calls a query" in text
        assert text.count("0.60 calls") == len(source.summary.configurations)


def test_a_column_of_a_new_group_is_a_table_of_its_own(tmp_path: Path) -> None:
    source = ReportSource(read_run(write_run(tmp_path / "r")))
    register_column("Paths", "path", lambda row: row.figures.path or "none", numeric=False)
    text = printed(source)
    assert "paths" in text[text.index("Speed") :].lower()


def test_a_column_of_the_screen_stands_on_the_screen(tmp_path: Path) -> None:
    source = ReportSource(read_run(write_run(tmp_path / "r")))
    register_column(SCREEN, "on one screen", lambda row: "here")
    file = io.StringIO()
    print_document(run_document(source.summary), Console(file=file, width=200), full=False)
    assert "on one screen" in file.getvalue()


def test_a_format_of_one_line_is_a_name_for_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "r")
    register_export("verdicts", lambda source, out: print(len(source.summary.comparisons), "compared", file=out))
    assert report_command(folder, "verdicts") == 0
    assert capsys.readouterr().out == "3 compared\n"


def test_a_format_of_one_query_is_given_the_choice_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def write(source: ReportSource, out: TextIO) -> None:
        out.write(f"{source.query} {source.configuration} {source.round}")

    register_export("one", write, of_one_query=True)
    report_command(write_run(tmp_path / "r"), "one", query="async-await", configuration="baseline", round_=1)
    assert capsys.readouterr().out == "async-await baseline 1"


def test_a_name_that_is_taken_and_one_that_is_unknown_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'Speed' has a column 'p95' already"):
        register_column("Speed", "p95", lambda row: "")
    with pytest.raises(ConfigurationError, match="a format 'json' already"):
        register_export("json", lambda source, out: None)
    with pytest.raises(ConfigurationError, match="did you mean 'json'"):
        registry.export_named("jason")
