"""From mlx arrays to plain numbers. Each call waits until the array is computed."""

from __future__ import annotations

from typing import cast

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray


def integers(array: mx.array) -> list[int]:
    """A one-dimensional array of integers."""
    return cast("list[int]", array.tolist())


def numbers(array: mx.array) -> list[float]:
    """A one-dimensional array of floats."""
    return cast("list[float]", array.tolist())


def doubles(array: mx.array) -> NDArray[np.float64]:
    """An array of any shape and float type, in double precision."""
    return np.array(array.astype(mx.float32), dtype=np.float64)
