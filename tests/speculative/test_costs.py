"""Costs from noisy timings."""

from __future__ import annotations

import random
from itertools import pairwise
from math import ceil

from hypothesis import given, settings
from hypothesis import strategies as st

from punie_trace.speculative.acceptance import AcceptanceTable
from punie_trace.speculative.costs import LowQuantile, VerificationCost, isotonic


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=80), st.integers(1, 12))
def test_a_low_quantile_is_that_of_the_window(values: list[float], window: int) -> None:
    quantile = LowQuantile(window)
    for value in values:
        quantile.add(value)
    last = sorted(values[-window:])
    assert quantile.value == last[ceil(0.25 * (len(last) - 1))]
    assert len(quantile) == len(last)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 9)), min_size=1, max_size=12))
def test_isotonic_is_monotone_and_keeps_the_weighted_mean(points: list[tuple[float, int]]) -> None:
    values, weights = [v for v, _ in points], [w for _, w in points]
    fitted = isotonic(values, weights)
    assert all(a <= b + 1e-9 for a, b in pairwise(fitted))
    total = sum(v * w for v, w in points)
    assert abs(sum(f * w for f, w in zip(fitted, weights, strict=True)) - total) < 1e-6 * max(1, total)
    if values == sorted(values):
        assert fitted == values


def test_a_noisy_curve_comes_out_right() -> None:
    noise = random.Random(1)
    cost = VerificationCost()
    for _ in range(40):
        for m in (1, 2, 4, 9):
            cost.add(m, 100 + 10 * m + (noise.uniform(0, 200) if noise.random() < 0.6 else 0))
    curve = cost.curve(12)
    assert all(a <= b for a, b in pairwise(curve))
    for m in (1, 2, 3, 4, 6, 9):
        assert abs(curve[m - 1] - (100 + 10 * m)) < 20, m
    assert curve[11] > curve[8]
    assert set(cost.measured()) == {1, 2, 4, 9}


def test_a_lone_wild_timing_is_not_believed() -> None:
    cost = VerificationCost()
    for _ in range(10):
        cost.add(1, 100)
    cost.add(9, 50_000)
    assert cost.curve(9)[8] == 300
    for _ in range(3):
        cost.add(9, 50_000)
    assert cost.curve(9)[8] == 900  # never more than nine single rows
    for _ in range(20):
        cost.add(9, 120)
    assert cost.curve(9)[8] == 120


def test_nothing_measured_is_no_curve() -> None:
    assert VerificationCost().curve(4) == []


def test_acceptance_is_learnt_by_context_and_position() -> None:
    table = AcceptanceTable(0.7)
    for _ in range(200):
        table.add("tool", 3, 2, (0.9, 0.9, 0.4))
        table.add("prose", 3, 0, (0.6, 0.5, 0.4))
    one, two, three = table.reach("tool", 3)
    assert one > 0.9
    assert two > 0.85
    assert three < 0.15
    assert table.reach("prose", 2)[0] < 0.1
    assert table.overall("tool") > 0.5 > table.overall("prose")
    assert table.confident(0.9) > 0.9 > 0.2 > table.confident(0.4)


def test_an_unknown_context_leans_on_what_is_known_of_the_drafter() -> None:
    table = AcceptanceTable(0.7)
    assert table.overall("new") == 0.7
    for _ in range(100):
        table.add("old", 2, 0, ())
    assert table.overall("new") < 0.1
