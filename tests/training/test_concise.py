"""From a run to a model that says less: when it would help, what is trained on, what is held out, and the training."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from punie_trace import Configuration, Experiment, Run, measure
from punie_trace.errors import ConfigurationError, ModelError
from punie_trace.testing import Reply, Rule, Script, Text, ToolCall, scripted_server
from punie_trace.training.concise import plan_concise, show_pairs, write_plan
from punie_trace.training.lora import LoraSettings, train_lora
from punie_trace.training.pairs import concise_pairs, held_out_of
from tests.tiny_model import make_model

QUESTIONS = 12
GENERATION_S = 0.05
SHORT = "It is number {}, which the library allows."
WORDY = f"Sure! {SHORT}\n{SHORT}\nI hope this helps."


def case(number: int) -> dict[str, object]:
    tool = number % 2 == 0
    metadata = {"expected": "tool" if tool else "direct", "answer_contains": [f"number {number}"]}
    return {"name": f"q{number}", "inputs": f"Which number is it, question-{number}-?", "metadata": metadata}


def rules(number: int) -> list[Rule]:
    contains = f"question-{number}-"
    answer = Reply(steps=(Text(text=WORDY.format(number, number)),), delay_s=GENERATION_S)
    if number % 2:
        return [Rule(contains=contains, reply=answer)]
    call = ToolCall(name="find_definition", arguments={"name": "Loan"})
    first = Reply(steps=(call,), delay_s=GENERATION_S)
    return [Rule(contains=contains, turn=0, reply=first), Rule(contains=contains, turn=1, reply=answer)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("wordy")
    suite = folder / "wordy.json"
    suite.write_text(json.dumps({"cases": [case(number) for number in range(QUESTIONS)]}))
    script = Script(rules=tuple(rule for number in range(QUESTIONS) for rule in rules(number)))
    with scripted_server(script) as server:
        configuration = Configuration("wordy", kind="url", url=server.base_url)
        experiment = Experiment(suite=str(suite), rounds=1, warm_up=0, configurations=[configuration])
        measured = measure(experiment, out=folder / "run", otlp="off")
    assert measured.configurations["wordy"].correct == QUESTIONS, measured.failures
    return measured


def test_pairs_are_right_answers_without_what_says_nothing(run: Run) -> None:
    pairs = concise_pairs(run.record, "wordy")
    assert len(pairs.pairs) + len(pairs.held_out) == QUESTIONS
    for pair in pairs.pairs:
        number = pair.query.removeprefix("q")
        assert pair.answer == WORDY.format(number, number)
        assert pair.concise == SHORT.format(number)
        assert pair.cuts == ("opening", "closing", "repeated lines")
        assert pair.kind == ("direct" if int(number) % 2 else "tool")
    assert pairs.shorter_by > 0.5
    assert "-->" in show_pairs(pairs)


def test_what_is_held_out_is_in_no_example_and_is_the_same_each_time(run: Run, tmp_path: Path) -> None:
    plan = plan_concise(run.record, run.summary, model="m", anyway=True)
    held_out = {query.name for query in plan.pairs.held_out}
    assert held_out == held_out_of(f"q{number}" for number in reversed(range(QUESTIONS)))
    assert len(held_out) == 4
    trained = json.dumps(plan.examples)
    assert not [name for name in held_out if f"question-{name.removeprefix('q')}-" in trained]
    compare = write_plan(plan, run.record, tmp_path / "concise")
    experiment = Experiment.from_file(compare)
    assert [one.name for one in experiment.named] == ["baseline", "concise"]
    assert {one["name"] for one in json.loads(Path(experiment.suite).read_text())["cases"]} == held_out


def test_the_comparison_asks_about_the_code_base_that_was_made_for_the_run(run: Run, tmp_path: Path) -> None:
    plan = plan_concise(run.record, run.summary, model="m", anyway=True)
    made = tmp_path / "run" / "workspace"
    made.mkdir(parents=True)
    compare = write_plan(plan, replace(run.record, folder=made.parent), tmp_path / "concise")
    assert Experiment.from_file(compare).workspace == str(made)
    assert "workspace" not in write_plan(plan, run.record, tmp_path / "sample").read_text().replace(str(tmp_path), "")


def test_questions_about_several_code_bases_are_not_compared_in_one(run: Run) -> None:
    header = run.record.header
    queries = [
        replace(query, workspace="" if number % 2 else "-made") for number, query in enumerate(header.suite.queries)
    ]
    suite = header.suite.model_copy(update={"queries": tuple(queries)})
    mixed = replace(run.record, header=header.model_copy(update={"suite": suite}))
    with pytest.raises(ConfigurationError, match=r"about 2 code bases.*--suite fresh:120"):
        plan_concise(mixed, run.summary, model="m", anyway=True)


def test_examples_end_with_what_the_model_is_to_say(run: Run) -> None:
    pair = next(one for one in concise_pairs(run.record, "wordy").pairs if one.kind == "tool")
    call, answer = pair.examples()
    roles = [message["role"] for message in answer["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]
    assert call["messages"] == answer["messages"][:3]
    assert call["messages"][-1]["tool_calls"][0]["function"] == {
        "name": "find_definition",
        "arguments": {"name": "Loan"},
    }
    assert "find_definition" in [tool["function"]["name"] for tool in answer["tools"]]
    assert answer["messages"][-1] == {"role": "assistant", "content": pair.concise}


def test_too_few_answers_are_no_training_unless_it_is_wanted_anyway(run: Run) -> None:
    share = run.configurations["wordy"].ledger_share
    assert share is not None
    generous = run.summary.model_copy(
        update={
            "configurations": {
                "wordy": run.configurations["wordy"].model_copy(
                    update={"ledger_share": share.model_copy(update={"generation": 0.9})}
                )
            }
        }
    )
    with pytest.raises(ConfigurationError, match=r"too few right answers .*: \d of 20 tool and \d of 10 direct"):
        plan_concise(run.record, generous, model="m")
    plan_concise(run.record, generous, model="m", anyway=True)


def test_where_generation_takes_little_there_is_no_training_unless_it_is_wanted_anyway(run: Run) -> None:
    share = run.configurations["wordy"].ledger_share
    assert share is not None
    small = run.configurations["wordy"].model_copy(
        update={"ledger_share": share.model_copy(update={"generation": 0.55})}
    )
    summary = run.summary.model_copy(update={"configurations": {"wordy": small}})
    with pytest.raises(ConfigurationError, match="generation is 55% of a query's time in wordy; fewer words help only"):
        plan_concise(run.record, summary, model="m")
    assert plan_concise(run.record, summary, model="m", anyway=True).generation_share == pytest.approx(0.55)
    with pytest.raises(ConfigurationError, match="no configuration 'worday'; did you mean 'wordy'"):
        plan_concise(run.record, summary, configuration="worday", model="m")


def test_the_command_shows_the_pairs_and_trains_nothing_unasked(run: Run, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "punie_trace", "train", "concise", "--from", str(run.folder), "--model", "m"]
    done = subprocess.run(
        [*command, "--anyway", "--out", str(tmp_path / "o")],
        capture_output=True, text=True, timeout=100, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "4 questions are held out" in done.stdout
    assert "-->" in done.stdout
    assert "Nothing was trained" in done.stdout
    assert not (tmp_path / "o" / "adapters").exists()


@pytest.mark.timeout(400)
def test_a_lora_is_trained_by_mlx_lm_and_what_it_cannot_do_is_said(run: Run, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model", layers=1, context=4096)
    plan = plan_concise(run.record, run.summary, model=str(model), anyway=True)
    lines: list[str] = []
    settings = LoraSettings(passes=4 / len(plan.examples), most_tokens=512)
    trained = train_lora(plan.model, plan.examples, tmp_path / "out", settings, lines.append)
    assert (trained.steps, trained.cut_short) == (4, False)
    assert (trained.adapters / "adapters.safetensors").is_file()
    assert any("Trainable parameters" in line for line in lines)
    with pytest.raises(ModelError, match="mlx_lm lora ended with exit code"):
        train_lora(str(tmp_path / "absent"), plan.examples, tmp_path / "none", settings, lines.append)
