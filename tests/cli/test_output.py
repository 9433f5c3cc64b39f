"""What is printed decides nothing: neither what is measured nor the exit code."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from punie_trace.report.standard_streams import ForgivingStream
from punie_trace.runs.reader import read_run
from tests.cli.conftest import GOOD, Bench
from tests.synthetic_run import ARMS, write_run

PROGRAM = (sys.executable, "-m", "punie_trace")
FULL = Path("/dev/full")


def broken_pipe() -> int:
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_run_whose_output_cannot_be_written_is_measured_to_its_end(bench: Bench) -> None:
    toml = f"warm_up = 0\nrounds = 1\n[configurations.baseline]\n{bench.server(GOOD)}"
    command = [*PROGRAM, *bench.flags(toml), "--path", "http"]
    writing = broken_pipe()
    with FULL.open("w") as full:
        done = subprocess.run(command, stdout=writing, stderr=full, cwd=bench.folder, timeout=100, check=False)
    os.close(writing)
    assert done.returncode == 0
    run = read_run(bench.out)
    assert (run.header.status, len(run.outcomes)) == ("done", 2)
    assert (bench.out / "report.html").is_file()


def test_a_closed_standard_error_ends_no_command(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", ARMS)
    code = f"import os; os.close(2); os.execv({sys.executable!r}, {[*PROGRAM, 'report', str(folder)]!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0
    assert "speculative-3" in done.stdout


def test_a_reader_that_has_seen_enough_does_not_change_the_exit_code(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", ARMS)
    writing = broken_pipe()
    command = [*PROGRAM, "compare", str(folder), "--gate", "speculative-3.speedup > 1.2"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=100, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_what_could_not_be_shown_is_said_without_a_traceback(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", ARMS)
    with FULL.open("w") as full:
        done = subprocess.run(
            [*PROGRAM, "report", str(folder), "--format", "csv"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 0
    assert done.stderr.startswith("error: not all could be written to standard output")
    assert len(done.stderr.splitlines()) == 1


def test_a_stream_goes_silent_at_its_first_problem() -> None:
    class Fails(io.StringIO):
        calls = 0

        def write(self, text: str, /) -> int:
            self.calls += 1
            raise OSError(28, "No space left on device")

    inner = Fails()
    stream = ForgivingStream(inner)
    assert stream.write("one") == 3
    stream.write("two")
    stream.flush()
    assert (inner.calls, isinstance(stream.problem, OSError)) == (1, True)
    with pytest.raises(TypeError):
        stream.write(b"bytes")  # ty: ignore[invalid-argument-type]


def test_a_stream_that_is_not_there_takes_everything() -> None:
    stream = ForgivingStream(None)
    assert stream.write("text") == 4
    stream.flush()
    stream.abandon()
    assert not stream.isatty()
    with pytest.raises(OSError, match="no such stream"):
        stream.fileno()


def test_what_a_terminal_has_no_sign_for_is_written_escaped() -> None:
    raw = io.BytesIO()
    stream = ForgivingStream(io.TextIOWrapper(raw, encoding="ascii"))
    stream.write("12 µs\n")
    stream.flush()
    assert raw.getvalue() == rb"12 \xb5s" + b"\n"
