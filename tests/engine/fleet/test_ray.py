"""Generators on the nodes of a real Ray cluster: what one would have asked, and nothing left, whatever is killed.

A cluster takes its time to come up, so these stand aside where Ray is not installed (the extra `ray`), and CI has a job
of their own for them.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from itertools import islice
from pathlib import Path

import psutil
import pytest

from punie_trace import Event, Experiment, QueryEnded, Run, read_run
from punie_trace.driver.arrivals import Flat, Timed, due_offsets
from punie_trace.engine.fleet import ray_posts
from punie_trace.testing import ScriptedServer, scripted_server
from tests.engine.fleet.test_fleet import (
    GOOD,
    HANGING,
    check_clocks,
    experiment,
    planted_clocks,
    run_of,
    suite,  # noqa: F401  # a fixture
)

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: punie-trace[ray]"),
    pytest.mark.timeout(400),
]
UP_S = 240.0
GONE_S = 60.0


class Cluster:
    """Three nodes in processes of their own."""

    def __init__(self) -> None:
        argv = [sys.executable, "-m", "tests.engine.fleet.ray_cluster"]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        words = next((line for line in self.process.stdout if line.startswith("address ")), "")
        if not words:
            self.close()
            pytest.fail("the cluster did not come up")
        self.address = words.split()[1]

    def below(self, words: str) -> list[psutil.Process]:
        """Processes of the cluster whose command line holds `words`."""
        return [one for one in psutil.process_iter() if words in command_of(one)]

    def close(self) -> None:
        alive = self.process.poll() is None
        children = psutil.Process(self.process.pid).children(recursive=True) if alive else []
        try:
            self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for child in children:
            if child.is_running():
                child.kill()


@pytest.fixture(scope="module")
def cluster() -> Generator[Cluster]:
    one = Cluster()
    yield one
    one.close()


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def generators() -> list[psutil.Process]:
    module = "punie_trace.engine.fleet.generator"
    return [one for one in psutil.process_iter() if module in (line := command_of(one)) and "launch.py" not in line]


def agents_of(found: list[psutil.Process]) -> list[psutil.Process]:
    """Ray's workers that have started these generators: the parents of their launchers."""
    return [one.parents()[1] for one in found]


def started(cluster: Cluster, server: ScriptedServer, file: Path, out: Path, *flags: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "punie_trace", "run", "--url", server.base_url, "--path", "http", "--plain"]
    argv += ["--suite", str(file), "--out", str(out), "--otlp", "off", *flags, "--ray", cluster.address]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def all_gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=GONE_S)[1]


def nothing_is_left_on_disk(run: Run) -> bool:
    return not (Path(tempfile.gettempdir()) / f"punie-trace-parts-{run.header.id}").exists()


def wait_for_generators(many: int, runner: subprocess.Popen[str], server: ScriptedServer, asked: int) -> None:
    deadline = time.monotonic() + UP_S
    while len(generators()) < many or len(server.requests) < asked:
        assert runner.poll() is None, runner.communicate()
        assert time.monotonic() < deadline, "the generators never asked so many"
        time.sleep(0.1)


def test_three_nodes_ask_what_one_generator_would(
    cluster: Cluster, tmp_path: Path, suite: Path  # noqa: F811
) -> None:  # fmt: skip
    with scripted_server(GOOD) as server:
        alone = run_of(tmp_path, experiment(suite, server, 1, load={"rate": 30, "queries": 90}))
        runner = started(cluster, server, suite, tmp_path / "run", "--rate", "30", "--queries", "90")
        _, err = runner.communicate(timeout=UP_S)
    assert runner.returncode == 0, err
    run = read_run(tmp_path / "run")
    assert {one.seq: (one.query, one.round, one.verdict) for one in run.outcomes} == {
        one.seq: (one.query, one.round, one.verdict) for one in alone.outcomes
    }
    due = {one.seq: one.due_ns for one in alone.outcomes}
    base = run.outcomes[0].due_ns - due[run.outcomes[0].seq]
    assert {one.seq: one.due_ns - base for one in run.outcomes} == due
    assert [(part.arrivals, part.outcomes, part.status) for part in run.header.parts] == [(30, 30, "done")] * 3
    assert not generators()
    assert nothing_is_left_on_disk(run)


def test_planted_clocks_on_nodes_are_found_within_the_stated_uncertainty(
    cluster: Cluster, tmp_path: Path, suite: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setattr(ray_posts, "GENERATOR", "tests.engine.fleet.planted_generator")
    clocks, repository = planted_clocks(tmp_path / "clocks"), str(Path(__file__).parents[3])
    fleet = {
        "ray": cluster.address,
        "generators": None,
        "runtime_env": {"env_vars": {"PUNIE_PLANTED": str(clocks), "PYTHONPATH": repository}},
    }
    with scripted_server(GOOD) as server:
        run = run_of(tmp_path, experiment(suite, server, 3, load={"rate": 6, "queries": 48}, fleet=fleet))
    assert (run.status, run.error) == ("done", None)
    check_clocks(run, dict(enumerate(islice(due_offsets(Timed(Flat(6.0), 1.0), 0), 48))))


def test_a_worker_that_is_killed_costs_its_part(
    cluster: Cluster, tmp_path: Path, suite: Path  # noqa: F811
) -> None:  # fmt: skip
    with scripted_server(GOOD) as server:
        runner = started(cluster, server, suite, tmp_path / "run", "--rate", "15", "--queries", "300")
        wait_for_generators(3, runner, server, 30)
        seen = generators()
        agents_of(seen)[0].kill()
        _, err = runner.communicate(timeout=UP_S)
    assert runner.returncode == 4, err
    run = read_run(tmp_path / "run")
    lost = [part for part in run.header.parts if part.status == "lost"]
    assert len(lost) == 1
    assert [part.arrivals for part in run.header.parts] == [100] * 3
    assert sum(part.outcomes or 0 for part in run.header.parts) == len(run.outcomes)
    assert len(run.outcomes) + (lost[0].unaccounted or 0) == 300
    assert 0 < (lost[0].outcomes or 0) < 100, "what it wrote before was brought home"
    assert all_gone(seen)


def test_a_server_is_placed_on_a_node_and_lives_and_ends_there(
    cluster: Cluster, tmp_path: Path, suite: Path  # noqa: F811
) -> None:  # fmt: skip
    script = tmp_path / "script.json"
    script.write_text(GOOD.model_dump_json())
    command = [sys.executable, "-m", "punie_trace.testing", "--port", "{port}", "--script", str(script)]
    server = {"kind": "command", "command": command, "node": "node1", "host": "127.0.0.1"}
    fleet = {"ray": cluster.address, "generators": 2, "place": "here"}
    one = Experiment(
        suite=str(suite), path="http", warm_up=0, server=server, fleet=fleet, load={"rate": 20, "queries": 30}
    )
    seen: list[psutil.Process] = []
    above: list[str] = []

    def look(event: Event) -> None:
        if isinstance(event, QueryEnded) and not seen:
            seen.extend(each for each in psutil.process_iter() if str(script) in command_of(each))
            above.extend(command_of(parent) for each in seen for parent in each.parents())

    run = run_of(tmp_path, one, look)
    assert (run.status, run.error, len(run.outcomes)) == ("done", None, 30)
    assert any("ray::" in one for one in above), "it did not run below a worker of the cluster"
    assert all_gone(seen)
    (record,) = run.header.servers.values()
    assert record.identity["pid"] in {each.pid for each in seen}
    assert (record.memory_peak_bytes or 0) > 1_000_000
    assert record.log is not None
    assert (run.folder / record.log).is_file()
    assert nothing_is_left_on_disk(run)


def test_a_runner_that_is_killed_leaves_no_generator(
    cluster: Cluster, tmp_path: Path, suite: Path  # noqa: F811
) -> None:  # fmt: skip
    with scripted_server(HANGING) as server:
        runner = started(cluster, server, suite, tmp_path / "run", "--rate", "15", "--queries", "900")
        wait_for_generators(3, runner, server, 20)
        seen = generators()
        os.kill(runner.pid, signal.SIGKILL)
        runner.communicate(timeout=30)
        assert all_gone(seen)
    run = read_run(tmp_path / "run")
    assert run.status == "running"
    assert len(run.header.parts) == 3
    assert any("the run was killed before it had ended" in finding for finding in run.header.findings)


def test_a_head_that_is_killed_ends_the_run_with_what_there_is(
    cluster: Cluster, tmp_path: Path, suite: Path  # noqa: F811
) -> None:  # fmt: skip
    with scripted_server(GOOD) as server:
        runner = started(cluster, server, suite, tmp_path / "run", "--rate", "15", "--queries", "6000")
        wait_for_generators(3, runner, server, 30)
        seen = generators()
        (head,) = cluster.below("gcs/gcs_server")
        head.kill()
        raylet = next(one for one in cluster.below("raylet/raylet") if "--head" in command_of(one))
        raylet.kill()
        _, err = runner.communicate(timeout=UP_S)
    assert runner.returncode == 4, err
    assert "Traceback" not in err
    run = read_run(tmp_path / "run")
    assert [part.status for part in run.header.parts] == ["lost"] * 3
    assert sum(part.arrivals or 0 for part in run.header.parts) == 6000
    assert len(run.outcomes) + sum(part.unaccounted or 0 for part in run.header.parts) == 6000
    assert all_gone(seen)
