from __future__ import annotations

import json
from pathlib import Path

import pytest

from punie_trace.engine.energy_gauges import energy_gauges, energy_gauges_of
from punie_trace.runs.reader import read_run
from punie_trace.spans import names
from tests.synthetic_run import ARMS, write_run

ARM = {"baseline": ARMS["baseline"], "speculative-2": ARMS["speculative-2"]}
WATTS = 20.0


def with_readings(folder: Path, **more: float) -> Path:
    """A run during which the machine's counters rose by 20 W throughout."""
    write_run(folder, ARM)
    run = read_run(folder)
    begin, end = run.outcomes[0].sent_ns - 1, run.outcomes[-1].done_ns + 1
    samples = [{"at_ns": at, "joules": (at - begin) / 1e9 * WATTS, **more} for at in (begin, (begin + end) // 2, end)]
    (folder / "energy.jsonl").write_text("".join(json.dumps(one) + "\n" for one in samples))
    return folder


def test_joules_for_a_right_answer_are_power_times_time(tmp_path: Path) -> None:
    run = read_run(with_readings(tmp_path / "r"))
    gauges = {(one.metric, one.configuration): one.value for one in energy_gauges(run)}
    for name in ARM:
        walls = [one.done_ns - one.sent_ns for one in run.outcomes if one.configuration == name]
        expected = sum(walls) / 1e9 * WATTS / len(walls)
        assert gauges[names.METRIC_ENERGY_PER_RIGHT, name] == pytest.approx(expected)
    assert (names.METRIC_GPU_UTILIZATION, "baseline") not in gauges  # nothing told it, so nothing is sent
    assert {one.path for one in energy_gauges(run)} == {"agent"}


def test_the_use_of_a_gpu_is_sent_where_it_was_told(tmp_path: Path) -> None:
    gauges = energy_gauges_of(with_readings(tmp_path / "r", gpu_utilization=0.93))
    used = [one.value for one in gauges if one.metric == names.METRIC_GPU_UTILIZATION]
    assert used == pytest.approx([0.93] * len(used))
    assert used


def test_without_readings_nothing_is_sent_and_no_folder_is_read(tmp_path: Path) -> None:
    assert energy_gauges(read_run(write_run(tmp_path / "r", ARM))) == ()
    assert energy_gauges_of(tmp_path / "no such folder") == ()


def test_a_folder_that_cannot_be_read_costs_the_figures_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "energy.jsonl").write_text("")
    assert energy_gauges_of(tmp_path) == ()
