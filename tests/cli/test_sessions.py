"""Sessions by the command line: what is carried on, ledgers made again from `spans.jsonl` alone, turns compared."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from punie_trace.testing import Reply, Rule, Script, Text
from tests.cli.conftest import CALL, FOUND, Bench
from tests.cli.test_ledger_from_spans import LINES, by_walking, traces
from tests.tiny_model import make_model

TALK = {
    "name": "talk",
    "inputs": ["Where is IsLibrarian defined?", "What is REST?", "Thank you"],
    "metadata": {
        "turns": [
            {"expected": "tool", "tools": ["find_definition"], "answer_contains": ["permissions.py"]},
            {"expected": "direct", "answer_contains": ["interfaces"]},
            None,
        ]
    },
}
SHORT = {"name": "short", "inputs": ["What is REST?", "Where is IsLibrarian defined?"]}
RULES = (
    Rule(contains="IsLibrarian", turn=0, reply=CALL),
    Rule(contains="IsLibrarian", turn=1, reply=FOUND),
    Rule(contains="REST", reply=Reply(steps=(Text(text="A style of interfaces.", delay_s=0.01),))),
    Rule(reply=Reply(steps=(Text(text="You are welcome."),))),
)
FUNCTION = """
async def ask(question, endpoint, conversation):
    messages = [*conversation.messages, {"role": "user", "content": question}]
    body = {"model": endpoint.model, "messages": messages}
    response = await endpoint.http_client.post(endpoint.base_url + "/chat/completions", json=body)
    conversation.state["turns"] = conversation.state.get("turns", 0) + 1
    message = response.json()["choices"][0]["message"]
    return f"{conversation.state['turns']}: {message['content'] or ''}"


async def ask_once(question, endpoint):
    return "no"
"""


def sessions(bench: Bench, *cases: dict) -> None:
    bench.suite.write_text(json.dumps({"name": "talks", "cases": list(cases)}))


def outcomes(bench: Bench) -> list[dict]:
    return [json.loads(line) for line in (bench.out / "outcomes.jsonl").read_text().splitlines()]


def check_ledgers(folder: Path) -> int:
    """The ledger of each turn and of each whole, by a walk over the spans' instants; how many sessions there were."""
    found = 0
    for spans in traces(folder / "spans.jsonl").values():
        roots = [s for s in spans if s["name"].startswith("query ")]
        if not roots:
            continue
        turns = sorted((s for s in spans if "punie.turn.number" in s["attributes"]), key=lambda s: s["start"])
        whole = dict.fromkeys(LINES, 0)
        for turn in turns:
            ledger = by_walking(turn, int(turn["attributes"]["punie.turn.sent_ns"]), spans)
            assert ledger == {line: int(turn["attributes"][f"punie.turn.ledger.{line}_ns"]) for line in LINES}
            assert sum(ledger.values()) == turn["end"] - turn["start"]
            assert int(turn["attributes"]["punie.turn.ledger.wall_ns"]) == turn["end"] - turn["start"]
            whole = {line: whole[line] + ledger[line] for line in LINES}
        root = roots[0]["attributes"]
        assert whole == {line: int(root[f"punie.ledger.{line}_ns"]) for line in LINES}
        assert int(root["punie.ledger.wall_ns"]) == sum(turn["end"] - turn["start"] for turn in turns)
        assert all(before["end"] <= after["start"] for before, after in itertools.pairwise(turns))
        assert (roots[0]["start"], roots[0]["end"]) == (turns[0]["start"], turns[-1]["end"])
        assert len(turns) == int(root["punie.turns"])
        found += 1
    return found


@pytest.mark.parametrize("path", ["agent", "http"])
def test_a_session_is_one_query_with_a_ledger_and_a_verdict_for_each_turn(bench: Bench, path: str) -> None:
    sessions(bench, TALK, SHORT)
    # Two processes, as what one was asked by the other configuration would be no first ask.
    one, other = (bench.server(Script(rules=RULES), name) for name in ("one", "other"))
    result = bench.run(f"warm_up = 0\n[configurations.a]\n{one}\n[configurations.b]\n{other}\n", "--path", path)
    assert result.exit_code == 0, result.output
    assert check_ledgers(bench.out) == 2 * 2 * 2, "two sessions, rounds and configurations"
    for outcome in outcomes(bench):
        verdicts = [turn["verdict"] for turn in outcome["turns"]]
        if outcome["query"] == "talk":
            assert (outcome["verdict"], verdicts) == ("correct", ["correct", "correct", "not-judged"])
            # The scripted server counts ten tokens a message: what was said before is sent again.
            assert [turn["input_tokens"] for turn in outcome["turns"]] == [20 + 40, 60, 80]
        else:
            assert (outcome["verdict"], verdicts) == ("not-judged", ["not-judged"] * 2)
        assert outcome["answer"] == outcome["turns"][-1]["answer"]
    summary = json.loads((bench.out / "summary.json").read_text())
    assert [(one["number"], one["sessions"], one["judged"]) for one in summary["configurations"]["a"]["turns"]] == [
        (1, 2, 1),
        (2, 2, 1),
        (3, 1, 0),
    ]
    (comparison,) = summary["comparisons"]
    assert [one["number"] for one in comparison["by_turn"]] == [1, 2, 3]
    page = (bench.out / "report.html").read_text()
    assert "Cached tokens against context length" not in page, "this server tells of none"
    assert "Time to first token against context length" in page
    assert "turn 2 (correct): A style of interfaces." in page
    compared = bench.invoke("compare", str(bench.out), "--baseline", "b")
    assert "Turn by turn" in compared.output
    assert "a, turn 3" in compared.output
    across = bench.invoke("compare", str(bench.out), str(bench.out))
    assert "a, turn 1" in across.output
    assert "1.00x" in across.output


def test_a_function_that_takes_a_conversation_is_asked_sessions(bench: Bench) -> None:
    sessions(bench, {"name": "talk", "inputs": ["What is REST?", "Thank you"]})
    (bench.folder / "converses.py").write_text(FUNCTION)
    toml = (
        f'[agent]\nimport = "{bench.folder}/converses.py:ask"\n[configurations.a]\n{bench.server(Script(rules=RULES))}'
    )
    result = bench.run(toml)
    assert result.exit_code == 0, result.output
    for outcome in outcomes(bench):
        assert [turn["answer"] for turn in outcome["turns"]] == ["1: A style of interfaces.", "2: You are welcome."]
        assert [turn["input_tokens"] for turn in outcome["turns"]] == [10, 30]
    assert check_ledgers(bench.out) == 2 + 1


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        ('import = "{folder}/asks_once.py:ask_once"', "is asked single questions, and the suite has sessions"),
        ('program = ["true", "{{question}}"]', "program 'true' is started anew for each turn"),
    ],
)
def test_who_takes_single_questions_only_is_refused_before_anything_is_started(
    bench: Bench, agent: str, says: str
) -> None:
    sessions(bench, TALK)
    (bench.folder / "asks_once.py").write_text(FUNCTION)
    toml = f"[agent]\n{agent.format(folder=bench.folder)}\n[configurations.a]\n{bench.server(Script(rules=RULES))}"
    result = bench.run(toml)
    assert result.exit_code == 2
    assert says in " ".join(result.output.split())
    assert not bench.out.exists()


@pytest.mark.timeout(300)
def test_a_real_server_finds_more_of_each_later_turn_in_its_cache(bench: Bench, tmp_path: Path) -> None:
    target = make_model(tmp_path.resolve() / "target", layers=1, context=4096)
    sessions(bench, {"name": "talk", "inputs": ["What is REST?", "And what is a loan?", "And who lends?"]})
    own = f'kind = "punie"\nmodel_path = {json.dumps(str(target))}\nspeculation = "off"\nprompt_cache_size = 10\n'
    result = bench.run(f"[agent]\nmax_tokens = 16\n[configurations.a]\n{own}", "--path", "http", "--rounds", "1")
    assert result.exit_code == 0, result.output
    assert check_ledgers(bench.out) == 2
    turns = json.loads((bench.out / "summary.json").read_text())["configurations"]["a"]["turns"]
    assert [turn["number"] for turn in turns] == [1, 2, 3]
    for earlier, later in itertools.pairwise(turns):
        assert later["prompt_tokens"] > earlier["prompt_tokens"]
        assert later["cached_tokens"] > earlier["cached_tokens"]
    assert "Cached tokens against context length" in (bench.out / "report.html").read_text()
