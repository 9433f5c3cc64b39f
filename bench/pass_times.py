"""How long one forward pass of m rows takes, V(m); on random tokens, since in a mixture of experts rows must differ."""

from __future__ import annotations

import time
from collections import defaultdict

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache, trim_prompt_cache


class PassTimes:
    """Forward passes of one model, timed a few at a time all through the run, so that one bad moment does not count."""

    def __init__(self, model: nn.Module, context: int = 400) -> None:
        self.model = model
        self.cache = make_prompt_cache(model)
        self.times: dict[int, list[float]] = defaultdict(list)
        self.tokens = mx.random.randint(0, 1000, (1, context), mx.uint32, key=mx.random.key(0))
        model(self.tokens, cache=self.cache)
        mx.eval([layer.state for layer in self.cache])

    def add(self, rows: tuple[int, ...], repeats: int = 2) -> None:
        """Time a pass of each of so many rows, `repeats` times."""
        for m in rows * repeats:
            begun = time.perf_counter()
            mx.eval(mx.argmax(self.model(self.tokens[:, :m], cache=self.cache), axis=-1))
            self.times[m].append(1e3 * (time.perf_counter() - begun))
            trim_prompt_cache(self.cache, m)

    def costs(self) -> dict[int, float]:
        """Lower quartiles in ms, by rows."""
        return {m: sorted(times)[len(times) // 4] for m, times in sorted(self.times.items())}


def pass_time(model: nn.Module, rows: int, context: int = 400, repeats: int = 25) -> float:
    """Lower quartile of one forward pass of so many rows, in ms."""
    times = PassTimes(model, context)
    times.add((rows,), repeats)
    return times.costs()[rows]
