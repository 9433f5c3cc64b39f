"""The sampler that can be asked for its distribution draws as mlx-lm's does."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.sample_utils import make_sampler

from punie_trace.speculative import TemperatureSampler

OPTIONS: list[dict[str, Any]] = [
    {},
    {"top_p": 0.6},
    {"min_p": 0.2},
    {"top_k": 3},
    {"top_p": 0.9, "top_k": 4, "min_p": 0.05},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_it_draws_what_mlx_lm_draws(options: dict[str, Any]) -> None:
    mx.random.seed(1)
    logits = mx.random.normal((400, 12)) * 2
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    mx.random.seed(2)
    theirs = make_sampler(0.7, **options)(logprobs).tolist()
    mx.random.seed(2)
    ours = TemperatureSampler(0.7, **options)(logprobs).tolist()
    assert ours == theirs


@pytest.mark.parametrize("options", OPTIONS)
def test_it_draws_only_what_it_says_it_may(options: dict[str, Any]) -> None:
    mx.random.seed(3)
    logits = mx.random.normal((500, 12)) * 2
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    sampler = TemperatureSampler(1.3, **options)
    chances = sampler.probabilities(logprobs)
    assert float(mx.max(mx.abs(chances.sum(axis=-1) - 1))) < 1e-5
    drawn = mx.take_along_axis(chances, sampler(logprobs)[:, None], axis=-1)
    assert float(mx.min(drawn)) > 0
    if options:
        assert float(mx.mean((chances == 0).astype(mx.float32))) > 0.1
