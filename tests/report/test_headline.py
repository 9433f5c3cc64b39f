from __future__ import annotations

from pathlib import Path

from punie_trace.analysis.summary import summarize
from punie_trace.records import Verdict
from punie_trace.report.headline import Headline, headline
from punie_trace.runs.reader import read_run
from tests.synthetic_run import QUERIES, Arm, write_run


def said(folder: Path, arms: dict[str, Arm]) -> Headline:
    return headline(summarize(read_run(write_run(folder, arms))))


def test_the_fastest_at_the_same_accuracy_comes_first(tmp_path: Path) -> None:
    wrong = {(query.name, round_): Verdict.WRONG_ANSWER for query in QUERIES[:1] for round_ in range(3)}
    arms = {"baseline": Arm(), "right": Arm(speed=1.5), "quick": Arm(speed=3.0, verdicts=wrong)}
    one = said(tmp_path / "r", arms)
    assert one.text.startswith("right is 1.")
    assert "at the same accuracy (5 of 5 right)" in one.text
    assert one.detail == "Faster still, but wrong where baseline is right: quick."
    assert one.tone == "good"


def test_speed_that_costs_answers_says_so(tmp_path: Path) -> None:
    wrong = {(query.name, round_): Verdict.WRONG_ANSWER for query in QUERIES[:2] for round_ in range(3)}
    one = said(tmp_path / "r", {"baseline": Arm(), "quick": Arm(speed=3.0, verdicts=wrong)})
    assert "but wrong on 2 that baseline gets right (3 of 5 right)" in one.text
    assert one.tone == "bad"


def test_more_right_answers_are_said(tmp_path: Path) -> None:
    wrong = {(QUERIES[0].name, round_): Verdict.WRONG_ANSWER for round_ in range(3)}
    one = said(tmp_path / "r", {"baseline": Arm(verdicts=wrong), "quick": Arm(speed=3.0)})
    assert "and right on 1 that baseline gets wrong" in one.text


def test_other_answers_are_said(tmp_path: Path) -> None:
    arms = {"baseline": Arm(), "quick": Arm(speed=3.0, answers={QUERIES[0].name: "Else."})}
    assert said(tmp_path / "r", arms).detail == "1 of 5 answers are not the same to the letter."


def test_no_faster_one(tmp_path: Path) -> None:
    one = said(tmp_path / "r", {"baseline": Arm(), "slow": Arm(speed=0.5), "equal": Arm(noise=0.3)})
    assert one.text == "No configuration is measurably faster than baseline."
    assert "Slower: slow." in one.detail
    assert "Cannot be told from it: equal." in one.detail
    assert one.tone == "bad"


def test_one_alone_and_none_at_all(tmp_path: Path) -> None:
    one = said(tmp_path / "r", {"only": Arm()})
    assert one.text.startswith("only takes ")
    assert "5 of 5 right" in one.text
    assert said(tmp_path / "s", {}).text == "Nothing was measured."
    failed = {(query.name, round_): Verdict.ERROR for query in QUERIES for round_ in range(3)}
    assert said(tmp_path / "t", {"only": Arm(verdicts=failed)}).text == "only answered no query; 0 of 5 right."
