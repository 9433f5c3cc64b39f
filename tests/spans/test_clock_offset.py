"""The offset between two clocks: planted ones are recovered within the uncertainty that is stated."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie_trace.spans.clock_offset import MOST_DRIFT, SAME_CLOCK, ClockOffset, Reading, estimate

S = 1_000_000_000
US = 1_000
START = 1_790_000_000 * S


def theirs(ours_ns: int, offset_ns: int, ppm: float) -> int:
    """What a clock shows that was `offset_ns` ahead at `START` and runs faster by `ppm`."""
    return ours_ns + offset_ns + round((ours_ns - START) * ppm / 1e6)


def round_trips(
    offset_ns: int, ppm: float, *, seed: int, seconds: float, many: int = 200, shortest_ns: int = 300 * US
) -> list[Reading]:
    """Readings over `seconds`, whose ways there and back are unequal, some of them by very much."""
    chance = random.Random(seed)
    found = []
    for _ in range(many):
        sent = START + round(chance.uniform(0, seconds) * S)
        there = round(shortest_ns / 2 * (1 + chance.paretovariate(1.1)))
        back = round(shortest_ns / 2 * (1 + chance.paretovariate(1.1)))
        found.append(Reading(sent, sent + there + back, theirs(sent + there, offset_ns, ppm)))
    return found


@pytest.mark.parametrize(
    ("offset_ns", "ppm"), [(3 * S, 0.0), (-200 * 1000 * US, 0.0), (0, 50.0), (3 * S, -50.0), (-200 * 1000 * US, 50.0)]
)
@pytest.mark.parametrize("seed", range(5))
def test_a_planted_offset_and_drift_are_recovered_within_the_stated_uncertainty(
    offset_ns: int, ppm: float, seed: int
) -> None:
    found = estimate(round_trips(offset_ns, ppm, seed=seed, seconds=600))
    for second in (0, 100, 300, 599):
        at = START + second * S
        error = abs(found.offset_at(at) - (theirs(at, offset_ns, ppm) - at))
        assert error <= found.uncertainty_ns
    assert found.uncertainty_ns < 2_000 * US
    assert abs(found.drift * 1e6 - ppm) < 3.0


@settings(max_examples=150, deadline=None)
@given(
    st.integers(-10 * S, 10 * S),
    st.floats(-200, 200),
    st.integers(0, 2**32),
    st.floats(0.01, 2000),
    st.integers(1, 60),
    st.floats(0, 1),
)
def test_the_truth_lies_within_the_uncertainty_whatever_the_network_does(
    offset_ns: int, ppm: float, seed: int, seconds: float, many: int, share: float
) -> None:
    readings = round_trips(offset_ns, ppm, seed=seed, seconds=seconds, many=many)
    found = estimate(readings)
    at = found.first_ns + round((found.last_ns - found.first_ns) * share)
    assert abs(found.offset_at(at) - (theirs(at, offset_ns, ppm) - at)) <= found.uncertainty_at(at)


def test_outside_the_readings_the_uncertainty_grows() -> None:
    found = estimate(round_trips(0, 0.0, seed=1, seconds=10))
    assert found.uncertainty_at(found.last_ns + 100 * S) == found.uncertainty_ns + round(MOST_DRIFT * 100 * S)


def test_the_smallest_round_trip_counts() -> None:
    slow = Reading(START, START + 50_000 * US, START + 3 * S + 49_000 * US)
    fast = Reading(START + S, START + S + 100 * US, START + 4 * S + 50 * US)
    found = estimate([slow, fast])
    assert found.offset_ns == 3 * S
    assert found.uncertainty_ns < 1000 * US


@settings(max_examples=100, deadline=None)
@given(st.integers(-(10**10), 10**10), st.floats(-300e-6, 300e-6), st.integers(0, 10**13))
def test_there_and_back_is_the_same_time(offset_ns: int, drift: float, later: int) -> None:
    clock = ClockOffset(START, offset_ns, drift, 0, START, START, 1)
    assert abs(clock.to_ours(clock.to_theirs(START + later)) - (START + later)) <= 1


def test_a_process_of_this_host_has_our_clock() -> None:
    assert SAME_CLOCK.offset_at(START) == 0
    assert SAME_CLOCK.uncertainty_at(START) == 0


def test_no_reading_is_no_offset() -> None:
    with pytest.raises(ValueError, match="at least one"):
        estimate([])
