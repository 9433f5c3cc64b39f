"""What a server remembers is its own figure and a finding, and moves no headline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from punie_trace.analysis.figures import Summary
from punie_trace.analysis.gates import check_gates, parse_gates
from punie_trace.analysis.memory_gain import remembers
from punie_trace.analysis.summary import summarize
from punie_trace.records import Query
from punie_trace.report.headline import headline
from punie_trace.runs.reader import read_run
from tests.synthetic_run import Arm, write_run

MANY = tuple(Query(f"q{n}", f"What is {n}?", "direct", category="one") for n in range(12))


def summary_of(folder: Path, arm: Arm, *, rounds: int = 3, queries: tuple[Query, ...] = MANY) -> Summary:
    arms = {"baseline": Arm(noise=0.02), "other": arm}
    return summarize(read_run(write_run(folder, arms, rounds=rounds, queries=queries)))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """A server that answers again in half the time, and is no faster the first time."""
    arm = Arm(draft=True, remembers=True, again=2.0, noise=0.02)
    return summary_of(tmp_path_factory.mktemp("runs") / "r", arm)


def test_a_planted_memory_moves_neither_headline_nor_verdict(planted: Summary) -> None:
    (comparison,) = planted.comparisons
    assert comparison.speed is not None
    assert comparison.speed.pairs == 12
    assert comparison.speed.estimate == pytest.approx(1.0, abs=0.03)
    assert comparison.speed.verdict == "cannot tell"
    assert headline(planted).text == "No configuration is measurably faster than baseline."


def test_what_it_brings_is_its_own_figure_with_an_interval(planted: Summary) -> None:
    again = planted.configurations["other"].asked_again
    assert again is not None
    assert again.gain is not None
    assert remembers(again)
    assert again.queries == 12
    assert again.first_ms / again.again_ms == pytest.approx(again.gain.value, rel=0.1)
    assert again.gain.low is not None
    assert 1.5 < again.gain.low < again.gain.value
    assert planted.configurations["baseline"].asked_again is None  # it forgets


def test_the_finding_names_it_with_its_size(planted: Summary) -> None:
    (finding,) = [one for one in planted.findings if "asked before" in one]
    again = planted.configurations["other"].asked_again
    assert again is not None
    assert again.gain is not None
    assert finding.startswith(f"other answers a question that it was asked before {again.gain.value:.2f}x (")
    assert "memory and not speed" in finding
    assert not any("had not settled" in one for one in planted.findings)


def test_a_server_that_remembers_nothing_is_not_said_to(tmp_path: Path) -> None:
    summary = summary_of(tmp_path / "r", Arm(draft=True, remembers=True, noise=0.02))
    assert not [one for one in summary.findings if "asked before" in one]
    again = summary.configurations["other"].asked_again
    assert again is not None
    assert not remembers(again)


def test_of_a_server_that_is_to_remember_it_is_said_even_where_it_may_be_chance(tmp_path: Path) -> None:
    arms = {"baseline": Arm(noise=0.02, remembers=True), "other": Arm(draft=True, remembers=True, noise=0.02)}
    run = read_run(write_run(tmp_path / "r", arms, rounds=3, queries=MANY))
    settings = {**run.header.configuration, "configurations": {"baseline": {}, "other": {"memory": "server"}}}
    told = replace(run, header=run.header.model_copy(update={"configuration": settings}))
    (finding,) = [one for one in summarize(told).findings if "memory = server" in one]
    assert finding.startswith("other keeps what it was asked (memory = server): the 12 questions that came again were ")
    assert "which may be chance; speed-ups are of first asks only" in finding
    assert not [one for one in summarize(run).findings if "may be chance" in one]


def test_of_a_server_that_forgets_every_round_counts(tmp_path: Path) -> None:
    summary = summary_of(tmp_path / "r", Arm(speed=1.5))
    (comparison,) = summary.comparisons
    assert comparison.speed is not None
    assert comparison.speed.pairs == 36
    assert comparison.speed_again is None


def test_what_both_were_asked_before_is_a_speed_up_of_its_own(tmp_path: Path) -> None:
    arms = {"baseline": Arm(remembers=True), "other": Arm(draft=True, remembers=True, again=2.0, noise=0.02)}
    (comparison,) = summarize(read_run(write_run(tmp_path / "r", arms, queries=MANY))).comparisons
    assert comparison.speed is not None
    assert comparison.speed_again is not None
    assert comparison.speed_again.n == 12
    assert comparison.speed_again.value > 1.4 * comparison.speed.estimate


def test_too_few_first_asks_say_how_many_more_questions_would_tell(tmp_path: Path) -> None:
    summary = summary_of(tmp_path / "r", Arm(draft=True, remembers=True, speed=1.2, noise=0.25), queries=MANY[:4])
    (comparison,) = summary.comparisons
    assert comparison.speed is not None
    assert comparison.speed.verdict == "cannot tell"
    assert comparison.speed.more_rounds is None
    assert comparison.speed.more_queries is not None
    (advice,) = [one.text for one in summary.advice if one.about == "rounds"]
    assert f"about {comparison.speed.more_queries} more question" in advice
    assert f"About {comparison.speed.more_queries} more question" in headline(summary).detail


def test_configurations_of_one_process_that_were_asked_nothing_first_cannot_be_told(tmp_path: Path) -> None:
    arms = {"baseline": Arm(remembers=True), "second": Arm(remembers=True, speed=2.0)}  # both on one server
    summary = summarize(read_run(write_run(tmp_path / "r", arms, queries=MANY)))
    (comparison,) = summary.comparisons
    assert comparison.speed is None
    assert comparison.speed_again is not None
    assert any(one.startswith("second: every question had been asked") for one in summary.findings)
    assert "no question was asked first in both" in headline(summary).text
    (result,) = check_gates(parse_gates(["second.speedup > 1.1"]), summary)
    assert (result.holds, result.readings[0].why) == (
        False,
        "no question was asked first both here and in the baseline",
    )
