"""What the benches of the client share: a server of known latency in its own process, and a run against it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from punie_trace.records import Outcome
from punie_trace.runs.reader import RunRecord, read_run

HOST = "127.0.0.1"
MODEL = "known-latency"
QUESTION = "What is REST?"
NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class KnownServer:
    """A server that runs, and the file of its truth."""

    port: int
    truth: Path
    pid: int

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self.port}/v1"

    def truths(self) -> dict[str, dict[str, object]]:
        """What the server did for each request, by the trace id that the request carried; whole once it has ended."""
        return {
            str(one["traceparent"]).split("-")[1]: one for one in self.all_truths() if one["traceparent"] is not None
        }

    def all_truths(self) -> list[dict[str, object]]:
        """What the server did for each request for text, those that carried no trace id among them."""
        lines = [json.loads(line) for line in self.truth.read_text(encoding="ascii").splitlines()]
        return [one for one in lines if one["kind"] == "text"]


@contextmanager
def known_server(folder: Path, *flags: str) -> Generator[KnownServer]:
    """A server of known latency with these flags, up and answering; ended, and its truth written, on the way out."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        port = found.getsockname()[1]
    truth = folder / f"truth-{port}.jsonl"
    command = [sys.executable, "-m", "punie_trace.testing", "--port", str(port), "--record", str(truth)]
    command += ["--first-ms", "50", "--between-ms", "10"]  # what the flags do not change
    with subprocess.Popen([*command, *flags]) as process:
        try:
            _wait_for(port)
            yield KnownServer(port, truth, process.pid)
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(port: int, limit_s: float = 60.0) -> None:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"the server on port {port} did not come up within {limit_s:g} s")


@dataclass(frozen=True, slots=True)
class TimedRun:
    """A run of the real command line, and when its process was started and had ended (wall clock, ns)."""

    run: RunRecord
    started_ns: int
    ended_ns: int

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        return self.run.outcomes

    @property
    def to_first_query_s(self) -> float:
        """From the start of the command to the sending of its first counted query."""
        return (min(one.sent_ns for one in self.outcomes) - self.started_ns) / 1e9

    @property
    def from_last_answer_s(self) -> float:
        """From the end of the last query to the end of the command."""
        return (self.ended_ns - max(one.done_ns for one in self.outcomes)) / 1e9


def timed_run(folder: Path, name: str, server: KnownServer, *flags: str) -> TimedRun:
    """`punie-trace run --url … --path http` with these flags on top, on a suite of one question."""
    suite = folder / "suite.json"
    suite.write_text(json.dumps({"name": "one-question", "cases": [{"name": "rest", "inputs": QUESTION}]}))
    out = folder / name
    command = [sys.executable, "-m", "punie_trace", "run", "--url", server.base_url, "--path", "http", "--plain"]
    command += ["--suite", str(suite), "--out", str(out), "--otlp", "off", *flags]
    environment = {**os.environ, "NO_COLOR": "1"}
    started_ns = time.time_ns()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    ended_ns = time.time_ns()
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return TimedRun(read_run(out), started_ns, ended_ns)


def request_bodies() -> Iterator[tuple[str, dict[str, object]]]:
    """(trace id, body) of one request after another, as the `http` path would ask, without its tools."""
    for number in range(1, 2**31):
        body: dict[str, object] = {
            "model": MODEL,
            "messages": [{"role": "user", "content": QUESTION}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        yield f"{number:032x}", body
