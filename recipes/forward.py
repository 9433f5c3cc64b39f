"""The forward pass of a Qwen3 model for training: a shared prefix computed once, suffixes in rows, scores at few
places.

Every training conversation begins with the same system prompt and tools. They are run as one row, and all rows of the
batch attend to its keys and values, so that a prefix of 200 tokens costs nearly nothing. Attention is unnormalised
exp(scores) times (values, 1), divided at the end: no softmax over the large matrix, and queries are taken in blocks
so that keys of the future are not computed. Same numbers as mlx-lm's own forward (a test holds that). Full precision
only.
"""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
from mlx_lm.models.qwen3 import Model

from recipes.fast_math import cross_entropy, fast_exp, gated_silu, rms_norm

BLOCK = 128


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of suffix tokens (rows, length), padded at the right, and the flat places at which a token is predicted.

    `places` index (rows * length); `targets` are the tokens that follow there; `weights` are 0 for padding.
    """

    tokens: mx.array
    places: mx.array
    targets: mx.array
    weights: mx.array


def loss(model: Model, prefix: mx.array, batch: Batch, *, fixed_prefix: bool = False) -> mx.array:
    """Mean negative log-likelihood of the batch's targets. `prefix` is (length,), of length 0 where there is none.

    With `fixed_prefix` no gradient goes through the prefix: a third less to compute, for models that know their prefix.
    """
    hidden = suffix_hidden(model, prefix, batch.tokens, fixed_prefix=fixed_prefix)
    chosen = hidden.reshape(-1, hidden.shape[-1])[batch.places]
    each = cross_entropy(model.model.embed_tokens.as_linear(chosen), batch.targets)
    return mx.sum(each * batch.weights) / mx.sum(batch.weights)


def suffix_hidden(model: Model, prefix: mx.array, tokens: mx.array, *, fixed_prefix: bool = False) -> mx.array:
    """Last hidden states (after the final norm) of the suffix rows: (rows, length, width)."""
    embed = model.model.embed_tokens
    ahead = embed(prefix[None]) if prefix.size else None
    rows = embed(tokens)
    offset = prefix.size
    turns = _rotations(model, offset + tokens.shape[1])
    for layer in model.layers:
        attention = layer.self_attn
        shared = None
        if ahead is not None:
            q, k, v = _projected(attention, rms_norm(ahead, layer.input_layernorm.weight), turns, 0)
            shared = (mx.stop_gradient(k), mx.stop_gradient(v)) if fixed_prefix else (k, v)
            mixed = _attend(q, k, v, None)
            ahead = _after(layer, ahead, mixed)
        q, k, v = _projected(attention, rms_norm(rows, layer.input_layernorm.weight), turns, offset)
        rows = _after(layer, rows, _attend(q, k, v, shared))
    return rms_norm(rows, model.model.norm.weight)


def _rotations(model: Model, length: int) -> tuple[mx.array, mx.array]:
    dim = model.args.head_dim
    base = float(model.args.rope_theta or 1.0)
    frequencies = mx.power(base, -mx.arange(0, dim, 2) / dim)
    angles = mx.arange(length)[:, None] * frequencies[None]
    return mx.cos(angles), mx.sin(angles)


def _projected(attention, x, turns, offset):
    batch, length, _ = x.shape
    dim = attention.q_norm.weight.shape[0]
    cos, sin = (t[offset : offset + length][:, None] for t in turns)

    def turned(y: mx.array) -> mx.array:
        a, b = mx.split(y, 2, axis=-1)
        return mx.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)

    q = rms_norm(attention.q_proj(x).reshape(batch, length, -1, dim), attention.q_norm.weight * attention.scale)
    k = rms_norm(attention.k_proj(x).reshape(batch, length, -1, dim), attention.k_norm.weight)
    v = attention.v_proj(x).reshape(batch, length, -1, dim)
    v = mx.concatenate([v, mx.ones((*v.shape[:-1], 1))], axis=-1)
    return turned(q).transpose(0, 2, 1, 3), turned(k).transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)


def _attend(q, k, v, shared):
    """(batch, heads, length, dim) attended causally, and fully to `shared` keys and values of one row."""
    batch, heads, length, dim = q.shape
    groups = k.shape[1]
    share = heads // groups
    ahead = None
    if shared is not None:
        pk, pv = shared[0][0], shared[1][0]  # (groups, prefix, dim)
        flat = q.reshape(batch, groups, share * length, dim).swapaxes(0, 1).reshape(groups, batch * share * length, dim)
        ahead = fast_exp(flat @ pk.swapaxes(-1, -2)) @ pv
        ahead = ahead.reshape(groups, batch, share, length, dim + 1).swapaxes(0, 1)
    q = q.reshape(batch, groups, share, length, dim)
    parts = []
    for start in range(0, length, BLOCK):
        end = min(start + BLOCK, length)
        block = q[:, :, :, start:end].reshape(batch, groups, share * (end - start), dim)
        own = fast_exp(block @ k[:, :, start:end].swapaxes(-1, -2))
        causal = mx.tile(mx.tril(mx.ones((end - start, end - start))), (share, 1))
        mixed = (own * causal) @ v[:, :, start:end]
        if start:
            mixed = mixed + fast_exp(block @ k[:, :, :start].swapaxes(-1, -2)) @ v[:, :, :start]
        parts.append(mixed.reshape(batch, groups, share, end - start, dim + 1))
    total = mx.concatenate(parts, axis=3) if len(parts) > 1 else parts[0]
    if ahead is not None:
        total = total + ahead
    out = total[..., :dim] / total[..., dim:]
    return out.reshape(batch, heads, length, dim).transpose(0, 2, 1, 3).reshape(batch, length, heads * dim)


def _after(layer, x, mixed):
    x = x + layer.self_attn.o_proj(mixed)
    inner = rms_norm(x, layer.post_attention_layernorm.weight)
    return x + layer.mlp.down_proj(gated_silu(layer.mlp.gate_proj(inner), layer.mlp.up_proj(inner)))
