from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from punie_trace.errors import RunFolderError
from punie_trace.runs.header import ConfigurationRecord, ServerRecord
from punie_trace.runs.reader import read_run
from punie_trace.runs.writer import RunWriter, new_run_id
from tests.synthetic_run import make_header


def test_the_writer_changes_its_header_as_things_happen(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "r", make_header()) as writer:
        writer.server_ready("plain", ServerRecord(identity={"model": "m"}, blas="reference"))
        writer.write_memory("plain", 500, "peak resident set")
        writer.write_memory("plain", 400)
        writer.configuration_ready("slow", ConfigurationRecord(path="http", server="plain", kind="mlx_lm"))
        writer.configuration_failed("broken", "no weights")
        writer.add_note("a note")
        writer.add_note("a note")
        writer.add_finding("a finding")
    header = read_run(tmp_path / "r").header
    assert header == writer.header
    server = header.servers["plain"]
    assert (server.memory_peak_bytes, server.memory_kind, server.blas) == (500, "peak resident set", "reference")
    assert header.names == ("slow", "broken")
    assert header.baseline_name == "slow"
    assert (header.notes, header.findings, header.status) == (("a note",), ("a finding",), "running")
    assert not list((tmp_path / "r").glob(".*.tmp"))


def test_whoever_was_ready_first_they_are_shown_in_order(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "r", make_header()) as writer:
        for name in ("earlier", "late", "soon"):
            writer.server_ready(f"of {name}", ServerRecord())
            writer.configuration_ready(name, ConfigurationRecord(path="http", server=f"of {name}", kind="mlx_lm"))
        writer.in_order(["soon", "failed", "late"], ["of soon", "of failed", "of late"])
    header = read_run(tmp_path / "r").header
    assert list(header.configurations) == ["earlier", "soon", "late"]
    assert list(header.servers) == ["of earlier", "of soon", "of late"]


def test_a_folder_with_anything_in_it_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(RunFolderError, match=r"not empty.*--out"):
        RunWriter(tmp_path, make_header())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    RunWriter(tmp_path, make_header()).close()
    assert read_run(tmp_path).header == make_header()


def test_a_file_in_the_folders_place_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RunFolderError, match="--out"):
            RunWriter(folder, make_header())


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="a place where not even root may write")
def test_a_place_that_cannot_be_written_is_a_clear_error() -> None:
    with pytest.raises(RunFolderError, match="cannot make the run folder"):
        RunWriter(Path("/proc/run"), make_header())


FULL_DISK = """
import resource, sys
from pathlib import Path
from punie_trace.errors import RunFolderError
from punie_trace.runs.writer import RunWriter
from punie_trace.runs.reader import read_run
from tests.synthetic_run import make_header
from tests.runs.test_outcome_line import OUTCOME
from dataclasses import replace

writer = RunWriter(Path(sys.argv[1]), make_header())
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
try:
    for seq in range(100):
        writer.append_outcome(replace(OUTCOME, seq=seq))
except RunFolderError as error:
    print(writer.outcomes_written, error)
try:
    writer.add_note("x" * 6000)
except RunFolderError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.append_outcome(replace(OUTCOME, seq=100))
"""


def test_a_disk_that_is_full_keeps_what_was_written(tmp_path: Path) -> None:
    """A limit on the size of files fails the write in the middle of a line, just as a full disk does."""
    folder = tmp_path / "r"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(folder)], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    first, second = done.stdout.splitlines()
    written = int(first.split()[0])
    assert written > 3
    assert "the disk is full" in first
    assert f"The {written} outcomes before it are kept" in first
    assert "while writing run.json" in second
    run = read_run(folder)
    # Nothing of the line that did not fit is left, so that a later one stands on its own.
    assert [outcome.seq for outcome in run.outcomes] == [*range(written), 100]
    assert run.header.notes == run.problems == ()


def test_run_ids_sort_by_time_whatever_the_zone() -> None:
    early = datetime(2026, 11, 21, 14, 22, 33, tzinfo=UTC)
    late = datetime(2026, 11, 21, 10, 0, 0, tzinfo=timezone(timedelta(hours=-8)))
    assert new_run_id(early).startswith("20261121-142233-")
    assert new_run_id(early) < new_run_id(late)
    assert len({new_run_id(early) for _ in range(20)}) > 1
