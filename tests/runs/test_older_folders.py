"""Folders that version 0.1.0 wrote are read, summarised and reported as they were then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner

from punie_trace.analysis.ledger import check_ledger
from punie_trace.cli.main import app
from punie_trace.records import Verdict
from punie_trace.runs.reader import read_run

FOLDERS = Path(__file__).parent / "folders"
RENAMED = {"partings": "divergences"}
"""Keys of `summary.json` that have another name now."""
REWORDED = ("findings", "advice", "definitions")
"""Texts for people, which may say the same in other words."""
REDEFINED = ("comparisons",)
"""Speed is of first asks now, where it was of all."""


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, since reporting writes into the folder. Paths below the home folder of whoever ran it are shown short."""
    monkeypatch.setenv("HOME", "/home/ada")
    return shutil.copytree(FOLDERS / request.param, tmp_path / request.param)


def report(folder: Path, form: str) -> str:
    result = CliRunner().invoke(app, ["report", str(folder), "--format", form])
    assert result.exit_code == 0, result.output
    return result.stdout


def assert_holds(now: JsonValue, then: JsonValue, where: str = "", but: tuple[str, ...] = ()) -> None:
    """All that was said then is said now, `but` for some keys; more may be."""
    if isinstance(then, dict):
        assert isinstance(now, dict), where
        for key, value in then.items():
            if key in but or (key, where[-8:]) == ("of", "/ttft_ms"):  # which counts turns of one kind now
                continue
            name = RENAMED.get(key, key)
            assert name in now, f"{where}/{key}"
            assert_holds(now[name], value, f"{where}/{key}", but)
    elif isinstance(then, list):
        assert isinstance(now, list), where
        assert len(now) == len(then), where
        for place, (new, old) in enumerate(zip(now, then, strict=True)):
            assert_holds(new, old, f"{where}/{place}", but)
    elif isinstance(then, float):
        assert now == pytest.approx(then, rel=1e-6, abs=2e-6), where  # milliseconds, of which the last digit is one ns
    else:
        assert now == then, where


def test_a_whole_run_is_read() -> None:
    run = read_run(FOLDERS / "done")
    assert run.problems == run.span_problems == ()
    assert run.header.status == "done"
    assert set(run.header.configurations) == {"baseline", "adaptive"}
    assert len(run.outcomes) == 10
    assert len(run.spans) == 133
    assert len(run.samples) == 21
    assert {outcome.verdict for outcome in run.outcomes} <= set(Verdict)
    for outcome in run.outcomes:
        assert check_ledger(run.traces[outcome.trace_id]).wall_ns == outcome.wall_ns


def test_a_killed_run_is_read_up_to_its_end() -> None:
    run = read_run(FOLDERS / "killed")
    assert run.problems == ()
    assert run.span_problems == ("spans.jsonl: line 30 was cut off when the run ended, and is left out",)
    assert run.header.status == "running"
    assert (len(run.outcomes), len(run.spans)) == (2, 29)
    for outcome in run.outcomes:
        assert check_ledger(run.traces[outcome.trace_id]).wall_ns == outcome.wall_ns


@pytest.mark.parametrize("folder", ["done"], indirect=True)
def test_a_whole_run_has_the_summary_that_it_had(folder: Path) -> None:
    then = json.loads((folder / "summary.json").read_text())
    now = json.loads(report(folder, "json"))
    assert_holds(now, then, but=(*REWORDED, *REDEFINED))
    assert json.loads((folder / "summary.json").read_text()) == now


@pytest.mark.parametrize("folder", ["done"], indirect=True)
def test_where_every_ask_counts_as_a_first_one_comparisons_are_what_they_were(folder: Path) -> None:
    then = json.loads((folder / "summary.json").read_text())
    lines = [json.loads(line) for line in (folder / "outcomes.jsonl").read_text().splitlines()]
    (folder / "outcomes.jsonl").write_text("".join(json.dumps({**one, "asked_before": 0}) + "\n" for one in lines))
    now = json.loads(report(folder, "json"))
    assert len(now["comparisons"]) == len(then["comparisons"])
    assert_holds(now, then, but=(*REWORDED, "more_rounds", "note"))


@pytest.mark.parametrize("folder", ["done", "killed"], indirect=True)
@pytest.mark.parametrize("form", ["console", "markdown"])
def test_older_runs_are_reported(folder: Path, form: str) -> None:
    text = report(folder, form)
    assert all(name in text for name in read_run(folder).header.configurations)
    if form == "console":
        assert (folder / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("folder", ["killed"], indirect=True)
def test_of_a_killed_run_it_is_said_what_is_missing(folder: Path) -> None:
    summary = json.loads(report(folder, "json"))
    assert summary["run"]["status"] == "running"
    assert "it was killed, or is still running" in summary["findings"][0]
    assert summary["notes"] == ["spans.jsonl: line 30 was cut off when the run ended, and is left out"]
