"""The package as a library: an experiment measured from a script and from a running loop, its figures, its errors."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import punie_trace
from punie_trace import (
    Configuration,
    ConfigurationError,
    Event,
    Experiment,
    ModelError,
    QueryEnded,
    Run,
    RunFolderError,
    RunPlanned,
    ServerError,
    compare,
    measure,
    measure_async,
    read_run,
)
from punie_trace.testing import Reply, Script, Text
from tests.synthetic_run import ARMS, Arm, write_run

SUITE = {
    "name": "small",
    "cases": [{"name": f"q{n}", "inputs": f"What is REST, {n}?", "metadata": {"expected": "direct"}} for n in range(3)],
}


def experiment(folder: Path, *, answer_s: float = 0.0, startup: str = "ready") -> Experiment:
    suite = folder / "small.json"
    suite.write_text(json.dumps(SUITE))
    script = folder / "script.json"
    reply = Reply(steps=(Text(text="A style.", delay_s=answer_s),))
    script.write_text(Script.model_validate({"replies": (reply,), "startup": startup}).model_dump_json())
    command = [sys.executable, "-m", "punie_trace.testing", "--port", "{port}", "--script", str(script)]
    return Experiment(
        suite=str(suite),
        rounds=1,
        warm_up=0,
        path="http",
        configurations=[Configuration("baseline", kind="command", command=command)],
    )


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return read_run(write_run(tmp_path_factory.mktemp("runs") / "r", ARMS))


def test_every_name_of_the_package_is_there_and_documented() -> None:
    for name in punie_trace.__all__:
        value = getattr(punie_trace, name)
        assert name in dir(punie_trace)
        if isinstance(value, type) or callable(value):
            assert value.__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'mesure'"):
        _ = punie_trace.mesure


def test_from_a_script_a_run_is_measured_and_told_by_events(tmp_path: Path) -> None:
    events: list[Event] = []
    run = measure(experiment(tmp_path), out=tmp_path / "run", progress=events.append, otlp="off")
    assert (run.status, run.exit_code, run.error) == ("done", 0, None)
    assert run.header.argv == ()
    assert [one.verdict for one in run.outcomes] == ["correct"] * 3
    assert [one.asked_before for one in run.outcomes] == [0] * 3
    assert run.configurations["baseline"].wall_ms is not None
    (planned,) = [one for one in events if isinstance(one, RunPlanned)]
    assert (planned.folder, dict(planned.groups), planned.queries_each) == (run.folder, {"baseline": "server-1"}, 3)
    assert [one.outcome for one in events if isinstance(one, QueryEnded)] == list(run.outcomes)
    assert run.write_report().read_text().startswith("<!doctype html>")


def test_from_a_notebook_whose_loop_runs_it_is_measured_as_well(tmp_path: Path) -> None:
    threads: list[threading.Thread] = []

    async def cell() -> Run:
        return measure(  # as a cell of a notebook calls it, not awaited
            experiment(tmp_path),
            out=tmp_path / "run",
            otlp="off",
            progress=lambda _event: threads.append(threading.current_thread()),
        )

    run = asyncio.run(cell())
    assert run.status == "done"
    assert len(run.outcomes) == 3
    assert threading.main_thread() not in threads


def test_beside_other_work_of_the_loop_and_cancelled_in_order(tmp_path: Path) -> None:
    async def work() -> int:
        ticks = 0
        measuring = asyncio.create_task(
            measure_async(experiment(tmp_path, answer_s=30.0), out=tmp_path / "run", otlp="off")
        )
        while not (tmp_path / "run" / "servers" / "server-1.log").exists():
            await asyncio.sleep(0.01)
            ticks += 1
        measuring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await measuring
        return ticks

    assert asyncio.run(work()) > 1
    assert read_run(tmp_path / "run").status == "interrupted"


def test_a_listener_that_raises_does_not_end_the_run(tmp_path: Path) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError("no room to draw")

    run = measure(experiment(tmp_path), out=tmp_path / "run", progress=broken, otlp="off")
    assert run.status == "done"
    assert any("no room to draw" in note for note in run.header.notes)


def test_where_no_server_comes_up_the_error_is_raised_and_the_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="nothing was measured") as caught:
        measure(experiment(tmp_path, startup="exit"), out=tmp_path / "run", otlp="off")
    assert "baseline" in str(caught.value)
    assert read_run(tmp_path / "run").status == "ended-early"


def test_models_that_are_not_there_are_all_named_before_anything_is_made(tmp_path: Path) -> None:
    wrong = Experiment(
        configurations=[Configuration("a", model_path="/absent/a"), Configuration("b", model_path="/absent/b")]
    )
    with pytest.raises(ModelError) as caught:
        measure(wrong, out=tmp_path / "run")
    assert "/absent/a" in str(caught.value)
    assert "/absent/b" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_speed_up_is_an_estimate_with_its_interval(read: Run) -> None:
    speedup = read.compare("speculative-3").speedup
    assert speedup.low is not None
    assert speedup.high is not None
    assert speedup.low < speedup.estimate < speedup.high
    other = read.compare("speculative-3", baseline="speculative-2")
    assert other.baseline == "speculative-2"


def test_what_cannot_be_compared_is_said(read: Run) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'speculative-3'"):
        read.compare("speculatve-3")
    with pytest.raises(ConfigurationError, match="what the others are compared with"):
        read.compare("baseline")


def test_two_runs_are_compared(read: Run, tmp_path: Path) -> None:
    faster = read_run(write_run(tmp_path / "b", {"baseline": Arm(speed=2.0)}))
    contrast = compare(read, faster, gates=["baseline.speedup > 1.2"])
    assert contrast.gates_hold
    assert contrast.summary.comparisons[0].speedup.estimate > 1.2


def test_reports_are_written_by_the_end_of_their_name(read: Run, tmp_path: Path) -> None:
    assert "| `speculative-3` |" in read.write_report(tmp_path / "r.md").read_text()
    assert json.loads(read.write_report(tmp_path / "r.json").read_text())["baseline"] == "baseline"
    assert read.write_report(tmp_path / "r.csv").read_text().count("\n") == len(read.outcomes) + 1
    assert read.write_report(tmp_path / "r.html").read_text().startswith("<!doctype html>")
    with pytest.raises(ConfigurationError, match=r"'\.pdf'"):
        read.write_report(tmp_path / "r.pdf")
    with pytest.raises(RunFolderError, match="cannot be written"):
        read.write_report(tmp_path / "absent" / "r.md")


def test_a_notebook_shows_a_row_for_each_configuration(read: Run) -> None:
    shown = read._repr_html_()
    assert all(f"<td>{name}</td>" in shown for name in read.configurations)
    assert "<script" not in shown
    assert "synthetic" in repr(read) or read.header.id in repr(read)


def test_the_whole_of_the_library_from_a_fresh_interpreter(tmp_path: Path) -> None:
    code = "from punie_trace import Run, read_run; run = read_run(%r); print(type(run) is Run, run.status)"
    folder = write_run(tmp_path / "r", {"baseline": Arm()})
    done = subprocess.run([sys.executable, "-c", code % str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "True"
