"""Costs from noisy timings."""

from __future__ import annotations

import random
from itertools import pairwise
from math import ceil

from hypothesis import given, settings
from hypothesis import strategies as st

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
        for m in (1, 3, 4):
            cost.add(m, 90 + 10 * m)
    cost.add(9, 50_000)
    assert cost.curve(9)[8] < 330  # 180 by the line of the others
    for _ in range(60):
        cost.add(9, 50_000)
    assert 800 < cost.curve(9)[8] <= 900  # never more than nine single rows
    for _ in range(40):
        cost.add(9, 120)
    assert 119 < cost.curve(9)[8] < 190


def test_a_curve_that_bends_upwards_is_carried_on_as_steeply() -> None:
    cost = VerificationCost()
    for _ in range(30):
        for m in (1, 2, 4, 6, 8):
            cost.add(m, 100 + m)
        for m in (10, 12, 14, 16):
            cost.add(m, 100 + 20 * (m - 8))
    assert cost.curve(20)[19] > 300


def test_before_anything_longer_was_timed_it_is_hoped_for() -> None:
    cost = VerificationCost()
    cost.add(1, 100)
    assert 100 < cost.curve(9)[8] < 150


def test_nothing_measured_is_no_curve() -> None:
    assert VerificationCost().curve(4) == []
