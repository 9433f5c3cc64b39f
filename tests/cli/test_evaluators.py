"""A run that is judged by evaluators: of pydantic-evals, of one's own, by a command; and what none of them judges."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from punie_trace.records import Outcome, Verdict
from punie_trace.runs.reader import read_run
from punie_trace.testing import Script
from tests.cli.conftest import GOOD, Bench

OneServer = Callable[[Script], str]
MINE = """
from dataclasses import dataclass
from pydantic_evals.evaluators import EvaluationReason, Evaluator

@dataclass
class Length(Evaluator):
    most: int

    def evaluate(self, ctx):
        return {
            "short": EvaluationReason(len(ctx.output) <= self.most, f"{len(ctx.output)} characters"),
            "length": len(ctx.output),
            "size": "small" if len(ctx.output) < 30 else "large",
        }
"""


def written(bench: Bench, *cases: dict[str, object], **dataset: object) -> None:
    (bench.folder / "cli_lengths.py").write_text(MINE)
    bench.suite.write_text(json.dumps({"cases": cases, **dataset}))


def case(name: str, inputs: str, *evaluators: object, **others: object) -> dict[str, object]:
    return {"name": name, "inputs": inputs, "evaluators": list(evaluators), **others}


def by_query(folder: Path) -> dict[str, Outcome]:
    return {outcome.query: outcome for outcome in read_run(folder).outcomes}


def test_evaluators_judge_a_run_and_their_figures_can_be_gated(bench: Bench, one_server: OneServer) -> None:
    command = {"command": [sys.executable, "-c", "open('accounts/permissions.py')"]}
    called = {"ToolCorrectness": {"expected_tools": ["find_definition"]}}
    written(
        bench,
        case("rest", "What is REST?", "EqualsExpected", expected_output="A style of interfaces."),
        case("librarian", "Where is IsLibrarian?", called, command),
        case("wrong", "What is REST, again?", {"Contains": "weather"}),
        evaluators=[{"Length": 40}],
    )
    gates = json.dumps(["score.length < 50", "label.size.small > 10% ?", "assertion.short == 1"])
    toml = f'evaluators = ["cli_lengths.py:Length"]\ngates = {gates}\nwarm_up = 0\n' + one_server(GOOD)
    toml = toml.replace("cli_lengths.py", str(bench.folder / "cli_lengths.py"))
    result = bench.run(toml, "--path", "http")
    assert result.exit_code == 0, result.output
    found = by_query(bench.out)
    assert {name: one.verdict for name, one in found.items()} == {
        "rest": Verdict.CORRECT,
        "librarian": Verdict.CORRECT,
        "wrong": Verdict.WRONG_ANSWER,
    }
    assert found["wrong"].error is not None
    assert found["wrong"].error.startswith("Contains: Output string 'A style of interfaces.' does not contain")
    assert {one.name: one.value for one in found["rest"].evaluations} == {
        "EqualsExpected": True,
        "short": True,
        "length": 22,
        "size": "small",
    }
    summary = json.loads((bench.out / "summary.json").read_text())["configurations"]["baseline"]
    assert summary["evaluations"]["length"]["score"]["value"] == pytest.approx(77 / 3, abs=1e-6)
    assert summary["evaluations"]["short"]["passed"]["value"] == 1.0
    assert (summary["correct"], summary["queries"]) == (2, 3)
    assert "3 of 3 gates hold" in result.output


def test_what_is_not_judged_is_outside_accuracy_and_the_gate_says_so(bench: Bench, one_server: OneServer) -> None:
    written(
        bench,
        case("rest", "What is REST?", metadata={"answer_contains": ["interfaces"], "tools": {"mine": 1}}),
        case("nothing", "What is REST, again?"),
    )
    result = bench.run('gates = ["accuracy == 1"]\n' + one_server(GOOD), "--path", "http")
    assert result.exit_code == 1, result.output
    assert {name: one.verdict for name, one in by_query(bench.out).items()} == {
        "rest": Verdict.CORRECT,
        "nothing": Verdict.NOT_JUDGED,
    }
    summary = json.loads((bench.out / "summary.json").read_text())
    figures = summary["configurations"]["baseline"]
    assert (figures["correct"], figures["queries"], figures["not_judged"]) == (1, 1, ["nothing"])
    assert any("1 query not judged, outside accuracy: nothing" in finding for finding in summary["findings"])
    assert any("'tools' is a mapping and not a list of texts" in note for note in summary["notes"])
    assert "1 of 2 queries not judged" in result.output


def test_an_evaluator_that_cannot_be_run_ends_it_before_anything_is_started(
    bench: Bench, one_server: OneServer
) -> None:
    written(bench, case("rest", "What is REST?", "Lenght"))
    result = bench.run(one_server(GOOD))
    assert result.exit_code == 2, result.output
    assert "there is no evaluator 'Lenght'" in result.output
    assert not bench.out.exists()
