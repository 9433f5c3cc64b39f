from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from punie_trace.driver.client import ClientWatch, Spread


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_quantiles_are_the_true_ones_or_a_thirtysecond_above(values: list[int], share: float) -> None:
    spread = Spread()
    for value in values:
        spread.add(value)
    true = sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]
    assert true <= spread.quantile(share) <= true * (1 + 1 / 32)
    assert spread.largest == max(values)


def test_memory_is_bounded_whatever_is_added() -> None:
    spread = Spread()
    for value in range(0, 10**7, 97):
        spread.add(value)
    assert len(spread._counts) < 32 * 64
    assert spread.n == len(range(0, 10**7, 97))


def test_nothing_measured_is_zero() -> None:
    record = Spread().record()
    assert (record.n, record.median_ns, record.p99_ns, record.max_ns) == (0, 0, 0, 0)


def test_the_most_in_flight_is_kept() -> None:
    watch = ClientWatch()
    watch.begin()
    watch.begin()
    watch.in_flight -= 2
    watch.begin()
    record = watch.record(["a", "b"], "open", "over")
    assert (record.sent, record.most_in_flight, record.configurations) == (3, 2, ("a", "b"))
