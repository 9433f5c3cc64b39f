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
from punie_trace.report.units import duration, memory, share, span
from punie_trace.runs.reader import read_run
from tests.synthetic_run import ARMS, QUERIES, Arm, write_run


def summary_of(folder: Path, arms: dict[str, Arm], **how: object) -> Summary:
    return summarize(read_run(write_run(folder, arms, **how)))  # ty: ignore[invalid-argument-type]


def printed(summary: Summary, width: int, *, terminal: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system="truecolor" if terminal else None)
    print_document(run_document(summary, Path("runs/one")), console)
    return file.getvalue()


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return summary_of(tmp_path_factory.mktemp("runs") / "r", ARMS)


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_no_line_is_too_wide_cut_off_or_padded(summary: Summary, width: int) -> None:
    text = printed(summary, width)
    for line in text.splitlines():
        assert len(line) <= width
        assert line == line.rstrip()
    assert "…" not in text
    assert "\x1b" not in text


def test_it_shows_what_the_issue_of_speed_turns_on(summary: Summary) -> None:
    text = printed(summary, 80)
    for part in (
        "discrimination: 5 queries x 3 rounds",
        "demo-target",
        "openblas",
        "runs/one",
        "cannot tell",
        "5/5 (57-100%)",
        "'always a tool' could get 3/5 right",
        "312 MiB*",
        "81.4 ms (6/6)",
        "server queue not observable",
        "reaches 94%",
        "speculative-3 answered 2 of 5 queries differently",
        "Generation is 99% of a query's time",
    ):
        assert part in text
    row = next(line for line in text[text.index("\nSpeed") :].splitlines() if line.startswith("speculative-3"))
    assert row.split()[-1] == "faster"


def test_two_tables_become_one_where_they_fit(summary: Summary) -> None:
    assert "Speed; accuracy" in printed(summary, 120)
    narrow = printed(summary, 80)
    assert "\nSpeed\n" in narrow
    assert "\nAccuracy\n" in narrow


def test_what_the_model_or_server_wrote_is_neither_markup_nor_obeyed(tmp_path: Path) -> None:
    broken = Arm(
        verdicts={("orm-or-sql", 1): Verdict.ERROR},
        errors={("orm-or-sql", 1): "\x1b[2J[red]status 500[/red]\nnext"},
    )
    text = printed(summary_of(tmp_path / "r", {"baseline": broken}), 120)
    assert "[red]status 500[/red] next" in text
    assert "\x1b" not in text


def test_long_names_are_folded_and_not_cut(tmp_path: Path) -> None:
    name = "a-configuration-with-a-very-long-name-indeed"
    text = printed(summary_of(tmp_path / "r", {"baseline": Arm(), name: Arm()}), 80)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_was_not_seen_is_said_and_not_guessed(tmp_path: Path) -> None:
    queries = tuple(query for query in QUERIES if query.expected == "tool")
    arms = {"only": Arm(draft=True, progress=False)}
    text = printed(summary_of(tmp_path / "r", arms, queries=queries, failures={"broken": "no weights"}), 80)
    assert "not observable" in next(
        line for line in text[text.index("\nWork") :].splitlines() if line.startswith("only")
    )
    assert "failed" in next(line for line in text.splitlines() if line.startswith("broken"))
    assert "broken failed: no weights" in text


def test_a_run_of_nothing_prints_and_says_so(tmp_path: Path) -> None:
    assert "Nothing was measured" in printed(summary_of(tmp_path / "r", {}), 80)


def test_a_terminal_gets_colour(summary: Summary) -> None:
    assert "\x1b[" in printed(summary, 120, terminal=True)


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0.4, "0.40 ms"), (9.96, "10.0 ms"), (127.4, "127 ms"), (999.6, "1.00 s"), (25_300, "25.3 s"), (214_000, "214 s")],
)
def test_durations(ms: float, text: str) -> None:
    assert duration(ms) == text


def test_spans_write_a_shared_unit_once() -> None:
    assert span(635, 944, duration) == "(635-944 ms)"
    assert span(504, 1070, duration) == "(504 ms-1.07 s)"
    assert span(0.5655, 1, share) == "(57-100%)"
    assert span(None, 1, share) == ""


def test_memory() -> None:
    assert memory(312 * 2**20) == "312 MiB"
    assert memory(20 * 2**30) == "20.0 GiB"
