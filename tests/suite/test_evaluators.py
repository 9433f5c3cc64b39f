"""Evaluators are made as pydantic-evals makes them, and each that cannot be run is refused by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from punie_trace.errors import SuiteError
from punie_trace.suite.evaluators import CaseEvaluators, make_evaluators

MODULE = """
from dataclasses import dataclass
from pydantic_evals.evaluators import Equals, Evaluator

@dataclass
class Tact(Evaluator):
    least: int = 1

    def evaluate(self, ctx):
        return True

class NoDataclass(Evaluator):
    def evaluate(self, ctx):
        return True

nothing = 3
"""
BROKEN = "raise RuntimeError('not today')"


@pytest.fixture(autouse=True)
def modules(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.getbasetemp() / "modules_of_evaluators"
    if not folder.exists():
        folder.mkdir()
        (folder / "tactful.py").write_text(MODULE)
        (folder / "broken_evaluators.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(folder)
    return folder


def make(case: dict[str, object], *references: str, **dataset: object) -> tuple[CaseEvaluators, ...]:
    return make_evaluators({"cases": [{"inputs": "a", **case}], **dataset}, references, "mine.yaml")


def names(case: CaseEvaluators) -> list[str]:
    return [type(one).__name__ for one in case.evaluators]


def test_a_cases_own_come_first_and_then_those_of_all():
    (case,) = make({"evaluators": ["Tact", {"command": ["true"]}]}, "tactful:Tact", evaluators=[{"Contains": "x"}])
    assert names(case) == ["Tact", "Command", "Contains"]
    assert case.limits() == (None, 120.0, None)


@pytest.mark.parametrize("reference", ["tactful:Tact", "tactful", "FILE:Tact", "FILE"])
def test_classes_are_named_by_module_or_file(reference: str, modules: Path):
    (case,) = make({"evaluators": [{"Tact": {"least": 2}}]}, reference.replace("FILE", str(modules / "tactful.py")))
    assert names(case) == ["Tact"]


def test_keys_of_the_users_own_do_not_keep_a_dataset_from_being_judged():
    (case,) = make({"evaluators": ["Tact"], "difficulty": 3}, "tactful", owner="me", report_evaluators=["Curve"])
    assert names(case) == ["Tact"]


WRONG = {
    "unknown": (["Tackt"], ["tactful"], "there is no evaluator 'Tackt' (did you mean 'Tact'?)"),
    "several": (["Tact", "Zzz"], [], "there are no evaluators 'Tact' ("),
    "what to do": (["Zzz"], [], 'made known by evaluators = ["module:Class"]'),
    "bad arguments": ([{"Tact": {"most": 1}}], ["tactful"], "Failed to instantiate evaluator 'Tact'"),
    "no model": ([{"LLMJudge": "is it kind?"}], [], "LLMJudge names no model"),
    "no model either": ([{"GEval": {"criteria": "c", "evaluation_steps": ["s"]}}], [], "GEval names no model"),
    "no such model": ([{"LLMJudge": {"rubric": "x", "model": "nobody:nothing"}}], [], "the model of LLMJudge cannot"),
    "no module": (["Tact"], ["nowhere_at_all:Tact"], "there is no module 'nowhere_at_all'"),
    "no file": (["Tact"], ["nowhere.py:Tact"], "there is no file 'nowhere.py'"),
    "raises on import": (["Tact"], ["broken_evaluators:Tact"], "cannot be imported: RuntimeError: not today"),
    "no class": (["Tact"], ["tactful:Tackt"], "did you mean 'Tact'?"),
    "no evaluator": (["Tact"], ["tactful:nothing"], "'tactful:nothing' is no evaluator"),
    "no dataclass": (["NoDataclass"], ["tactful:NoDataclass"], "must be decorated with @dataclass"),
    "none in it": (["Tact"], ["textwrap"], "there is no evaluator in textwrap"),
    "an empty command": ([{"command": ""}], [], "a command is a program and its arguments"),
    "a command without an end": ([{"command": {"run": ["true"], "timeout_s": 0}}], [], "seconds above 0"),
}


@pytest.mark.parametrize(("specs", "references", "says"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_run_is_refused_by_name(specs: list[object], references: list[str], says: str):
    with pytest.raises(SuiteError) as caught:
        make({"evaluators": specs}, *references)
    assert says in str(caught.value)
