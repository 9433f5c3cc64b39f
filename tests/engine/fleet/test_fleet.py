"""A run from several generators: what one would have asked, and every arrival accounted for, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pytest

from punie_trace import Event, Experiment, QueryEnded, Run, Verdict, measure, read_run
from punie_trace.driver.arrivals import Flat, Timed, due_offsets
from punie_trace.engine.fleet import post
from punie_trace.runs.header import PartRecord
from punie_trace.runs.merge import clock_of
from punie_trace.runs.reader import read_run as read_record
from punie_trace.testing import Hang, Reply, Rule, Script, ScriptedServer, Text, scripted_server

QUESTIONS = [f"Question {number}?" for number in range(6)]
GOOD = Script(replies=(Reply(steps=(Text(text="An answer."),)),))
WITHIN_S = 60.0
ANCHOR_NS = 1_000_000
"""How far apart the anchors of two clocks may be read on a busy machine."""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    file = tmp_path / "suite.json"
    cases = [{"name": text, "inputs": text, "metadata": {"expected": "direct"}} for text in QUESTIONS]
    file.write_text(json.dumps({"name": "six", "cases": cases}))
    return file


@pytest.fixture
def server() -> Generator[ScriptedServer]:
    with scripted_server(GOOD) as running:
        yield running


def experiment(suite: Path, server: ScriptedServer, generators: int, **more: Any) -> Experiment:
    fleet = {"generators": generators, **more.pop("fleet", {})}
    url = {"kind": "url", "url": server.base_url, "check_identity": False}
    return Experiment(suite=str(suite), path="http", warm_up=0, server=url, fleet=fleet, **more)


def run_of(tmp_path: Path, one: Experiment, listener: Callable[[Event], None] | None = None) -> Run:
    return measure(one, out=tmp_path / f"run-{time.monotonic_ns()}", otlp="off", progress=listener)


def generators_below(pid: int | None = None) -> list[psutil.Process]:
    """Generators that a process has started, without their launchers."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        if "punie_trace.engine.fleet.generator" in line and "launch.py" not in " ".join(line[:4]):
            found.append(process)
    return found


def all_gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=WITHIN_S)[1]


def test_several_generators_ask_what_one_would(tmp_path: Path, suite: Path, server: ScriptedServer) -> None:
    load = {"rate": 40, "queries": 36}
    alone = run_of(tmp_path, experiment(suite, server, 1, load=load))
    found = run_of(tmp_path, experiment(suite, server, 3, load=load))
    assert (found.status, found.exit_code, found.error) == ("done", 0, None)
    expected = {one.seq: (one.query, one.round, one.verdict) for one in alone.outcomes}
    assert {one.seq: (one.query, one.round, one.verdict) for one in found.outcomes} == expected
    due = {one.seq: one.due_ns for one in alone.outcomes}
    offset = found.outcomes[0].due_ns - due[found.outcomes[0].seq]
    assert {one.seq: one.due_ns - offset for one in found.outcomes} == due
    assert {one.seq: one.asked_before for one in found.outcomes} == {
        one.seq: one.asked_before for one in alone.outcomes
    }
    assert [(part.arrivals, part.outcomes, part.dropped) for part in found.header.parts] == [(12, 12, 0)] * 3
    assert all(part.late_ns is not None for part in found.header.parts)
    assert not found.summary.ledger_errors
    for part in found.header.parts:  # a part is a run of its own
        own = read_run(found.folder / "parts" / part.name)
        assert (own.status, len(own.outcomes)) == ("done", 12)
    assert not generators_below()


def test_a_generator_that_is_killed_costs_its_part_and_is_counted_to_the_last_arrival(
    tmp_path: Path, suite: Path, server: ScriptedServer
) -> None:
    seen: list[psutil.Process] = []

    def kill_one(event: Event) -> None:
        if isinstance(event, QueryEnded) and not seen:
            seen.extend(generators_below())
            seen[0].kill()

    run = run_of(tmp_path, experiment(suite, server, 2, load={"rate": 20, "queries": 40}), kill_one)
    assert (run.status, run.exit_code) == ("ended-early", 4)
    lost, other = sorted(run.header.parts, key=lambda part: part.status != "lost")
    assert (lost.status, other.status) == ("lost", "done")
    assert "SIGKILL" in (lost.problem or "")
    assert (other.arrivals, other.outcomes) == (20, 20)
    assert lost.arrivals == 20
    assert lost.outcomes is not None
    assert lost.unaccounted == 20 - lost.outcomes > 0
    assert len(run.outcomes) == 20 + lost.outcomes
    assert any(f"{lost.unaccounted} of its 20 queries have no outcome" in one for one in run.header.findings)
    assert all_gone(seen)


def test_a_generator_that_hangs_is_given_up_and_ended(tmp_path: Path, suite: Path, server: ScriptedServer) -> None:
    seen: list[psutil.Process] = []

    def stop_one(event: Event) -> None:
        if isinstance(event, QueryEnded) and not seen:
            seen.extend(generators_below())
            seen[0].suspend()

    fleet = {"silence_timeout_s": 5.0}
    run = run_of(tmp_path, experiment(suite, server, 2, load={"rate": 20, "queries": 40}, fleet=fleet), stop_one)
    (lost,) = [part for part in run.header.parts if part.status == "lost"]
    assert "no sign of life" in (lost.problem or "")
    assert run.exit_code == 4
    assert all_gone(seen)


def test_errors_are_counted_over_all_generators(tmp_path: Path, suite: Path) -> None:
    with scripted_server(Script(replies=(Reply(status=500, error="out of cheese"),))) as server:
        load = {"queries": 400, "max_error_ratio": 0.5}
        run = run_of(tmp_path, experiment(suite, server, 2, load=load, concurrency=2))
    assert (run.status, run.exit_code) == ("ended-early", 4)
    assert 20 <= len(run.outcomes) < 400
    assert all(0 < (part.outcomes or 0) < 200 for part in run.header.parts)
    assert any("queries failed, more than max_error_ratio allows" in finding for finding in run.header.findings)
    assert {one.verdict for one in run.outcomes} == {Verdict.ERROR}


def test_generators_that_cannot_come_up_are_an_error_before_there_is_a_folder(
    tmp_path: Path, suite: Path, server: ScriptedServer
) -> None:
    one = experiment(suite, server, 2, concurrency=2, agent={"import": f"{tmp_path}/mine.py:ask"}).model_copy()
    (tmp_path / "mine.py").write_text(
        "import os, sys\n"
        "if 'punie_trace.engine.fleet.generator' in ' '.join(sys.orig_argv): raise RuntimeError('not here')\n"
        "async def ask(question, endpoint): return 'x'\n"
    )
    with pytest.raises(Exception, match="not here"):
        measure(one.model_copy(update={"path": "imported"}), out=tmp_path / "run", otlp="off")
    assert not (tmp_path / "run").exists()
    assert not generators_below()


PLANTED = ((3_000_000_000, 0.0), (-200_000_000, 0.0), (0, 50.0))


def planted_clocks(folder: Path) -> Path:
    folder.mkdir()
    for number, (offset, ppm) in enumerate(PLANTED):
        (folder / str(number)).write_text(f"{offset} {ppm}")
    return folder


def check_clocks(run: Run, due: dict[int, int]) -> None:
    """Every planted clock is found within the uncertainty that is stated, and what was measured by it is whole."""
    found: dict[tuple[int, float], PartRecord] = {}
    for part in run.header.parts:
        assert part.offset is not None
        clock = clock_of(part.offset)
        assert clock.readings >= 40  # before and after the stage, and in it
        for offset, ppm in PLANTED:
            began = part.clock.anchor_wall_ns - offset  # on the run's clock
            errors = [
                abs(clock.offset_at(at) - (offset + (at - began) * ppm / 1e6)) for at in (clock.first_ns, clock.last_ns)
            ]
            if max(errors) <= clock.uncertainty_ns + ANCHOR_NS:
                found[offset, ppm] = part
                break
    assert set(found) == set(PLANTED), [(part.name, part.offset) for part in run.header.parts]
    unsure = max(part.offset.uncertainty_ns for part in run.header.parts if part.offset is not None)
    assert unsure < 100_000_000
    base = run.outcomes[0].due_ns - due[run.outcomes[0].seq]
    assert all(abs(one.due_ns - base - due[one.seq]) <= 2 * unsure for one in run.outcomes)
    own = {
        one.seq: one.wall_ns
        for part in run.header.parts
        for one in read_record(run.folder / "parts" / part.name).outcomes
    }
    assert {one.seq: one.wall_ns for one in run.outcomes} == own
    assert not run.summary.ledger_errors
    assert any("times of different hosts compare within" in finding for finding in run.header.findings)


def test_clocks_of_other_hosts_are_found_within_the_stated_uncertainty(
    tmp_path: Path, suite: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUNIE_PLANTED", str(planted_clocks(tmp_path / "clocks")))
    monkeypatch.setattr(post, "GENERATOR", "tests.engine.fleet.planted_generator")
    load = {"rate": 6, "queries": 48}
    run = run_of(tmp_path, experiment(suite, server, 3, load=load))
    assert (run.status, run.error) == ("done", None)
    due = dict(enumerate(islice(due_offsets(Timed(Flat(6.0), 1.0), 0), 48)))
    check_clocks(run, due)


HANGING = Script(
    rules=(Rule(contains="Question 5", reply=Reply(steps=(Text(text="It is"), Hang()))),),
    replies=(Reply(steps=(Text(text="An answer."),)),),
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_however_the_runner_ends_nothing_is_left_and_the_folder_is_whole(
    tmp_path: Path, suite: Path, number: signal.Signals
) -> None:
    out = tmp_path / "run"
    with scripted_server(HANGING) as server:
        argv = [sys.executable, "-m", "punie_trace", "run", "--url", server.base_url, "--path", "http", "--plain"]
        argv += ["--suite", str(suite), "--out", str(out), "--otlp", "off", "--generators", "2", "--rate", "20"]
        argv += ["--queries", "400"]
        with subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as runner:  # fmt: skip
            wait_for_outcomes(out, runner, 10)
            seen = generators_below(runner.pid)
            assert len(seen) == 2
            os.kill(runner.pid, number)
            _, err = runner.communicate(timeout=WITHIN_S)
    assert all_gone(seen)
    assert runner.returncode == (130 if number is signal.SIGINT else -number)
    assert "Traceback" not in err
    on_disk = sum(len(read_record(folder).outcomes) for folder in out.glob("parts/*/") if folder.is_dir())
    run = read_run(out)
    assert len(run.outcomes) == on_disk >= 10
    assert run.header.merged
    if number is signal.SIGINT:
        assert [part.status for part in run.header.parts] == ["interrupted"] * 2
        assert run.status == "interrupted"
    else:
        assert run.status == "running"
        assert all(part.outcomes is not None for part in run.header.parts)
        assert any("the run was killed before it had ended" in finding for finding in run.header.findings)


def wait_for_outcomes(out: Path, runner: subprocess.Popen[str], many: int) -> None:
    deadline = time.monotonic() + WITHIN_S
    while sum(file.read_bytes().count(b"\n") for file in out.glob("parts/*/outcomes.jsonl")) < many:
        assert runner.poll() is None, runner.communicate()
        assert time.monotonic() < deadline, "the generators never asked so many"
        time.sleep(0.05)
