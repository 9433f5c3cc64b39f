from __future__ import annotations

import sys
from pathlib import Path

import pytest

from punie_trace.errors import ConfigurationError
from punie_trace.report.outcomes_csv import COLUMNS
from punie_trace.report.outcomes_parquet import PARQUET_FILE, write_outcomes_parquet
from punie_trace.runs.reader import read_run
from tests.synthetic_run import QUERIES, Arm, write_run


def test_every_outcome_is_a_typed_row(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow, an extra, is not installed here")
    formula = '=HYPERLINK("x")\ud800'
    folder = write_run(tmp_path / "r", {"only": Arm(answers={QUERIES[0].name: formula})}, rounds=2)
    path = write_outcomes_parquet(read_run(folder))
    assert path == folder / PARQUET_FILE
    read = parquet.read_table(path)
    rows = read.to_pylist()
    assert read.column_names == list(COLUMNS)
    assert [row["seq"] for row in rows] == list(range(10))
    assert rows[0]["correct"] is True
    assert rows[0]["answer"] == '=HYPERLINK("x")?'  # exact, but for what UTF-8 has no form for
    assert rows[0]["ttft_ms"] is None
    assert isinstance(rows[0]["wall_ms"], float)


def test_without_pyarrow_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = read_run(write_run(tmp_path / "r", {"only": Arm()}, rounds=1))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'punie-trace\[parquet\]'"):
        write_outcomes_parquet(run)
