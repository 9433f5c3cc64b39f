"""Elementwise functions that are fast on a CPU: exp, gated SiLU, softmax numerators, cross entropy, with gradients.

MLX's CPU kernels call a scalar exp, which made half of a training step. Here exp is range reduction by the rounding
constant 1.5 * 2**23, a polynomial of degree five, and integer addition into the exponent bits (relative error below
4e-6 for |x| < 80; Cephes' expf is the source of the method). `mx.compile` fuses it into one vectorised loop where a C++
compiler is installed; without one it still works, more slowly. No layers and no parameters live here.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import mlx.core as mx

LIMIT = 80.0  # beyond it the exponent bits would overflow; attention scores are far inside
NORM_EPSILON = 1e-6
_ROUNDING = 12582912.0
_LOG2_E = 1.4426950408889634
_COEFFICIENTS = (0.0013333558146428443, 0.009618129107628477, 0.05550410866482158, 0.2402265069591007,
                 0.6931471805599453, 1.0)  # fmt: skip


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` fused into one loop where this machine can build it."""
    if mx.default_device().type == mx.DeviceType.cpu and not (shutil.which("g++") or shutil.which("clang++")):
        return function
    return mx.compile(function)


def _exp(x: mx.array) -> mx.array:
    scaled = mx.clip(x, -LIMIT, LIMIT) * _LOG2_E
    rounded = scaled + _ROUNDING
    rest = scaled - (rounded - _ROUNDING)
    power = rest * _COEFFICIENTS[0] + _COEFFICIENTS[1]
    for coefficient in _COEFFICIENTS[2:]:
        power = power * rest + coefficient
    return (power.view(mx.int32) + (rounded.view(mx.int32) << 23)).view(mx.float32)


def fast_exp(x: mx.array) -> mx.array:
    """exp(x) in fp32, clipped to |x| <= 80."""
    return _exp_with_gradient(x)


def gated_silu(gate: mx.array, up: mx.array) -> mx.array:
    """silu(gate) * up, elementwise."""
    return _gate_with_gradient(gate, up)


def rms_norm(x: mx.array, weight: mx.array) -> mx.array:
    """Root-mean-square norm over the last axis, epsilon 1e-6."""
    return _norm_with_gradient(x, weight)


def cross_entropy(logits: mx.array, targets: mx.array) -> mx.array:
    """Negative log-likelihood of each target: logits (n, vocabulary), targets (n,) -> (n,)."""
    return _cross_entropy_with_gradient(logits, targets)


def _gate(gate: mx.array, up: mx.array) -> mx.array:
    return gate / (1.0 + _exp(-gate)) * up


def _gate_gradient(gate: mx.array, up: mx.array, cotangent: mx.array) -> tuple[mx.array, mx.array]:
    sigmoid = 1.0 / (1.0 + _exp(-gate))
    scaled = cotangent * sigmoid
    return scaled * up * (1.0 + gate * (1.0 - sigmoid)), scaled * gate


def _norm(x: mx.array, weight: mx.array) -> mx.array:
    return mx.fast.rms_norm(x, weight, NORM_EPSILON)


def _norm_gradient(x: mx.array, weight: mx.array, cotangent: mx.array) -> tuple[mx.array, mx.array]:
    scale = mx.rsqrt(mx.mean(x * x, axis=-1, keepdims=True) + NORM_EPSILON)
    unit = x * scale
    inner = cotangent * weight
    dx = scale * (inner - unit * mx.mean(inner * unit, axis=-1, keepdims=True))
    return dx, (cotangent * unit).reshape(-1, x.shape[-1]).sum(axis=0)


def _cross_entropy(logits: mx.array, targets: mx.array) -> mx.array:
    top = mx.max(logits, axis=-1, keepdims=True)
    total = mx.sum(_exp_loop(logits - top), axis=-1)
    chosen = mx.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
    return mx.log(total) + top[:, 0] - chosen


def _cross_entropy_gradient(logits: mx.array, targets: mx.array, cotangent: mx.array) -> tuple[mx.array, mx.array]:
    numerator = _exp_loop(logits - mx.max(logits, axis=-1, keepdims=True))
    gradient = numerator * (cotangent[:, None] / mx.sum(numerator, axis=-1, keepdims=True))
    rows = mx.arange(targets.shape[0])
    return gradient.at[rows, targets].add(-cotangent), mx.zeros_like(targets)


_exp_loop = _compiled(_exp)
_gate_loop = _compiled(_gate)
_gate_gradient_loop = _compiled(_gate_gradient)


def _with_gradient(forward: Callable[..., mx.array], backward: Callable[[Any, mx.array, mx.array], Any]) -> Any:
    """`forward` with `backward(arguments, cotangent, output)` as its gradient."""
    made: Any = mx.custom_function(forward)
    made.vjp(backward)
    return made


_exp_with_gradient = _with_gradient(_exp_loop, lambda _, cotangent, output: cotangent * output)
_gate_with_gradient = _with_gradient(_gate_loop, lambda given, cotangent, _: _gate_gradient_loop(*given, cotangent))
_norm_with_gradient = _with_gradient(_norm, lambda given, cotangent, _: _norm_gradient(*given, cotangent))
_cross_entropy_with_gradient = _with_gradient(
    _cross_entropy, lambda given, cotangent, _: _cross_entropy_gradient(*given, cotangent)
)
