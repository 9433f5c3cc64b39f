"""The evaluator `command`: exit code 0 is right, and neither time, output nor children are without bound."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
import pytest
from pydantic_evals.evaluators import EvaluationReason, EvaluatorContext
from pydantic_evals.otel import SpanTree

from punie_trace.suite import command
from punie_trace.suite.command import WORKSPACE, Command


def evaluate(folder: Path, run: list[str] | str, timeout_s: float = 20.0) -> EvaluationReason:
    context = EvaluatorContext(
        name="n",
        inputs="i",
        metadata=None,
        expected_output=None,
        output="o",
        duration=1.0,
        _span_tree=SpanTree(),
        attributes={WORKSPACE: str(folder)},
        metrics={},
    )
    return Command(run, timeout_s).evaluate(context)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_exit_code_0_is_right_and_it_runs_in_the_workspace(tmp_path: Path):
    (tmp_path / "there").write_text("x")
    assert evaluate(tmp_path, "test -f there") == EvaluationReason(True, None)


def test_another_code_is_wrong_with_what_was_printed_last(tmp_path: Path):
    found = evaluate(tmp_path, python("import sys; print('1 failed'); sys.stderr.write('E assert'); sys.exit(3)"))
    assert not found.value
    assert found.reason is not None
    assert found.reason.startswith("exit code 3: ")
    assert "1 failed" in found.reason
    assert "E assert" in found.reason


def test_only_the_end_of_long_output_is_kept(tmp_path: Path):
    found = evaluate(tmp_path, python("print('x' * 100_000 + 'the end'); raise SystemExit(1)"))
    assert found.reason is not None
    assert found.reason.endswith("the end")
    assert len(found.reason) < 2100


def test_a_program_that_is_not_there_is_named(tmp_path: Path):
    found = evaluate(tmp_path, ["no-such-program"])
    assert found.reason is not None
    assert found.reason.startswith("'no-such-program' was not found")


def test_a_signal_is_named(tmp_path: Path):
    found = evaluate(tmp_path, python("import os; os.kill(os.getpid(), 9)"))
    assert found.reason == "ended by signal 9"


def test_no_shell_is_used(tmp_path: Path):
    evaluate(tmp_path, "true ; touch there")
    assert not (tmp_path / "there").exists()


def test_it_is_ended_at_its_time_with_all_that_it_started(tmp_path: Path):
    code = (
        "import os, subprocess, sys, time; "
        "one = subprocess.Popen(['sleep', '60'], start_new_session=True); "
        "print(os.getpid(), one.pid, flush=True); time.sleep(60)"
    )
    before = time.monotonic()
    found = evaluate(tmp_path, python(code), timeout_s=1.0)
    assert time.monotonic() - before < 15
    assert found.reason is not None
    why, _, pids = found.reason.partition(": ")
    assert why == "still running after 1 s (timeout_s)"
    assert [pid for pid in map(int, pids.split()) if psutil.pid_exists(pid)] == []


def test_what_it_leaves_behind_neither_holds_it_up_nor_stays(tmp_path: Path):
    code = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True); raise SystemExit(1)"
    before = time.monotonic()
    found = evaluate(tmp_path, python(code))
    assert time.monotonic() - before < 15
    assert found.reason is not None
    assert not psutil.pid_exists(int(found.reason.removeprefix("exit code 1: ")))


def test_output_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(command, "MOST_OUTPUT_BYTES", 2**20)
    found = evaluate(tmp_path, "yes")
    assert found.reason is not None
    assert found.reason.startswith("printed more than 1 MiB")
