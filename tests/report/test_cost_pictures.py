from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from punie_trace.analysis.energy import EnergyFigures
from punie_trace.analysis.figures import Summary
from punie_trace.analysis.summary import summarize
from punie_trace.report.cost_pictures import costs
from punie_trace.report.model import Note, Picture
from punie_trace.runs.reader import read_run
from tests.synthetic_run import ARMS, write_run

ENERGY = EnergyFigures(15, 30.0, 6.0, 2.0, 41.5, 0.93, 2**30)


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    arms = {**ARMS, "silent": replace(ARMS["baseline"], tokens_reported=False)}
    return summarize(read_run(write_run(tmp_path_factory.mktemp("costs") / "r", arms)))


def titles(summary: Summary) -> list[str]:
    return re.findall("<h3>(.*?)</h3>", markup(summary))


def markup(summary: Summary) -> str:
    return "".join(block.draw() for block in costs(summary).blocks if isinstance(block, Picture))


def notes(summary: Summary) -> str:
    return " ".join(block.text for block in costs(summary).blocks if isinstance(block, Note))


def test_each_measure_has_a_bar_for_each_configuration_and_the_longest_fills_the_width(summary: Summary) -> None:
    assert titles(summary) == ["Time for each right answer", "Output tokens of a query", "Peak memory of its server"]
    for one in markup(summary).split("<h3>")[1:]:
        names = re.findall(r'<div class="line bar"><p>(.*?)</p>', one)
        assert names == [*ARMS, "silent"]
        widths = [float(width) for width in re.findall(r'class="cost" x="0%" width="([\d.]+)%"', one)]
        assert max(widths) == 100
        assert min(widths) > 0


def test_what_was_not_observable_has_no_bar_and_says_so(summary: Summary) -> None:
    tokens = markup(summary).split("<h3>")[2]
    assert tokens.count("not observable") == 1
    assert tokens.count("<svg") == len(ARMS)
    assert "Energy is not observable: nothing on this machine told its energy" in notes(summary)


def test_energy_is_shown_where_it_was_seen(summary: Summary) -> None:
    configurations = {
        name: one.model_copy(update={"energy": ENERGY if name == "baseline" else None})
        for name, one in summary.configurations.items()
    }
    run = summary.run.model_copy(update={"energy": ""})
    seen = summary.model_copy(update={"configurations": configurations, "run": run})
    assert titles(seen)[3:] == ["Energy for each right answer", "Energy for 1,000 output tokens"]
    assert "baseline: 2.0 J" in markup(seen)
    assert "baseline: 41.5 J" in markup(seen)
    assert "whatever else ran on" in notes(seen)


def test_a_run_of_nothing_costs_nothing(tmp_path: Path) -> None:
    assert costs(summarize(read_run(write_run(tmp_path / "r", {})))).blocks == ()
