from __future__ import annotations

import re
from pathlib import Path

import pytest

from punie_trace.analysis.contrast import contrast_across, contrast_within
from punie_trace.analysis.gates import parse_gates
from punie_trace.analysis.summary import summarize
from punie_trace.records import Verdict
from punie_trace.report.contrast_document import contrast_document
from punie_trace.report.markdown import document_markdown
from punie_trace.report.run_document import run_document
from punie_trace.runs.reader import RunRecord, read_run
from tests.synthetic_run import ARMS, QUERIES, Arm, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return read_run(write_run(tmp_path_factory.mktemp("runs") / "r"))


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def assert_tables_are_whole(markdown: str) -> None:
    for part in markdown.split("\n\n"):
        lines = part.splitlines()
        if lines and lines[0].startswith("|"):
            assert {len(cells(line)) for line in lines} == {len(cells(lines[0]))}


def test_a_run_is_a_table_that_ends_with_the_command_behind_it(run: RunRecord) -> None:
    shown = document_markdown(run_document(summarize(run), Path("runs/one run")))
    assert_tables_are_whole(shown)
    for part in (
        "### discrimination: 5 queries x 3 rounds, concurrency 1",
        "Linux x86\\_64, Intel Xeon, 2 cores, 8.0 GiB",
        "BLAS: openblas",
        "mlx 0.32.4",
        "model: demo-target",
        "draft: demo-draft",
        "'always a tool' could get 3/5 right",
        "**Findings**",
    ):
        assert part in shown
    rows = [cells(line) for line in shown.splitlines() if line.startswith("| `speculative-3`")]
    assert rows[0][1:5] == ["5/5", "536 ms", "1.72x (1.67-1.77)", "faster"]
    assert rows[0][-1] == "312 MiB\\*"
    assert any(row[1:] == ["5/5 (57-100%)", "same", "3/5", "0/15"] for row in rows)
    assert shown.endswith("```\npunie-trace run\npunie-trace report 'runs/one run' --format markdown\n```\n")


def test_a_comparison_shows_gates_first_and_both_commands_last(run: RunRecord, tmp_path: Path) -> None:
    wrong = {("async-await", round_): Verdict.WRONG_ANSWER for round_ in range(3)}
    second = read_run(write_run(tmp_path / "b", {"baseline": Arm(verdicts=wrong)}, rounds=4))
    contrast = contrast_across(run, second, None, parse_gates(["accuracy == 1", "wall.median < 10s"]))
    shown = document_markdown(contrast_document(contrast, "punie-trace compare a b"))
    assert_tables_are_whole(shown)
    lines = shown.splitlines()
    assert lines[2:5][-1].startswith("| **FAILED** | `accuracy == 1` | failed | `baseline` 80% ")
    assert "- rounds: 3 -\\> 4" in shown
    assert "lost async-await" in shown
    assert shown.endswith("```\npunie-trace run\npunie-trace run\npunie-trace compare a b\n```\n")


def test_one_configuration_has_nothing_to_compare(tmp_path: Path) -> None:
    contrast = contrast_within(read_run(write_run(tmp_path / "r", {"only": Arm()})))
    assert "Nothing to compare" in document_markdown(contrast_document(contrast, "punie-trace compare r"))


def test_hostile_texts_stay_in_their_cells(tmp_path: Path) -> None:
    name = "a|b`<img src=x>\n@x"
    broken = Arm(
        verdicts={(QUERIES[0].name, 0): Verdict.ERROR}, errors={(QUERIES[0].name, 0): "<script>alert(1)</script>"}
    )
    summary = summarize(read_run(write_run(tmp_path / "r", {"baseline": ARMS["baseline"], name: broken})))
    shown = document_markdown(run_document(summary, Path("r")))
    assert_tables_are_whole(shown)
    assert "``a\\|b`<img src=x> @x``" in shown
    assert "<script>" not in shown
