"""Gates on turns of sessions: names, readings, and why there is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from punie_trace.analysis.gates import GateResult, check_gates, parse_gate, parse_gates
from punie_trace.analysis.named_turn_figures import TURN_FIGURES, turn_figure
from punie_trace.analysis.summary import summarize
from punie_trace.analysis.turn_figures import turn_figures
from punie_trace.errors import ConfigurationError
from punie_trace.runs.reader import read_run
from tests.analysis.test_turns import C, N, Talk, W

DONE = Path(__file__).parents[1] / "runs" / "folders" / "done"
TURNS = turn_figures([
    Talk(f"talk-{number}").turn(10, 100, 0, N).turn(20 + number, 200, 90, W if number == 0 else C).observation()
    for number in range(4)
])  # fmt: skip


def read(gate: str) -> GateResult:
    """The gate on a run whose one configuration has these turns."""
    summary = summarize(read_run(DONE))
    name = next(iter(summary.configurations))
    figures = summary.configurations[name].model_copy(update={"turns": TURNS})
    summary = summary.model_copy(update={"configurations": {name: figures}})
    (result,) = check_gates([parse_gate(f"{name}.{gate}")], summary)
    return result


@pytest.mark.parametrize(
    ("gate", "verdict", "value"),
    [
        ("turn.1.wall < 20ms", "passed", 14.0),
        ("turn.2.wall < 20ms", "failed", 25.5),
        ("turn.2.cached_tokens > 89", "passed", 90.0),
        ("turn.2.prompt_tokens == 200", "passed", 200.0),
        ("turn.2.ttft < 1s", "passed", 3.0),
        ("turn.2.accuracy > 50%", "undecided", 0.75),
        ("turn.2.accuracy == 1", "failed", 0.75),
    ],
)
def test_each_turn_has_figures_that_a_gate_can_ask_for(gate: str, verdict: str, value: float) -> None:
    (reading,) = read(gate).readings
    assert (reading.verdict, reading.value) == (verdict, pytest.approx(value))


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ("turn.3.wall < 1s", "no session came to turn 3"),
        ("turn.1.accuracy == 1", "nothing says what is right in turn 1"),
        ("turn.2.ttft_call < 1s", "there was no such turn"),
    ],
)
def test_what_there_is_not_is_undecided_with_the_reason(gate: str, says: str) -> None:
    (reading,) = read(gate).readings
    assert reading.verdict == "undecided"
    assert says in reading.why


def test_a_suite_without_sessions_says_so() -> None:
    (result,) = check_gates([parse_gate("turn.2.wall < 1s")], summarize(read_run(DONE)))
    assert result.verdict == "undecided"
    assert "the suite asked no sessions" in result.readings[0].why


@pytest.mark.parametrize("name", ["turn.0.wall", "turn.x.wall", "turn.2", "turn.2.walls", "turns.2.wall"])
def test_other_names_are_none_of_a_turn(name: str) -> None:
    assert turn_figure(name) is None
    with pytest.raises(ConfigurationError, match="there is no figure"):
        parse_gates([f"{name} < 1s"])


def test_the_docs_name_every_figure_of_a_turn() -> None:
    text = (Path(__file__).parents[2] / "docs/gates.md").read_text("utf-8")
    assert set(re.findall(r"`turn\.N\.([a-z_]+)`", text)) == set(TURN_FIGURES)
