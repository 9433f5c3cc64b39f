from __future__ import annotations

import random
from pathlib import Path

import pytest

from punie_trace.analysis.observations import observe
from punie_trace.analysis.steady import FEWEST, start_up, truncation
from punie_trace.runs.reader import read_run
from tests.synthetic_run import Arm, write_run


def test_a_slow_start_is_cut_where_it_ends() -> None:
    chance = random.Random(3)
    series = [chance.gauss(1.0, 0.05) for _ in range(12)] + [chance.gauss(0.0, 0.05) for _ in range(48)]
    assert truncation(series) == 12
    assert truncation([0.0] * 20) == 0


@pytest.mark.parametrize("seed", range(5))
def test_noise_alone_is_no_start(seed: int, tmp_path: Path) -> None:
    arms = {"a": Arm(noise=0.05 + seed / 50)}
    observed = observe(read_run(write_run(tmp_path / "r", arms, rounds=4)))
    assert start_up(observed["a"]) is None


def test_few_queries_have_no_start(tmp_path: Path) -> None:
    observed = observe(read_run(write_run(tmp_path / "r", {"a": Arm()}, rounds=1)))
    assert len(observed["a"]) < FEWEST
    assert start_up(observed["a"]) is None
