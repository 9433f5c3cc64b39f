"""Loads on the real command line, with a scripted server: what the run folder holds of them, and the exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from punie_trace.runs.reader import read_run
from punie_trace.testing import Reply, Script
from tests.cli.conftest import GOOD, Bench

OneServer = Callable[[Script], str]


def test_a_rate_is_an_open_loop_and_the_run_says_what_the_client_did(bench: Bench, one_server: OneServer) -> None:
    flags = ("--rate", "40", "--arrivals", "constant", "--path", "http", "--queries", "12", "--full")
    result = bench.invoke(*bench.flags(one_server(GOOD)), *flags)
    assert result.exit_code == 0, result.output
    run = read_run(bench.out)
    due = sorted(outcome.due_ns for outcome in run.outcomes)
    assert [at - due[0] for at in due] == [number * 25_000_000 for number in range(12)]
    (client,) = run.header.client
    assert (client.configurations, client.load, client.sent, client.dropped) == (("baseline",), "open", 12, 0)
    assert "12 queries were asked" in client.ended
    assert run.header.load == "open loop, constant arrivals, 40 a second, at most 12 queries each"
    summary = json.loads((bench.out / "summary.json").read_text())
    assert summary["configurations"]["baseline"]["client"]["late_ms_median"] >= 0
    assert run.header.load in " ".join(result.output.split())  # it may take more than one line
    assert "queries are missing" not in result.output


def test_a_sweep_has_a_row_for_each_level(bench: Bench, one_server: OneServer) -> None:
    result = bench.run(one_server(GOOD), "--sweep", "concurrency=1,2", "--path", "http")
    assert result.exit_code == 0, result.output
    run = read_run(bench.out)
    assert list(run.header.configurations) == ["baseline-concurrency-1", "baseline-concurrency-2"]
    assert len(run.outcomes) == 8
    assert len({outcome.seq for outcome in run.outcomes}) == 8
    assert [client.configurations for client in run.header.client] == [
        ("baseline-concurrency-1",),
        ("baseline-concurrency-2",),
    ]


def test_arrivals_of_a_run_are_replayed(bench: Bench, one_server: OneServer) -> None:
    toml = one_server(GOOD)
    assert bench.run(toml, "--path", "http").exit_code == 0
    first = sorted(outcome.due_ns for outcome in read_run(bench.out).outcomes)
    recorded, bench.out = bench.out, bench.folder / "again"
    result = bench.invoke(*bench.flags(toml), "--replay", str(recorded), "--path", "http")
    assert result.exit_code == 0, result.output
    again = sorted(outcome.due_ns for outcome in read_run(bench.out).outcomes)
    assert [at - again[0] for at in again] == pytest.approx([at - first[0] for at in first], abs=1000)


def test_errors_end_the_run_early_in_order(bench: Bench, one_server: OneServer) -> None:
    script = Script(replies=(Reply(status=500, error="out of cheese"),))
    flags = ("--queries", "200", "--max-error-ratio", "0.5", "--path", "http")
    result = bench.invoke(*bench.flags(one_server(script)), *flags)
    assert result.exit_code == 4, result.output
    run = read_run(bench.out)
    assert run.header.status == "ended-early"
    assert len(run.outcomes) == 20
    assert any("20 of 20 queries failed" in finding for finding in run.header.findings)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--rate", "0"), "a rate of 0 queries a second cannot be"),
        (("--rate=-1",), "a rate of -1"),
        (("--rate", "nan"), "a rate of nan"),
        (("--rate", "1e12"), "beyond what one client can send"),
        (("--rate", "2", "--concurrency", "2"), "give one of the two"),
        (("--arrivals", "poison", "--rate", "2"), "load.arrivals"),
        (("--sweep", "rate=1,two"), "'two' is no number"),
    ],
)
def test_a_bad_load_is_one_line_and_exit_code_2(
    bench: Bench, one_server: OneServer, flags: tuple[str, ...], says: str
) -> None:
    result = bench.run(one_server(GOOD), *flags)
    assert result.exit_code == 2, result.output
    assert says in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not bench.out.exists()
