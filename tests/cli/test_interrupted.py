"""However a run ends: what was measured is kept and readable, and no server is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest

from punie_trace.runs.reader import read_run
from punie_trace.testing import Hang, Reply, Rule, Script, Text
from tests.cli.conftest import DIRECT, Bench

# One query is answered at once, the other never: so there is one outcome, and one query in flight.
SCRIPT = Script(
    rules=(
        Rule(contains="REST", reply=DIRECT),
        Rule(contains="IsLibrarian", reply=Reply(steps=(Text(text="It is"), Hang()))),
    )
)


def started(bench: Bench) -> subprocess.Popen[str]:
    suite = json.loads(bench.suite.read_text())
    suite["cases"].reverse()
    bench.suite.write_text(json.dumps(suite))
    toml = f"warm_up = 0\nconcurrency = 2\n[configurations.baseline]\n{bench.server(SCRIPT)}"
    command = [sys.executable, "-m", "punie_trace", "run", "--config", str(bench.config(toml))]
    command += ["--suite", str(bench.suite), "--out", str(bench.out), "--otlp", "off"]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=bench.folder,
        start_new_session=True,
        # A shell that runs the tests in the background has them ignore it, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.fixture
def running(bench: Bench) -> Generator[tuple[Bench, subprocess.Popen[str], list[psutil.Process]]]:
    """A run with a query in flight, and the processes that it has started."""
    runner = started(bench)
    try:
        children = wait_for_query_in_flight(bench.out, runner)
        yield bench, runner, children
    finally:
        if runner.poll() is None:
            runner.kill()
        runner.communicate(timeout=30)


def wait_for_query_in_flight(folder: Path, runner: subprocess.Popen[str]) -> list[psutil.Process]:
    deadline = time.monotonic() + 60
    log = folder / "servers" / "server-1.log"
    while time.monotonic() < deadline:
        assert runner.poll() is None, runner.communicate()
        children = psutil.Process(runner.pid).children(recursive=True)
        # A hanging query never writes a line, so give a run that has its server ready a moment to send it.
        ready = folder.exists() and log.exists() and json.loads((folder / "run.json").read_text())["servers"]
        if ready and children:
            time.sleep(1.5)
            return children
        time.sleep(0.1)
    raise AssertionError("the run never got to its first query")


def wait_for_first_outcome(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not (folder / "outcomes.jsonl").read_bytes():
        assert time.monotonic() < deadline, "the first query was never answered"
        time.sleep(0.05)


def gone_within(processes: list[psutil.Process], seconds: float) -> bool:
    return not psutil.wait_procs(processes, timeout=seconds)[1]


def test_killed_at_once_leaves_no_server_and_a_readable_folder(
    running: tuple[Bench, subprocess.Popen[str], list[psutil.Process]],
) -> None:
    bench, runner, children = running
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait(timeout=10)
    assert gone_within(children, 5.0)
    report = bench.invoke("report", str(bench.out))
    assert report.exit_code == 0, report.output
    assert read_run(bench.out).header.status == "running"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_servers_keeps_the_run_and_prints_it(
    running: tuple[Bench, subprocess.Popen[str], list[psutil.Process]], number: signal.Signals
) -> None:
    bench, runner, children = running
    wait_for_first_outcome(bench.out)
    os.kill(runner.pid, number)
    out, err = runner.communicate(timeout=30)
    assert runner.returncode == 130, err
    assert gone_within(children, 5.0)
    assert "Traceback" not in err
    assert "baseline" in out
    header = read_run(bench.out).header
    assert header.status == "interrupted"
    (client,) = header.client
    assert (client.configurations, client.ended) == (("baseline",), "it was interrupted")
    assert client.sent - len(read_run(bench.out).outcomes) in (1, 2)  # those that hang
    assert (bench.out / "summary.json").exists()


def test_a_full_disk_ends_the_run_with_what_it_has(bench: Bench) -> None:
    """A limit on file size stands for the full disk: writing fails in the same way, in the middle of a line."""
    from tests.cli.conftest import GOOD

    toml = f"warm_up = 0\nrounds = 400\n[configurations.baseline]\n{bench.server(GOOD)}"
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)); "
        "from punie_trace.cli.main import main; sys.argv[0] = 'punie-trace'; main()"
    )
    command = [sys.executable, "-c", limited, "run", "--config", str(bench.config(toml))]
    command += ["--suite", str(bench.suite), "--out", str(bench.out), "--otlp", "off"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=bench.folder, timeout=110, check=False)
    assert done.returncode == 4, done.stderr
    assert "disk is full" in done.stderr or "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    run = read_run(bench.out)
    assert run.outcomes
