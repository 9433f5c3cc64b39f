"""Whatever happened to a run's folder: it is read up to there, or an error says what is wrong, and where."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from punie_trace.cli.main import app
from punie_trace.errors import RunFolderError
from punie_trace.records import EnergySample, Outcome, ToolCall, Verdict
from punie_trace.runs.outcome_line import decode_outcome, encode_outcome
from punie_trace.runs.reader import read_run

HUGE = "9" * 400
KILLED = Path(__file__).parent / "folders" / "killed"
FILES = ("run.json", "outcomes.jsonl", "spans.jsonl", "conditions.jsonl", "energy.jsonl")
SIDE_FILES = ("conditions.jsonl", "energy.jsonl")  # no other figure hangs on them
EXAMPLES = int(os.environ.get("PUNIE_TRACE_EXAMPLES", "40"))
STRANGE = (
    b"null", b"-1", b"1e300", b'"x"', b"[]", b"{}", b"true", b"NaN", b"9" * 400, b'"' + b"9" * 30 + b'"',
    b'"9999-12-31T23:59:59Z"', b'"0001-01-01T00:00:00Z"', b"[" * 5000 + b"]" * 5000, b"\xff\x00", b"",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(KILLED, tmp_path / "run")


def report(folder: Path) -> tuple[int, str]:
    """Exit code and output of the report; what is raised beside is raised here."""
    result = CliRunner().invoke(app, ["report", str(folder), "--format", "json"], catch_exceptions=False)
    return result.exit_code, result.output


def values_in(data: bytes) -> list[tuple[int, int]]:
    """Where the values of a JSON text stand that follow a colon."""
    found = []
    place = data.find(b":")
    while place >= 0:
        end = place + 1
        while end < len(data) and data[end : end + 1] not in b",}]\n":
            end += 1
        found.append((place + 1, end))
        place = data.find(b":", end)
    return found


@st.composite
def damages(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file of the folder, and what stands in it now."""
    name = draw(st.sampled_from(FILES))
    data = (KILLED / name).read_bytes()
    match draw(st.sampled_from(["value", "value", "cut", "flip", "twice", "insert"])):
        case "value":
            for start, end in draw(st.lists(st.sampled_from(values_in(data)), min_size=1, max_size=2, unique=True)):
                data = data[:start] + draw(st.sampled_from(STRANGE)) + data[end:]
                break
        case "cut":
            data = data[: draw(st.integers(0, len(data)))]
        case "flip":
            place = draw(st.integers(0, len(data) - 1))
            data = data[:place] + bytes([data[place] ^ (1 << draw(st.integers(0, 7)))]) + data[place + 1 :]
        case "twice":
            start, end = sorted(draw(st.tuples(st.integers(0, len(data)), st.integers(0, len(data)))))
            data = data[:end] + data[start:end] + data[end:]
        case _:
            place = draw(st.integers(0, len(data)))
            data = data[:place] + draw(st.binary(min_size=1, max_size=8)) + data[place:]
    return name, data


@given(damages())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_damaged_folder_is_reported_or_refused_in_words(
    count_example: Callable[[], None], damage: tuple[str, bytes]
) -> None:
    count_example()
    name, data = damage
    with tempfile.TemporaryDirectory() as place:
        folder = shutil.copytree(KILLED, Path(place) / "run")
        (folder / name).write_bytes(data)
        code, output = report(folder)
    if code == 4:  # a time that was changed is found out by the ledger, which does not close then
        assert name in ("spans.jsonl", "outcomes.jsonl"), output
        assert json.loads(output)["ledger_errors"]
        return
    assert code in (0, 2), output
    assert code == 0 or name in output.replace("\n", "") or "run" in output


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_a_folder_hangs_nothing(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    code, output = report(folder)
    assert code == (0 if name in SIDE_FILES else 2), output
    assert code == 0 or "no ordinary file" in " ".join(output.split())


@pytest.mark.parametrize("depth", [300, 100_000])
def test_a_header_that_is_nested_deeply_is_an_error_in_words(folder: Path, depth: int) -> None:
    (folder / "run.json").write_text('{"a":' + "[" * depth + "]" * depth + "}")
    with pytest.raises(RunFolderError):
        read_run(folder)


@pytest.mark.parametrize("name", ["wall_s", "ttft_s", "seed"])
def test_a_header_with_a_number_beyond_all_measure_is_an_error_in_words(folder: Path, name: str) -> None:
    text, changed = re.subn(rf'("{name}": )[^,\n]+', rf"\g<1>{HUGE}", (folder / "run.json").read_text())
    assert changed
    (folder / "run.json").write_text(text)
    with pytest.raises(RunFolderError, match="a number of 400 digits"):
        read_run(folder)


@pytest.mark.parametrize("value", [HUGE, "-1"])
@pytest.mark.parametrize("name", ["seq", "generations", "input_tokens", "output_tokens", "cached_tokens", "ttft_ns"])
def test_a_count_that_there_cannot_be_is_an_error_in_words(folder: Path, name: str, value: str) -> None:
    lines = (folder / "outcomes.jsonl").read_text()
    changed, count = re.subn(rf'("{name}": ?)[^,\n]+', rf"\g<1>{value}", lines)
    assert count
    (folder / "outcomes.jsonl").write_text(changed)
    code, output = report(folder)
    assert code == 2
    assert f"'{name}' is no count" in " ".join(output.split())


@pytest.mark.parametrize("year", ["0001", "1969", "9999"])
def test_an_absurd_year_is_an_error_in_words(folder: Path, year: str) -> None:
    values = json.loads((folder / "run.json").read_text())
    values["started"] = f"{year}-01-01T00:00:00Z"
    (folder / "run.json").write_text(json.dumps(values))
    with pytest.raises(RunFolderError, match="started"):
        read_run(folder)


@pytest.mark.parametrize(
    "line",
    [
        '{"start_ns": "x", "end_ns": 1}', '{"start_ns": 1, "end_ns": 2, "other_cpu": []}', "7",
        f'{{"start_ns": 1, "end_ns": {HUGE}}}', '{"start_ns": 2, "end_ns": 1}', '{"start_ns": -1, "end_ns": 1}',
        '{"start_ns": 1, "end_ns": 2, "other_cpu": NaN}', f'{{"start_ns": 1, "end_ns": 2, "swapped_bytes": {HUGE}}}',
        '{"start_ns": 1, "end_ns": 2, "memory_pressure": 1e300}',
    ],
)  # fmt: skip
def test_samples_from_which_nothing_can_be_computed_are_left_aside(folder: Path, line: str) -> None:
    whole = (folder / "conditions.jsonl").read_text()
    assert read_run(folder).samples
    (folder / "conditions.jsonl").write_text(f"{line}\n{whole}")
    assert read_run(folder).samples == ()
    assert report(folder)[0] == 0


@pytest.mark.parametrize(
    "line",
    [
        '{"at_ns": 1}', f'{{"at_ns": 1, "joules": {HUGE}}}', f'{{"at_ns": {HUGE}, "joules": 1}}',
        '{"at_ns": 1, "joules": NaN}', '{"at_ns": true, "joules": 1}', "[" * 5000 + "]" * 5000,
    ],
)  # fmt: skip
def test_energy_from_which_nothing_can_be_computed_is_left_aside(folder: Path, line: str) -> None:
    whole = (folder / "energy.jsonl").read_text()
    assert read_run(folder).energy
    (folder / "energy.jsonl").write_text(f"{line}\n{whole}")
    assert read_run(folder).energy == ()
    assert report(folder)[0] == 0


def test_what_a_sample_of_energy_may_lack_is_left_out_where_it_is_no_number(folder: Path) -> None:
    (folder / "energy.jsonl").write_text(f'{{"at_ns": 1, "joules": 2, "watts": {HUGE}, "gpu_utilization": 0.5}}\n')
    assert read_run(folder).energy == (EnergySample(1, 2.0, gpu_utilization=0.5),)
    assert report(folder)[0] == 0


@pytest.mark.parametrize("depth", [100, 960, 20_000])
def test_arguments_nested_deeply_are_written_and_read(depth: int) -> None:
    arguments: dict[str, object] = {"a": 1}
    for _ in range(depth):
        arguments = {"a": arguments}
    call = ToolCall("search", arguments, ok=False)  # ty: ignore[invalid-argument-type]
    outcome = Outcome(
        seq=0,
        round=1,
        configuration="a",
        query="q",
        path="agent",
        due_ns=1,
        sent_ns=2,
        done_ns=3,
        verdict=Verdict.ERROR,
        error=None,
        trace_id="0" * 32,
        answer="",
        tool_calls=(call,),
        generations=1,
        input_tokens=None,
        output_tokens=None,
        cached_tokens=None,
        ttft_ns=None,
        served_model=None,
    )
    read = decode_outcome(encode_outcome(outcome).decode())
    assert read.tool_calls[0].name == "search"
    assert json.dumps(read.tool_calls[0].arguments).startswith('{"a": {"a"')
