from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.records import Verdict
from punie_trace.report.outcomes_csv import COLUMNS, inert, write_outcomes_csv
from punie_trace.runs.reader import read_run
from tests.synthetic_run import QUERIES, Arm, write_run


def rows_of(folder: Path) -> list[dict[str, str]]:
    file = io.StringIO(newline="")
    count = write_outcomes_csv(read_run(folder), file)
    file.seek(0)
    rows = list(csv.DictReader(file))
    assert len(rows) == count
    return rows


def test_every_outcome_is_a_row_in_the_order_asked_with_its_ledger(tmp_path: Path) -> None:
    rows = rows_of(write_run(tmp_path / "r"))
    assert [int(row["seq"]) for row in rows] == list(range(60))
    assert list(rows[0]) == list(COLUMNS)
    for row in rows:
        lines = sum(float(row[f"{line}_ms"]) for line in ("client_queue", "generation", "tool", "framework"))
        assert lines == pytest.approx(float(row["wall_ms"]), abs=1e-6)
    assert (rows[0]["configuration"], rows[0]["query"], rows[0]["tools"]) == ("baseline", "django-views", "search_code")


def test_what_was_not_observed_is_empty_and_not_zero(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", {"only": Arm(tokens_reported=False)})
    first = rows_of(folder)[0]
    assert (first["ttft_ms"], first["output_tokens"], first["error"]) == ("", "", "")  # a tool call is held back whole
    (folder / "spans.jsonl").unlink()
    assert rows_of(folder)[0]["generation_ms"] == ""


def test_texts_of_a_model_are_no_formulas(tmp_path: Path) -> None:
    name = QUERIES[2].name
    arm = Arm(
        answers={name: '=HYPERLINK("http://x","y")\nnext, "line"'},
        verdicts={(name, 0): Verdict.ERROR},
        errors={(name, 0): "@SUM(1)\x1b[2J\x00"},
    )
    row = next(row for row in rows_of(write_run(tmp_path / "r", {"only": arm})) if row["query"] == name)
    assert row["answer"] == '\'=HYPERLINK("http://x","y")\nnext, "line"'
    assert row["error"] == "'@SUM(1) [2J "
    assert (row["verdict"], row["correct"]) == ("error", "0")


@given(st.text())
def test_no_text_is_a_formula_or_controls_a_terminal(value: str) -> None:
    cell = inert(value)
    assert isinstance(cell, str)
    assert not cell.strip().startswith(("=", "+", "-", "@"))
    assert all(char.isprintable() or char in "\n\t" for char in cell)
    cell.encode("utf-8")


def test_numbers_stay_numbers() -> None:
    assert [inert(value) for value in (-1, -0.5, None)] == [-1, -0.5, None]
