"""The fast functions against MLX's own: values and gradients."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import pytest

from recipes import fast_math


def close(a: mx.array, b: mx.array, tolerance: float = 2e-5) -> bool:
    return bool(mx.all(mx.abs(a - b) <= tolerance * (1.0 + mx.abs(b))))


def test_exp_is_within_four_millionths():
    x = mx.linspace(-79.0, 79.0, 10_001)
    assert float(mx.max(mx.abs(fast_math.fast_exp(x) / mx.exp(x) - 1.0))) < 1e-5  # mx.exp itself is off by some


def test_exp_is_clipped_instead_of_overflowing():
    assert mx.all(mx.isfinite(fast_math.fast_exp(mx.array([-1e9, 1e9])))).item()


def test_gradient_of_exp_is_exp():
    x = mx.linspace(-5.0, 5.0, 101)
    assert close(mx.grad(lambda y: fast_math.fast_exp(y).sum())(x), mx.exp(x))


@pytest.mark.parametrize("argument", [0, 1])
def test_gated_silu_and_its_gradient(argument: int):
    mx.random.seed(1)
    gate, up = mx.random.normal((7, 33)) * 3, mx.random.normal((7, 33))
    assert close(fast_math.gated_silu(gate, up), nn.silu(gate) * up)
    ours = mx.grad(lambda g, u: (fast_math.gated_silu(g, u) * mx.sin(u)).sum(), argnums=argument)(gate, up)
    theirs = mx.grad(lambda g, u: (nn.silu(g) * u * mx.sin(u)).sum(), argnums=argument)(gate, up)
    assert close(ours, theirs, 1e-4)


@pytest.mark.parametrize("argument", [0, 1])
def test_norm_and_its_gradient(argument: int):
    mx.random.seed(2)
    x, weight = mx.random.normal((5, 3, 16)), mx.random.normal((16,))
    plain = lambda y, w: y * mx.rsqrt(mx.mean(y * y, axis=-1, keepdims=True) + 1e-6) * w  # noqa: E731
    assert close(fast_math.rms_norm(x, weight), plain(x, weight))
    ours = mx.grad(lambda y, w: mx.sin(fast_math.rms_norm(y, w)).sum(), argnums=argument)(x, weight)
    theirs = mx.grad(lambda y, w: mx.sin(plain(y, w)).sum(), argnums=argument)(x, weight)
    assert close(ours, theirs, 1e-4)


def test_cross_entropy_and_its_gradient():
    mx.random.seed(3)
    logits, targets = mx.random.normal((9, 50)) * 4, mx.array([0, 49, 3, 3, 7, 8, 20, 21, 30])
    assert close(fast_math.cross_entropy(logits, targets), nn.losses.cross_entropy(logits, targets))
    weights = mx.arange(9) / 9.0
    ours = mx.grad(lambda x: (fast_math.cross_entropy(x, targets) * weights).sum())(logits)
    theirs = mx.grad(lambda x: (nn.losses.cross_entropy(x, targets) * weights).sum())(logits)
    assert close(ours, theirs, 1e-4)
