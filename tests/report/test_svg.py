from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import pytest

from punie_trace.report.svg import (
    MOST_DOTS,
    Box,
    Scale,
    axis,
    element,
    interval_line,
    over_time,
    scale_for,
    short,
    stacked_bar,
    strip,
)

HOSTILE = '"><script>alert(1)</script>&'


def test_a_scale_goes_from_value_to_place_and_keeps_to_its_edges() -> None:
    scale = Scale(10, 20)
    assert [scale.at(value) for value in (5, 10, 15, 20, 99)] == [0, 0, 50, 100, 100]
    wide = Scale(1, 100, logarithmic=True)
    assert [wide.at(value) for value in (0, 1, 10, 100)] == [0, 0, 50, 100]
    assert Scale(3, 3).at(3) == 50


def test_a_scale_starts_at_zero_unless_the_small_would_vanish() -> None:
    assert scale_for([5, 10]).low == 0
    assert not scale_for([5, 10]).logarithmic
    assert scale_for([1, 1000]).logarithmic
    assert scale_for([]) == scale_for([math.nan]) == Scale(0, 1)
    assert scale_for([0.0, 0.0]).high > 0
    near = scale_for([0.9, 1.1], from_zero=False)
    assert 0.8 < near.low < 0.9
    assert 1.1 < near.high < 1.2


@pytest.mark.parametrize("low", [0.0001, 0.7, 3.0, 250.0, 1e6])
@pytest.mark.parametrize("ratio", [1.01, 3.0, 1e4])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_ticks_are_few_and_lie_on_the_axis(low: float, ratio: float, logarithmic: bool) -> None:
    scale = Scale(low, low * ratio, logarithmic)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 8
    assert all(low * 0.999 <= tick <= low * ratio * 1.001 for tick in ticks)


def test_charts_are_well_formed_and_escape_what_they_are_told() -> None:
    scale = Scale(0, 10)
    charts = [
        stacked_bar([("generation", 3), ("tool", 1)], 4, HOSTILE),
        stacked_bar([("generation", 0)], 0, HOSTILE),
        interval_line(scale, 1.5, 1.2, 1.9, "good", HOSTILE),
        interval_line(scale, 1.5, None, None, "good", HOSTILE),
        strip([1, 2, 2, 9], scale, Box(1, 2, 3, 9, 1, 3), HOSTILE),
        strip([1], scale, Box(1, 1, 1, 1), HOSTILE),
        over_time([("right", 1, 2), ("wrong", 3, 4)], scale, scale, [0, 5], [(5, HOSTILE)], HOSTILE),
        axis(scale, [(0, HOSTILE), (5, "5"), (10, "10")], HOSTILE),
    ]
    for chart in charts:
        assert "<script" not in chart
        assert ET.fromstring(chart).attrib["aria-label"] == HOSTILE


def test_a_stacked_bar_fills_what_its_values_are_of_the_whole() -> None:
    bars = ET.fromstring(stacked_bar([("a", 1), ("b", 2)], 4, "")).findall("rect")
    assert [(bar.get("x"), bar.get("width")) for bar in bars] == [("0%", "25%"), ("25%", "50%")]


def test_a_cloud_stays_small_however_many_dots_fall_together() -> None:
    scale = Scale(0, 1)
    few, many = (over_time([("right", 0.5, 0.5)] * n, scale, scale, [], [], "") for n in (1, 10_000))
    assert len(many) == len(few)


def test_many_values_are_counted_in_bars() -> None:
    box = Box(1, 2, 3, 9)
    few, many = (strip([1.0, 9.0] * n, Scale(0, 10), box, "") for n in (MOST_DOTS // 2, MOST_DOTS))
    assert "dots" in few
    assert "counts" not in few
    assert "counts" in many
    assert len(many) < len(few)
    rare = strip([1.0] * 10_000 + [9.0], Scale(0, 10), box, "")
    assert "M180 100v-4h1V100z" in rare


def test_elements_leave_out_what_is_none_and_write_numbers_short() -> None:
    assert element("i", {"a": None, "b": 1.0, "c": "<"}, "x") == '<i b="1" c="&lt;">x</i>'
    assert [short(value) for value in (0.0, 100.0, 1 / 3)] == ["0", "100", "0.33"]
