from __future__ import annotations

from pathlib import Path

import pytest

from punie_trace.errors import RunFolderError
from punie_trace.runs.header import RunHeader
from punie_trace.runs.reader import read_run
from punie_trace.runs.writer import RunWriter
from tests.synthetic_run import ARMS, make_header, write_run


def test_a_run_comes_back_as_it_was_written(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "runs" / "one"))
    assert [outcome.seq for outcome in run.outcomes] == list(range(5 * 3 * len(ARMS)))
    assert run.header.names == tuple(ARMS)
    assert run.header.status == "done"
    assert run.header.ended is not None
    assert run.header.servers["plain"].memory_peak_bytes == 248 * 2**20
    assert run.header.suite == make_header().suite
    assert set(run.traces) == {outcome.trace_id for outcome in run.outcomes}
    assert run.problems == run.span_problems == ()


@pytest.mark.parametrize("keep", [0, 1, 40, -1, -2])
def test_a_run_killed_within_a_line_is_readable_up_to_it(tmp_path: Path, keep: int) -> None:
    folder = write_run(tmp_path / "r", first=7, status="running")
    for name in ("outcomes.jsonl", "spans.jsonl"):
        lines = (folder / name).read_bytes().splitlines(keepends=True)
        (folder / name).write_bytes(b"".join(lines[:-1]) + lines[-1][:keep])
    run = read_run(folder)
    whole = 7 if keep == -1 else 6  # without its line end a line is still whole
    assert len(run.outcomes) == whole
    assert len(run.problems) == (0 if keep in (0, -1) else 1)
    assert len(run.span_problems) == (0 if keep in (0, -1) else 1)
    assert run.header.status == "running"


def test_a_run_killed_before_its_first_outcome_is_readable(tmp_path: Path) -> None:
    RunWriter(tmp_path / "r", make_header()).close()
    (tmp_path / "r" / "outcomes.jsonl").unlink()
    run = read_run(tmp_path / "r")
    assert run.outcomes == run.spans == ()


def test_a_line_changed_in_the_middle_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", first=3)
    path = folder / "outcomes.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:30], lines[2]]) + "\n")
    with pytest.raises(RunFolderError, match=r"outcomes\.jsonl:2"):
        read_run(folder)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is not a run"),
        ("{", "is not JSON"),
        ("[]", "schema version None"),
        ('{"schema_version": 99}', "schema version 99"),
        ('{"schema_version": 1}', "not whole"),
    ],
)
def test_a_folder_that_is_no_run_is_a_clear_error(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunFolderError, match=says):
        read_run(tmp_path)


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no such folder"):
        read_run(tmp_path / "gone")


def test_a_header_takes_only_what_it_knows() -> None:
    with pytest.raises(ValueError, match="rounds"):
        RunHeader.model_validate({**dict(make_header()), "rounds": 0})


def test_of_many_spans_those_of_whole_queries_are_read_from_all_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_run(tmp_path / "r")
    every = read_run(folder).traces
    size = (folder / "spans.jsonl").stat().st_size
    monkeypatch.setattr("punie_trace.runs.reader.MOST_SPAN_BYTES", size // 2)
    some = read_run(folder)
    assert 0 < len(some.traces) < len(every)
    assert all(some.traces[trace_id] == every[trace_id] for trace_id in some.traces)
    assert "spread evenly over the run" in some.span_problems[0]
    seqs = [one.seq for one in some.outcomes if one.trace_id in some.traces]
    assert min(seqs) < 20
    assert max(seqs) > 40
