"""Who answered in a configuration, as a report says it."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from punie_trace.analysis.served_by import fingerprint, program
from punie_trace.analysis.summary import summarize
from punie_trace.records import ServerKind
from punie_trace.runs.header import ConfigurationRecord, RunHeader, ServerRecord
from punie_trace.runs.reader import read_run
from tests.synthetic_run import Arm, make_header, write_run


def header(kind: ServerKind, settings: dict[str, JsonValue], **identity: JsonValue) -> RunHeader:
    return make_header().model_copy(
        update={
            "configurations": {"a": ConfigurationRecord(path="http", server="s", kind=kind)},
            "servers": {"s": ServerRecord(identity=identity)},
            "configuration": {"configurations": {"a": settings}},
        }
    )


def test_a_server_is_named_by_what_was_started_or_where_it_runs() -> None:
    assert program(header("mlx_lm", {}, version="0.32.2"), "a") == "mlx_lm 0.32.2"
    command = header("command", {"command": ["llama-server", "-t", "1 2"]}, fingerprint="b1-abc")
    assert program(command, "a") == "llama-server -t '1 2'"
    assert fingerprint(command, "a") == "b1-abc"
    assert program(header("url", {"url": "http://127.0.0.1:8080"}), "a") == "http://127.0.0.1:8080"
    assert (program(header("url", {}), "b"), fingerprint(header("url", {}), "b")) == (None, None)


def test_versions_of_mlx_are_shown_where_mlx_ran(tmp_path: Path) -> None:
    ours = summarize(read_run(write_run(tmp_path / "a", {"only": Arm()})))
    theirs = summarize(read_run(write_run(tmp_path / "b", {"only": Arm(kind="url")})))
    assert {"mlx", "mlx-lm"} <= ours.run.versions.keys()
    assert not {"mlx", "mlx-lm"} & theirs.run.versions.keys()
    assert "python" in theirs.run.versions
    assert (theirs.configurations["only"].program, theirs.configurations["only"].kind) == ("url", "url")
