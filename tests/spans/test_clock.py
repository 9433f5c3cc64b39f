from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from punie_trace.spans.clock import Clock

times = st.integers(min_value=0, max_value=2**62)


def test_now_lies_between_two_readings_of_the_monotonic_clock() -> None:
    clock = Clock.start()
    before = clock.from_monotonic(time.monotonic_ns())
    now = clock.now_ns()
    assert before <= now <= clock.from_monotonic(time.monotonic_ns())


def test_the_anchor_is_the_wall_clock() -> None:
    before = time.time_ns()
    clock = Clock.start()
    assert before <= clock.anchor_wall_ns <= time.time_ns()


@given(wall=times, monotonic=times, instant=times)
def test_conversion_is_exact_both_ways(wall: int, monotonic: int, instant: int) -> None:
    clock = Clock(wall, monotonic)
    assert clock.from_monotonic(monotonic) == wall
    assert clock.from_monotonic(clock.to_monotonic(instant)) == instant
    assert clock.from_monotonic(instant + 1) - clock.from_monotonic(instant) == 1
