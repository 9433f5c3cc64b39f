"""What a person sees at the end of a run: one screen, whatever the terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from punie_trace.analysis.figures import Summary
from punie_trace.analysis.summary import summarize
from punie_trace.records import Verdict
from punie_trace.report.console import print_document
from punie_trace.report.run_document import run_document
from punie_trace.runs.reader import read_run
from tests.synthetic_run import ARMS, QUERIES, Arm, write_run


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return summarize(read_run(write_run(tmp_path_factory.mktemp("runs") / "r", ARMS)))


def screen(summary: Summary, width: int, *, terminal: bool = False, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    console = Console(file=file, width=width, force_terminal=terminal, color_system="truecolor" if terminal else None)
    print_document(run_document(summary, Path("runs/one")), console, full=False)
    file.seek(0)
    return file.read()


def row_of(name: str, text: str) -> str:
    """The line of a configuration in the table."""
    return next(line for line in text[text.index("Configurations") :].splitlines() if line.startswith(name))


@pytest.mark.parametrize("width", [40, 80, 120])
def test_it_fits_any_width_without_colour_or_terminal(summary: Summary, width: int) -> None:
    text = screen(summary, width)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert "\u2026" not in text
    words = " ".join(text.split())
    for part in (
        "speculative-3 is 1.72x as fast as baseline (1.67-1.77), at the same accuracy (5 of 5 right).",
        "Configurations",
        "Where the time goes",
        "Findings",
        "Advice",
    ):
        assert part in words
    for name in summary.configurations:
        assert name in text


def test_at_eighty_columns_it_is_one_table_and_less_than_fifty_lines(summary: Summary) -> None:
    text = screen(summary, 80)
    assert text.count("Configurations") == 1
    assert len(text.splitlines()) < 50
    assert row_of("speculative-3", text).split() == [
        "speculative-3", "5/5", "536", "ms", "1.72x", "(1.67-1.77)", "faster", "81.4", "ms", "159", "312", "MiB*",
    ]  # fmt: skip


def test_what_is_not_on_it_is_in_the_report_in_full(summary: Summary) -> None:
    text = screen(summary, 80)
    for title in ("Definitions", "By category", "p95", "memory is", "A generation"):
        assert title not in text
    file = io.StringIO()
    print_document(run_document(summary), Console(file=file, width=80), full=True)
    for title in ("Definitions", "By category", "p95", "memory is", "A generation"):
        assert title in file.getvalue()


def test_bars_of_the_ledger_are_as_long_as_the_times(summary: Summary) -> None:
    lines = screen(summary, 80).splitlines()
    bars = {
        line.split()[0]: sum(line.count(one) for one in "\u2588\u2593\u2592\u2591")
        for line in lines
        if "\u2588" in line
    }
    walls = {name: one.ledger_ms.wall for name, one in summary.configurations.items() if one.ledger_ms is not None}
    for name, wall in walls.items():
        assert bars[name] / max(bars.values()) == pytest.approx(wall / max(walls.values()), abs=0.03)


def test_a_terminal_without_blocks_gets_letters(summary: Summary) -> None:
    text = screen(summary, 80, encoding="ascii")
    assert text.isascii()
    assert "####" in text
    assert "# generation" in text


def test_a_terminal_gets_colour_and_the_same_words(summary: Summary) -> None:
    coloured = screen(summary, 100, terminal=True)
    assert "\x1b[" in coloured


def test_it_holds_five_findings_at_most_the_gravest_first(tmp_path: Path) -> None:
    wrong = {(query.name, round_): Verdict.WRONG_ANSWER for query in QUERIES[:1] for round_ in range(3)}
    failed = {("orm-or-sql", round_): Verdict.ERROR for round_ in range(3)}
    arms = {"baseline": Arm()} | {
        f"arm-{n}": Arm(verdicts=wrong if n else failed, answers={QUERIES[n].name: f"Else {n}."}, cached=10 * n + 300)
        for n in range(5)
    }
    folder = write_run(tmp_path / "r", arms, failures={"broken": "no weights"}, status="ended-early")
    summary = summarize(read_run(folder))
    assert len(summary.findings) > 5
    text = screen(summary, 120)
    findings = text[text.index("\nFindings") : text.index("\nAdvice")]
    assert findings.count("\n- ") == 6
    assert findings.splitlines()[2].startswith("- broken failed: no weights")
    assert f"- and {len(summary.findings) - 5} more: --full shows them all" in findings


def test_times_of_what_went_wrong_say_of_how_many_they_are(tmp_path: Path) -> None:
    arms = {"baseline": Arm(verdicts={("orm-or-sql", 0): Verdict.ERROR})}
    text = screen(summarize(read_run(write_run(tmp_path / "r", arms))), 80)
    assert " of 14/15 " in row_of("baseline", text)
    assert "1 of 15 queries ended in an error or a timeout" in " ".join(text.split())
