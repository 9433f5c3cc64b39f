from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_trace.errors import RunFolderError
from punie_trace.header import ConfigurationRecord, RunHeader, ServerRecord
from punie_trace.records import Outcome, ToolCall, Verdict
from punie_trace.runfile import RunWriter, decode_outcome, encode_outcome, new_run_id, read_run
from tests.synthetic_run import ARMS, make_header, write_run

OUTCOME = Outcome(
    seq=3,
    round=1,
    configuration="baseline",
    query="q",
    path="agent",
    due_ns=10,
    sent_ns=20,
    done_ns=90,
    verdict=Verdict.CORRECT,
    error=None,
    trace_id="ab" * 16,
    answer="yes",
    tool_calls=(ToolCall("read_file", {"path": "a.py", "lines": [1, 2]}, ok=True),),
    generations=2,
    input_tokens=100,
    output_tokens=None,
    cached_tokens=0,
    ttft_ns=5,
    served_model="m",
)

# What a model may put into an answer or an argument, lone surrogates included.
texts = st.text(alphabet=st.characters(), max_size=20)
arguments = st.dictionaries(
    texts, st.one_of(texts, st.integers(), st.booleans(), st.none(), st.lists(texts, max_size=3)), max_size=3
)


@given(
    answer=texts,
    error=st.none() | texts,
    calls=st.lists(st.builds(ToolCall, texts, arguments, st.booleans()), max_size=3),
    verdict=st.sampled_from(Verdict),
    tokens=st.none() | st.integers(min_value=0),
)
def test_an_outcome_comes_back_as_it_was(
    answer: str, error: str | None, calls: list[ToolCall], verdict: Verdict, tokens: int | None
) -> None:
    outcome = replace(
        OUTCOME, answer=answer, error=error, tool_calls=tuple(calls), verdict=verdict, input_tokens=tokens
    )
    line = encode_outcome(outcome)
    assert line.count(b"\n") == 1
    assert decode_outcome(line.decode()) == outcome


def test_lone_surrogates_and_nan_do_not_lose_an_outcome() -> None:
    outcome = replace(OUTCOME, answer="\ud800", tool_calls=(ToolCall("t", {"x": float("nan"), "y": [1.5]}, ok=False),))
    back = decode_outcome(encode_outcome(outcome).decode())
    assert back.answer == "\ud800"
    assert back.tool_calls[0].arguments == {"x": "nan", "y": [1.5]}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"seq": "1"}, "'seq'"),
        ({"generations": True}, "'generations'"),
        ({"answer": None}, "'answer'"),
        ({"path": "carrier pigeon"}, "'path'"),
        ({"verdict": "splendid"}, "splendid"),
        ({"tool_calls": [{"name": "x"}]}, "'tool_calls'"),
        ({"tool_calls": None}, "'tool_calls'"),
    ],
)
def test_a_line_that_is_no_outcome_names_what_is_wrong(change: dict[str, object], names: str) -> None:
    values = json.loads(encode_outcome(OUTCOME)) | change
    with pytest.raises(ValueError, match=names):
        decode_outcome(json.dumps(values))


def test_keys_of_a_later_version_are_left_aside() -> None:
    values = json.loads(encode_outcome(OUTCOME)) | {"joules": 3}
    assert decode_outcome(json.dumps(values)) == OUTCOME


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
from punie_trace.runfile import RunWriter, read_run
from tests.synthetic_run import make_header
from tests.test_runfile import OUTCOME
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
    root = Path(__file__).parents[1]
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


def test_a_header_takes_only_what_it_knows() -> None:
    with pytest.raises(ValueError, match="rounds"):
        RunHeader.model_validate({**dict(make_header()), "rounds": 0})


def test_of_many_spans_those_of_whole_queries_are_read_from_all_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_run(tmp_path / "r")
    every = read_run(folder).traces
    size = (folder / "spans.jsonl").stat().st_size
    monkeypatch.setattr("punie_trace.runfile.MOST_SPAN_BYTES", size // 2)
    some = read_run(folder)
    assert 0 < len(some.traces) < len(every)
    assert all(some.traces[trace_id] == every[trace_id] for trace_id in some.traces)
    assert "spread evenly over the run" in some.span_problems[0]
    seqs = [one.seq for one in some.outcomes if one.trace_id in some.traces]
    assert min(seqs) < 20
    assert max(seqs) > 40
