from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from punie_trace.analysis.summary import summarize
from punie_trace.errors import RunFolderError
from punie_trace.report.summary_json import read_summary, write_summary
from punie_trace.runs.reader import read_run
from tests.synthetic_run import write_run


def test_the_same_folder_gives_the_same_bytes_wherever_it_lies(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r")
    first = write_summary(folder, summarize(read_run(folder))).read_bytes()
    assert write_summary(folder, summarize(read_run(folder))).read_bytes() == first
    moved = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    assert write_summary(moved, summarize(read_run(moved))).read_bytes() == first


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r")
    summary = summarize(read_run(folder))
    write_summary(folder, summary)
    assert read_summary(folder) == summary
    assert not list(folder.glob(".*.tmp"))


def test_it_has_the_names_that_others_build_on(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r")
    values = json.loads(write_summary(folder, summarize(read_run(folder))).read_text())
    base = values["configurations"]["baseline"]
    assert list(values["configurations"]) == ["baseline", "speculative-2", "speculative-3", "speculative-5"]
    assert {"queries", "correct", "accuracy", "wall_ms", "ledger_ms", "tokens", "memory_peak_bytes"} <= set(base)
    assert {"value", "low", "high"} <= set(base["accuracy"])
    assert {"median", "p95", "mean", "low", "high"} <= set(base["wall_ms"])
    assert values["comparisons"][0]["baseline"] == "baseline"


def test_what_cannot_be_read_says_how_to_make_it_again(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="makes it again"):
        read_summary(tmp_path)
    for content, says in (
        ("{", "cannot be read"),
        ('{"schema_version": 9}', "version 9"),
        ('{"schema_version": 1}', "run"),
    ):
        (tmp_path / "summary.json").write_text(content)
        with pytest.raises(RunFolderError, match=says):
            read_summary(tmp_path)


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", first=2)
    summary = summarize(read_run(folder))
    with pytest.raises(RunFolderError, match="The run itself is kept"):
        write_summary(tmp_path / "gone", summary)
