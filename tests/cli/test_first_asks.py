"""A server that remembers, over the real command line: the headline does not move, and the finding names it."""

from __future__ import annotations

import json

from punie_trace.testing import Reply, Script, Text
from tests.cli.conftest import Bench

QUESTIONS = 6
SUITE = {
    "name": "six",
    "cases": [{"name": f"q{number}", "inputs": f"What is REST, number {number}?"} for number in range(QUESTIONS)],
}


def taking(*seconds: float) -> Script:
    """A server that answers its first request in the first of these times, and so on."""
    return Script(replies=tuple(Reply(steps=(Text(text="A style.", delay_s=one),)) for one in seconds))


def test_a_second_ask_twice_as_fast_moves_no_headline_and_is_a_finding(bench: Bench) -> None:
    bench.suite.write_text(json.dumps(SUITE))
    steady, planted = (0.1,), (0.1,) * QUESTIONS + (0.05,) * QUESTIONS
    toml = (
        f"warm_up = 0\n[configurations.baseline]\n{bench.server(taking(*steady), 'steady')}"
        f"[configurations.remembering]\n{bench.server(taking(*planted), 'planted')}"
    )
    result = bench.run(toml, "--path", "http")
    assert result.exit_code == 0, result.output
    summary = json.loads((bench.out / "summary.json").read_text())
    (comparison,) = summary["comparisons"]
    assert comparison["speed"]["pairs"] == QUESTIONS
    assert 0.9 < comparison["speed"]["estimate"] < 1.1
    assert comparison["speed_again"]["value"] > 1.5
    gain = summary["configurations"]["remembering"]["asked_again"]["gain"]
    assert 1.5 < gain["value"] < 2.2
    text = " ".join(result.output.split())
    assert f"remembering answers a question that it was asked before {gain['value']:.2f}x" in text
