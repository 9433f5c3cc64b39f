"""What ends a stage: which reasons there are, and that a queue which only fluctuates is no reason."""

from __future__ import annotations

import heapq
import random

import pytest

from punie_trace.driver.limits import LEAST_FOR_RATIO, Limits, Saturation, Stopper

S = 1_000_000_000


def saturates(load: float, seed: int, queries: int = 4000) -> bool:
    """Whether a queue with one server, random arrivals and random service (M/M/1) is found over-saturated."""
    generator = random.Random(seed)
    saturation = Saturation()
    due = free = 0.0
    ends: list[float] = []
    for _ in range(queries):
        due += generator.expovariate(load * 20)
        free = max(due, free) + generator.expovariate(20)
        while ends and ends[0] <= due:
            heapq.heappop(ends)
        heapq.heappush(ends, free)
        if saturation.add(round(free * S), round((free - due) * S), len(ends)):
            return True
    return False


def test_a_queue_that_grows_is_found() -> None:
    assert all(saturates(1.5, seed) for seed in range(20))


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_a_queue_that_holds_is_left_alone(load: float) -> None:
    assert sum(saturates(load, seed) for seed in range(40)) <= 1


def test_steady_latency_never_saturates() -> None:
    saturation = Saturation()
    assert not any(saturation.add(number * S // 40, S // 10, 4) for number in range(20_000))


def test_a_server_that_warms_up_is_left_alone() -> None:
    saturation = Saturation()
    assert not any(saturation.add(number * S // 40, min(number, 300) * S // 1000 + S, 4) for number in range(4000))


def test_few_errors_say_nothing() -> None:
    stopper = Stopper(Limits(max_error_ratio=0.1))
    for _ in range(LEAST_FOR_RATIO - 1):
        stopper.ended(failed=True, done_ns=0, wall_ns=1, in_flight=0)
    assert stopper.reason is None
    stopper.ended(failed=False, done_ns=0, wall_ns=1, in_flight=0)
    assert stopper.early
    assert "19 of 20" in (stopper.reason or "")


def test_the_first_reason_counts() -> None:
    stopper = Stopper(Limits(duration_s=1.0, queries=3))
    assert stopper.may_send(2)
    stopper.elapsed(1.0)
    assert not stopper.may_send(3)
    assert "1 s were over" in (stopper.reason or "")


def test_without_limits_nothing_ends() -> None:
    stopper = Stopper(Limits())
    stopper.elapsed(1e9)
    stopper.ended(failed=True, done_ns=0, wall_ns=1, in_flight=0)
    assert stopper.may_send(10**9)
