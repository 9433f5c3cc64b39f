"""A row for each turn of a run's sessions, whose ledger closes and which joins the outcomes."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from punie_trace.report.turns_csv import TURN_COLUMNS, write_turns_csv
from punie_trace.runs.reader import RunRecord, read_run
from tests.analysis.test_turns import C, Talk, W

DONE = Path(__file__).parents[1] / "runs" / "folders" / "done"


def rows_of(run: RunRecord) -> list[dict[str, str]]:
    file = io.StringIO(newline="")
    count = write_turns_csv(run, file)
    file.seek(0)
    rows = list(csv.DictReader(file))
    assert len(rows) == count
    return rows


def test_every_turn_is_a_row_with_its_ledger_and_its_context() -> None:
    talk = Talk().turn(10, 100, 0).turn(20, 200, 90, W).turn(30, 300, 190, C)
    run = replace(read_run(DONE), outcomes=(talk.outcome(),))
    run.__dict__["traces"] = {"ab" * 16: tuple(talk.whole())}
    rows = rows_of(run)
    assert list(rows[0]) == list(TURN_COLUMNS)
    assert [(row["seq"], row["turn"], row["verdict"]) for row in rows] == [
        ("0", "1", "correct"), ("0", "2", "wrong-answer"), ("0", "3", "correct"),
    ]  # fmt: skip
    for row in rows:
        lines = sum(float(row[f"{line}_ms"]) for line in ("client_queue", "generation", "tool", "framework"))
        assert lines == pytest.approx(float(row["wall_ms"]))
    assert [(row["prompt_tokens"], row["prompt_cached_tokens"]) for row in rows] == [
        ("100", "0"), ("200", "90"), ("300", "190"),
    ]  # fmt: skip


def test_a_run_without_sessions_has_the_header_alone() -> None:
    assert rows_of(read_run(DONE)) == []
