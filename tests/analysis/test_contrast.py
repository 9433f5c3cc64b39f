from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from punie_trace.analysis.contrast import Contrast, contrast_across, contrast_within
from punie_trace.analysis.gates import parse_gates
from punie_trace.errors import ConfigurationError
from punie_trace.records import Verdict
from punie_trace.runs.reader import RunRecord, read_run
from tests.synthetic_run import ARMS, QUERIES, Arm, write_run

WRONG = {("async-await", round_): Verdict.WRONG_ANSWER for round_ in range(3)}


def run_of(folder: Path, arms: Mapping[str, Arm], **how: object) -> RunRecord:
    return read_run(write_run(folder, arms, **how))  # ty: ignore[invalid-argument-type]


def speeds(contrast: Contrast) -> dict[tuple[str, str], float]:
    return {
        (one.baseline, one.other): one.speed.estimate for one in contrast.summary.comparisons if one.speed is not None
    }


def test_within_a_run_any_configuration_can_be_the_baseline(tmp_path: Path) -> None:
    run = run_of(tmp_path / "r", {"baseline": Arm(), "fast": Arm(speed=2.0)})
    (usual,) = speeds(contrast_within(run)).values()
    other = contrast_within(run, "fast", parse_gates(["baseline.speedup < 1"]))
    assert speeds(other) == {("fast", "baseline"): pytest.approx(1 / usual, rel=1e-5)}
    assert other.gates_hold
    assert not other.across_runs
    with pytest.raises(ConfigurationError, match="no configuration 'fest'; did you mean 'fast'"):
        contrast_within(run, "fest")


def test_across_runs_namesakes_are_paired(tmp_path: Path) -> None:
    first = run_of(tmp_path / "a", {"baseline": Arm(), "fast": Arm(speed=2.0), "gone": Arm()})
    second = run_of(tmp_path / "b", {"baseline": Arm(), "fast": Arm(speed=4.0, verdicts=WRONG), "new": Arm()})
    contrast = contrast_across(first, second, None, parse_gates(["fast.speedup > 1.05", "fast.accuracy.lost == 0"]))
    found = speeds(contrast)
    assert list(found) == [("baseline", "baseline"), ("fast", "fast")]
    assert found["baseline", "baseline"] == pytest.approx(1, abs=0.05)
    assert found["fast", "fast"] > 1.2
    assert [gate.verdict for gate in contrast.gates] == ["passed", "failed"]
    assert contrast.across_runs
    lost = contrast.summary.comparisons[1].accuracy
    assert lost is not None
    assert lost.lost == ("async-await",)
    assert any("gone" in one for one in contrast.remarks)
    assert any("new" in one for one in contrast.remarks)
    assert any("one after the other" in one for one in contrast.remarks)


def test_across_runs_one_baseline_can_stand_against_all(tmp_path: Path) -> None:
    first = run_of(tmp_path / "a", {"baseline": Arm()})
    second = run_of(tmp_path / "b", {"fast": Arm(speed=2.0), "slow": Arm(speed=0.5, answers={"orm-or-sql": "No."})})
    contrast = contrast_across(first, second, "baseline")
    assert list(speeds(contrast)) == [("baseline", "fast"), ("baseline", "slow")]
    same = contrast.summary.configurations["slow"].answers_identical_to_baseline
    assert same is not None
    assert same.different == ("orm-or-sql",)
    with pytest.raises(ConfigurationError, match="say with --baseline"):
        contrast_across(first, second)
    with pytest.raises(ConfigurationError, match="no configuration 'fast'; known: baseline"):
        contrast_across(first, second, "fast")


def test_only_queries_of_both_runs_are_compared(tmp_path: Path) -> None:
    first = run_of(tmp_path / "a", {"baseline": Arm()}, queries=QUERIES[:4], rounds=5)
    second = run_of(tmp_path / "b", {"baseline": Arm()}, queries=QUERIES[1:])
    contrast = contrast_across(first, second)
    (comparison,) = contrast.summary.comparisons
    assert comparison.speed is not None
    assert (comparison.speed.queries, comparison.speed.pairs) == (3, 9)
    assert any("the 3 queries that both runs asked, of 5" in one for one in contrast.remarks)
    assert [one.field for one in contrast.differences] == ["rounds"]


def test_a_configuration_without_outcomes_is_no_partner(tmp_path: Path) -> None:
    first = run_of(tmp_path / "a", {"baseline": Arm()}, failures={"broken": "no weights"})
    second = run_of(tmp_path / "b", {"baseline": Arm(), "broken": Arm()})
    assert list(speeds(contrast_across(first, second))) == [("baseline", "baseline")]


def test_a_run_of_nothing_is_named(tmp_path: Path) -> None:
    first, second = run_of(tmp_path / "a", {"baseline": Arm()}), run_of(tmp_path / "b", {})
    with pytest.raises(ConfigurationError, match="b: no configuration was measured"):
        contrast_across(first, second)


def test_it_survives_its_own_json(tmp_path: Path) -> None:
    first = run_of(tmp_path / "a", ARMS)
    second = run_of(tmp_path / "b", {"baseline": replace(ARMS["baseline"], speed=1.2)})
    contrast = contrast_across(first, second, None, parse_gates(["preset:interactive"]))
    assert Contrast.model_validate_json(contrast.model_dump_json()) == contrast


def test_within_a_run_what_a_configuration_differs_in_is_named(tmp_path: Path) -> None:
    run = run_of(tmp_path / "r", {"baseline": Arm(), "speculative-2": Arm(speed=2.0, draft=True)})
    fields = {one.field: (one.first, one.second) for one in contrast_within(run).differences}
    assert fields == {
        "draft model": ("not recorded", "demo-draft"),
        "num draft tokens": ("not recorded", "2"),
    }


def test_a_namesake_on_another_kind_of_server_is_warned_of(tmp_path: Path) -> None:
    first = run_of(tmp_path / "a", {"baseline": Arm()})
    second = run_of(tmp_path / "b", {"baseline": Arm(kind="url")})
    assert contrast_across(first, second).warning == "baseline is another server in the second run: kind mlx_lm -> url"
    assert contrast_across(first, first).warning == ""
