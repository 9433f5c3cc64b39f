"""Runs that stop by themselves, over the real command line and a scripted server."""

from __future__ import annotations

import json

import pytest

from punie_trace.runs.reader import read_run
from punie_trace.testing import Reply, Rule, Script, Text
from tests.cli.conftest import GOOD, Bench

THREE = {
    "name": "three",
    "cases": [{"name": f"q{number}", "inputs": f"What is REST, number {number}?"} for number in range(3)],
}


def slow(seconds: float) -> Script:
    return Script(rules=(Rule(contains="REST", reply=Reply(steps=(Text(text="A style.", delay_s=seconds),))),))


@pytest.fixture
def three(bench: Bench) -> Bench:
    bench.suite.write_text(json.dumps(THREE))
    return bench


def test_it_stops_as_soon_as_a_clear_difference_is_told(three: Bench) -> None:
    toml = (
        f"warm_up = 0\n[configurations.baseline]\n{three.server(slow(0.4), 'slow')}"
        f"[configurations.other]\n{three.server(slow(0.01), 'quick')}"
    )
    result = three.run(toml, "--until", "decided", "--max-rounds", "6", "--path", "http")
    assert result.exit_code == 0, result.output
    header = read_run(three.out).header
    assert header.stopping is not None
    assert header.stopping.reason is not None
    assert header.stopping.reason.startswith("every comparison was decided, after")
    assert header.rounds == header.stopping.looks[-1].rounds
    assert "stopped: every comparison was decided" in result.output
    assert "faster" in result.output
    again = three.invoke("report", str(three.out), "--full")
    assert "until every comparison is decided" in " ".join(again.output.split())


def test_it_stops_where_more_rounds_would_tell_nothing_and_says_what_is_open(three: Bench) -> None:
    server = three.server(slow(0.01))
    arms = f"[configurations.baseline]\n{server}[configurations.same]\n{server}temp = 0.5\n"
    toml = f"until = 'decided'\nmax_rounds = 8\n{arms}"
    result = three.run(toml, "--path", "http")
    assert result.exit_code == 0, result.output
    header = read_run(three.out).header
    assert header.stopping is not None
    assert (header.stopping.reason or "").startswith("servers remember what they were asked")
    assert "not decided: same" in (header.stopping.reason or "")
    assert header.rounds < 8
    assert max(one.round for one in read_run(three.out).outcomes) == header.rounds


@pytest.mark.parametrize(
    ("toml", "flags", "says"),
    [
        ("", ("--until", "decided"), "'baseline' is all there is"),
        ("", ("--until", "bored"), "until"),
        ("", ("--max-rounds", "4"), "until = 'decided', which is not set"),
        ("until = 'decided'\nmax_rounds = 1\n", (), "max_rounds is 1"),
        ("until = 'decided'\nmax_minutes = -1\n", (), "max_minutes"),
    ],
)
def test_what_cannot_be_is_refused_before_a_start(bench: Bench, toml: str, flags: tuple[str, ...], says: str) -> None:
    result = bench.run(f"{toml}[configurations.baseline]\n{bench.server(GOOD)}", *flags)
    assert result.exit_code == 2
    assert says in " ".join(result.output.split())
    assert not bench.out.exists()


def test_disturbed_rounds_are_asked_again_and_left_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("punie_trace.analysis.disturbances.MOST_OTHER_CPU", -1.0)  # whatever the machine does
    result = bench.run(f"[configurations.baseline]\n{bench.server(GOOD)}", "--repeat-contaminated", "--rounds", "1")
    assert result.exit_code == 0, result.output
    run = read_run(bench.out)
    assert run.header.left_out_rounds == (1,)  # and the second is kept, since there is no third
    assert {one.round for one in run.outcomes} == {1, 2}
    assert "was disturbed and will be asked again" in result.output
