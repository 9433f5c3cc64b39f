from __future__ import annotations

from pathlib import Path

import pytest

from punie_trace.analysis.advice import MOST_ADVICE, advise
from punie_trace.analysis.figure_kinds import LedgerFigures
from punie_trace.analysis.figures import ConfigurationFigures, Summary
from punie_trace.analysis.levers import amdahl
from punie_trace.analysis.summary import summarize
from punie_trace.records import Verdict
from punie_trace.runs.reader import read_run
from tests.synthetic_run import ARMS, QUERIES, Arm, write_run


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return summarize(read_run(write_run(tmp_path_factory.mktemp("runs") / "r")))


def with_shares(summary: Summary, generation: float, tool: float, framework: float, queue: float) -> Summary:
    wall = 1000.0
    shares = LedgerFigures(
        wall=1, client_queue=queue, generation=generation, tool=tool, framework=framework, tool_work=tool
    )
    times = LedgerFigures(**{line: value * wall for line, value in shares.model_dump().items()})
    base: ConfigurationFigures = summary.configurations["baseline"]
    changed = base.model_copy(update={"ledger_share": shares, "ledger_ms": times})
    return summary.model_copy(
        update={"configurations": {**summary.configurations, "baseline": changed}, "comparisons": ()}
    )


def test_generation_bound_says_what_helps_and_by_how_much(summary: Summary) -> None:
    advice = advise(with_shares(summary, 0.80, 0.10, 0.10, 0.0))[0]
    assert advice.about == "generation"
    assert advice.bound == pytest.approx(amdahl(0.8, 2), abs=1e-6)
    for text in ("80% of a query's time", "800 of 1000 ms", "gain 1.25x", "1.67x", "5.0x"):
        assert text in advice.text


def test_it_names_the_fastest_that_was_measured_and_that_its_answers_differ(summary: Summary) -> None:
    text = next(one.text for one in summary.advice if one.about == "generation")
    assert "The fastest that was measured, speculative-3, gains" in text
    assert "2 of 5 answers differ" in text


@pytest.mark.parametrize(
    ("shares", "about", "bound"),
    [
        ((0.4, 0.5, 0.1, 0.0), "tool", 2),
        ((0.5, 0.1, 0.4, 0.0), "framework", 1 / 0.6),
        ((0.5, 0.1, 0.1, 0.3), "client queue", 1 / 0.7),
    ],
)
def test_other_bounds(summary: Summary, shares: tuple[float, float, float, float], about: str, bound: float) -> None:
    (advice,) = [one for one in advise(with_shares(summary, *shares)) if one.about == about]
    assert advice.bound == pytest.approx(bound, abs=1e-6)


def test_answers_at_the_level_of_a_constant_come_first(tmp_path: Path) -> None:
    direct = [query.name for query in QUERIES if query.expected == "direct"]
    wrong = {(name, round_): Verdict.SHOULD_NOT_HAVE_CALLED for name in direct for round_ in range(3)}
    summary = summarize(read_run(write_run(tmp_path / "r", {"baseline": Arm(verdicts=wrong)})))
    assert summary.advice[0].about == "accuracy"
    assert "'always a tool' could (3 of 5)" in summary.advice[0].text


def test_five_right_of_five_are_told_apart_from_a_constant_by_more_queries(summary: Summary) -> None:
    (text,) = [one.text for one in summary.advice if one.about == "accuracy"]
    assert "5 of 5 right does not yet tell" in text
    assert "it takes 6 queries at this rate" in text


def test_what_cannot_be_told_says_what_it_would_take(summary: Summary) -> None:
    (text,) = [one.text for one in summary.advice if one.about == "rounds"]
    assert text.startswith("Whether speculative-5 differs in speed from baseline cannot be told")


def test_it_is_never_more_than_one_can_take_in(summary: Summary) -> None:
    assert 1 <= len(summary.advice) <= MOST_ADVICE
    assert set(ARMS) == set(summary.configurations)


def test_the_levers_stand_beside_each_other_with_the_commands_that_try_them(summary: Summary) -> None:
    (advice,) = [one for one in summary.advice if one.about == "levers"]
    assert advice.bound is not None
    assert f" {advice.bound:.2f}x" in advice.text
    assert "half the output tokens" in advice.text
    assert "(punie-trace train concise --model MODEL --from RUN)" in advice.text


def test_below_the_bound_there_are_no_levers(summary: Summary) -> None:
    assert "levers" not in [one.about for one in advise(with_shares(summary, 0.5, 0.3, 0.2, 0.0))]
