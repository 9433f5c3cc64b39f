"""A speed fixture: a trained model whose cost is that of a larger one, and whose answers are the same.

The feed-forward of each layer is widened. The new rows of `gate_proj` and `up_proj` are random, the new columns of
`down_proj` zero, so that what they compute is multiplied by zero: the function stays, and so do the tokens, but every
weight is read and multiplied.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten


def weights_of(model: nn.Module) -> int:
    """Bytes of a model's weights."""
    return sum(leaf.nbytes for _, leaf in tree_flatten(model.parameters()) if isinstance(leaf, mx.array))


def pad(model: nn.Module, size: int, seed: int = 0) -> nn.Module:
    """Widen in place until the weights take at least `size` bytes."""
    layers = model.layers
    hidden, inner = layers[0].mlp.down_proj.weight.shape
    each = 3 * hidden * layers[0].mlp.down_proj.weight.dtype.size * len(layers)
    more = max(0, -(-(size - weights_of(model)) // each))
    more += -(inner + more) % 64
    mx.random.seed(seed)
    for layer in layers:
        mlp = layer.mlp
        for name in ("gate_proj", "up_proj"):
            weight = getattr(mlp, name).weight
            extra = mx.random.normal((more, hidden)).astype(weight.dtype) * (hidden**-0.5)
            getattr(mlp, name).weight = mx.concatenate([weight, extra])
        weight = mlp.down_proj.weight
        mlp.down_proj.weight = mx.concatenate([weight, mx.zeros((hidden, more), weight.dtype)], axis=1)
    mx.eval(model.parameters())
    return model
