from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from punie_trace.cli.main import app
from tests.synthetic_run import ARMS, QUERIES, Arm, write_run


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "r", ARMS)


def test_a_gate_that_fails_is_exit_code_1(run: Path) -> None:
    good = invoke("compare", run, "--gate", "speculative-3.speedup > 1.5", "--gate", "accuracy == 1")
    assert good.exit_code == 0, good.output
    bad = invoke("compare", run, "--gate", "speculative-3.speedup > 1.5", "--gate", "memory.peak < 1MB")
    assert bad.exit_code == 1
    assert "FAILED memory.peak < 1MB: failed" in bad.output
    assert bad.output.splitlines()[-1] == "1 of 2 gates hold"


def test_another_baseline(run: Path) -> None:
    shown = json.loads(invoke("compare", run, "--baseline", "speculative-2", "--format", "json").stdout)
    assert shown["summary"]["baseline"] == "speculative-2"
    assert {one["baseline"] for one in shown["summary"]["comparisons"]} == {"speculative-2"}


def test_two_runs(run: Path, tmp_path: Path) -> None:
    faster = write_run(tmp_path / "b", {"baseline": Arm(speed=2.0)})
    result = invoke("compare", run, faster, "--gate", "baseline.speedup > 1.2")
    assert result.exit_code == 0, result.output
    assert "one run with both configurations tells more" in " ".join(result.output.split())


def test_markdown_ends_with_the_command(run: Path) -> None:
    shown = invoke("compare", run, "--format", "markdown").stdout
    assert shown.startswith("### discrimination")
    assert shown.rstrip().endswith("```")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--gate", "speculative-33.accuracy == 1"), "did you mean 'speculative-3'?"),
        (("--gate", "wall.p59 < 1s"), "did you mean 'wall.p95'?"),
        (("--gate", "nonsense"), "cannot be read"),
        (("--baseline", "basline"), "did you mean 'baseline'?"),
        (("--format", "markdwon"), "did you mean 'markdown'?"),
        (("/absent/run",), "there is no such folder"),
    ],
)
def test_bad_input_is_exit_code_2_with_what_to_do(run: Path, arguments: tuple[str, ...], says: str) -> None:
    result = invoke("compare", run, *arguments)
    assert result.exit_code == 2, result.output
    assert says in result.output


def test_three_runs_or_runs_of_other_questions_are_refused(run: Path, tmp_path: Path) -> None:
    assert "one run or two" in invoke("compare", run, run, run).output
    other = (replace(QUERIES[0], text="Something else"), *QUERIES[1:])
    second = write_run(tmp_path / "b", {"baseline": Arm()}, queries=other)
    result = invoke("compare", run, second)
    assert result.exit_code == 2
    assert "asked different things under the same name: django-views" in result.output


def test_a_ledger_that_does_not_close_is_exit_code_4(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", {"baseline": Arm()})
    lines = (folder / "outcomes.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    first["done_ns"] += 1
    (folder / "outcomes.jsonl").write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    assert invoke("compare", folder).exit_code == 4
    assert invoke("compare", folder, "--gate", "errors == 9").exit_code == 1


def test_report_writes_markdown_and_csv(run: Path) -> None:
    assert "| `speculative-3` |" in invoke("report", run, "--format", "markdown").stdout
    rows = list(csv.DictReader(io.StringIO(invoke("report", run, "--format", "csv").stdout)))
    assert len(rows) == 60
