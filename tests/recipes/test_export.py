"""What a weight keeps on its way into the package."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recipes.export import KEPT_BITS, rounded

NUMBERS = st.lists(st.floats(-60000, 60000, width=16), min_size=1, max_size=40)


@given(NUMBERS)
def test_a_weight_is_the_nearest_with_so_many_bits(values: list[float]) -> None:
    before = np.array(values, dtype=np.float32)
    after = rounded(before)
    assert after.dtype == np.float16
    assert not (after.view(np.uint16) & ((1 << (10 - KEPT_BITS)) - 1)).any()
    normal = np.abs(before) >= 2.0**-14
    assert (np.abs(after - before)[normal] <= np.abs(before[normal]) * 2.0 ** -(KEPT_BITS + 1)).all()
    assert (rounded(after) == after).all()


def test_all_ten_bits_leave_half_precision_as_it_is() -> None:
    values = np.random.default_rng(3).standard_normal(500).astype(np.float16)
    assert (rounded(values, 10) == values).all()
    assert rounded(np.array([1 + 2**-8, 1 + 3 * 2**-8])).tolist() == [1.0, 1 + 4 * 2**-8], "half to even"
