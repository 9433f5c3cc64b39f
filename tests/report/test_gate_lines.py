from __future__ import annotations

from pathlib import Path

import pytest

from punie_trace.analysis.figures import Summary
from punie_trace.analysis.gates import check_gates, parse_gates
from punie_trace.analysis.summary import summarize
from punie_trace.report.gate_lines import gate_lines
from punie_trace.runs.reader import read_run
from tests.synthetic_run import Arm, write_run


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return summarize(read_run(write_run(tmp_path_factory.mktemp("runs") / "r")))


def lines(summary: Summary, *texts: str) -> list[str]:
    return gate_lines(check_gates(parse_gates(texts), summary))


def test_one_configuration_is_one_line_with_value_and_interval(summary: Summary) -> None:
    assert lines(summary, "speculative-3.speedup > 1.5", "baseline.accuracy == 1", "baseline.memory.peak < 100MB") == [
        "ok     speculative-3.speedup > 1.5: passed; speculative-3 1.72x (1.67x to 1.77x)",
        "ok     baseline.accuracy == 1: passed; baseline 100% (56.6% to 100%), 5/5",
        "FAILED baseline.memory.peak < 100MB: failed; baseline 248 MiB",
        "2 of 3 gates hold",
    ]


def test_several_configurations_are_a_line_each(summary: Summary) -> None:
    found = lines(summary, "speedup > 1.2")
    assert found[0] == "FAILED speedup > 1.2: undecided, which counts as failed"
    assert found[1].startswith("       - speculative-2 passed: 1.54x")
    assert found[3].endswith("the bound lies within the interval")
    assert found[3].startswith("       ! speculative-5 undecided")
    assert found[4] == "0 of 1 gate holds"


def test_what_a_lenient_gate_lets_pass_is_said(summary: Summary) -> None:
    (first, *_) = lines(summary, "baseline.wall.p95 < 10s ?")
    assert first.startswith(
        "ok     baseline.wall.p95 < 10s ?: undecided, which this gate lets pass; baseline 1.02 s; 15 "
    )


def test_a_gate_about_nothing_says_why(tmp_path: Path) -> None:
    alone = summarize(read_run(write_run(tmp_path / "r", {"baseline": Arm()})))
    assert lines(alone, "speedup > 1")[0].endswith("counts as failed; there is no configuration beside the baseline")
    assert lines(alone) == []
