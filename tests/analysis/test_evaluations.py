"""What evaluators found becomes figures over queries, and gates can ask for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from punie_trace.analysis.figures import Summary
from punie_trace.analysis.gates import GateResult, check_gates, parse_gates
from punie_trace.analysis.summary import summarize
from punie_trace.errors import ConfigurationError
from punie_trace.records import Evaluation, Verdict
from punie_trace.runs.reader import read_run
from tests.synthetic_run import QUERIES, Arm, write_run

FOUND = {
    query.name: (
        Evaluation("polite", number != 0),
        Evaluation("overlap", number / 4),
        Evaluation("tone.of voice", "kind" if number < 4 else "curt"),
        Evaluation("Mine", None, "ValueError: no"),
    )
    for number, query in enumerate(QUERIES)
}


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    folder = write_run(tmp_path_factory.mktemp("runs") / "r", {"baseline": Arm(evaluations=FOUND)})
    return summarize(read_run(folder))


def check(summary: Summary, text: str) -> GateResult:
    (result,) = check_gates(parse_gates([text]), summary)
    return result


def test_scores_have_a_mean_assertions_a_share_and_labels_are_counted(summary: Summary) -> None:
    found = summary.configurations["baseline"].evaluations
    assert list(found) == ["polite", "overlap", "tone.of voice", "Mine"]
    score, passed = found["overlap"].score, found["polite"].passed
    assert score is not None
    assert passed is not None
    assert (score.value, score.n) == (0.5, 5)
    # Student's t with 4 degrees of freedom: 2.776445 standard errors of 0.395285 / sqrt(5).
    assert (score.low, score.high) == (pytest.approx(0.00919, abs=1e-5), pytest.approx(0.99081, abs=1e-5))
    assert (passed.value, passed.n) == (0.8, 5)
    rounds = summary.run.rounds
    assert found["tone.of voice"].labels == {"kind": 4, "curt": 1}
    assert found["Mine"].failed == 5 * rounds
    assert f"baseline: the evaluator Mine failed {5 * rounds} times" in summary.findings


@pytest.mark.parametrize(
    ("gate", "verdict"),
    [
        ("baseline.score.overlap > 0", "passed"),
        ("score.overlap > 0.4", "undecided"),
        ("score.overlap == 0.5", "passed"),
        ("assertion.polite == 80%", "passed"),
        ("assertion.polite > 99.99%", "failed"),
        ("label.tone.of voice.curt < 50%", "undecided"),
        ("label.tone.of voice.curt == 0.2", "passed"),
    ],
)
def test_what_evaluators_found_can_be_gated(summary: Summary, gate: str, verdict: str) -> None:
    assert check(summary, gate).verdict == verdict


def test_a_name_that_no_evaluator_gave_is_undecided_and_the_nearest_is_named(summary: Summary) -> None:
    result = check(summary, "score.overlaps > 0")
    assert not result.holds
    assert result.readings[0].why == "no evaluator gave a score 'overlaps'; did you mean 'overlap'?"


def test_a_kind_alone_names_no_figure() -> None:
    with pytest.raises(ConfigurationError, match="no figure 'score'"):
        parse_gates(["score > 1"])


@pytest.mark.parametrize(("gate", "verdict"), [("accuracy == 1", "failed"), ("accuracy > 0.1", "undecided")])
def test_no_gate_on_accuracy_passes_with_a_query_that_was_not_judged(tmp_path: Path, gate: str, verdict: str) -> None:
    arm = replace(Arm(), verdicts={(QUERIES[0].name, 1): Verdict.NOT_JUDGED})
    summary = summarize(read_run(write_run(tmp_path / "r", {"baseline": arm})))
    result = check(summary, gate)
    assert result.verdict == verdict
    assert not result.holds
    assert result.readings[0].why == "1 of 5 queries not judged"
    assert summary.configurations["baseline"].accuracy is not None
