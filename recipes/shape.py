"""The shapes of the two demo models, and their first weights.

The first weights are random but for a few attention heads, which are set so that the models can copy from the start
('induction heads', arXiv 2209.11895). In layer 0, heads that look zero to three tokens back write a short code of what
stands there into a part of the residual stream that is theirs alone. A later layer looks for the place where the same
tokens stood before, and passes on what followed. The draft compares three tokens. The target first carries the codes of
three and six places earlier over (layer 1), and compares nine: code repeats itself, and three are often not enough.
Training from plain random weights finds the same circuit, later. No training happens here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.qwen3 import Model, ModelArgs

CONSTANT = 0  # the component of the residual stream that every embedding shares; it shifts all logits alike
EMBEDDING_SCALE = 0.27  # large beside what the layers add in their first hundred steps, or tokens drown in it
LOGIT_GAIN = 16.0 / 72  # the last norm's, which takes the scale of the (tied) embedding out again
ATTENTION_GAIN = 1.8  # normed queries and keys of 32 numbers at gain 1 cannot pick one key out of hundreds
POSITION_GAIN = 2.5
CODE = 12  # numbers in the code of a token
BACK = 4  # how many tokens are written beside each other, this one included
WEIGHTS = (1.0, 0.9, 0.8)  # of this token, the one before, the one before that
HOPS = (3, 6)
WRITE_SCALE = 0.25
COPY_SCALE = 2.0
CONTENT_PAIR = 7  # RoPE pairs from here on turn so slowly that they carry content, not position
POSITION_AMPLITUDES = (1.0, 0.8, 0.5, 0.3, 0.2, 0.2, 0.2)  # fast pairs tell neighbours apart, slow ones far places

_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")


@dataclass(frozen=True, slots=True)
class Shape:
    """What fixes the number of parameters of one Qwen3-shaped model."""

    vocab_size: int = 1536
    hidden_size: int = 256
    num_hidden_layers: int = 6
    intermediate_size: int = 768
    num_attention_heads: int = 12
    num_key_value_heads: int = 6
    head_dim: int = 32
    rope_theta: float = 1_000_000.0

    def config(self) -> dict[str, Any]:
        """The model's config.json, without token ids and dtype."""
        return {
            "model_type": "qwen3",
            "architectures": ["Qwen3ForCausalLM"],
            **asdict(self),
            "rms_norm_eps": 1e-6,
            "max_position_embeddings": 8192,
            "tie_word_embeddings": True,
            "hidden_act": "silu",
            "attention_bias": False,
        }


TARGET = Shape()
DRAFT = Shape(hidden_size=128, num_hidden_layers=2, intermediate_size=288, num_attention_heads=4, num_key_value_heads=2)


def build(shape: Shape) -> Model:
    """mlx-lm's own Qwen3 model of this shape, with whatever weights it starts from."""
    return Model(ModelArgs.from_dict(shape.config()))


def initialise(model: Model, seed: int) -> None:
    """Set the first weights of `model`, the same for the same seed."""
    rng = np.random.default_rng(seed)
    args = model.args
    width, layers = args.hidden_size, args.num_hidden_layers

    def normal(rows: int, columns: int, deviation: float) -> np.ndarray:
        return (rng.standard_normal((rows, columns)) * deviation).astype(np.float32)

    embedding = normal(args.vocab_size, width, EMBEDDING_SCALE)
    embedding[:, CONSTANT] = 4 * EMBEDDING_SCALE
    model.model.embed_tokens.weight = mx.array(embedding)
    model.model.norm.weight = mx.full((width,), LOGIT_GAIN)
    inside = EMBEDDING_SCALE / (2 * layers) ** 0.5
    spread = width**-0.5
    for layer in model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        attention.q_norm.weight = mx.full((args.head_dim,), ATTENTION_GAIN)
        attention.k_norm.weight = mx.full((args.head_dim,), ATTENTION_GAIN)
        queries, keys = args.num_attention_heads * args.head_dim, args.num_key_value_heads * args.head_dim
        attention.q_proj.weight = mx.array(normal(queries, width, spread))
        attention.k_proj.weight = mx.array(normal(keys, width, spread))
        attention.v_proj.weight = mx.array(normal(keys, width, spread))
        attention.o_proj.weight = mx.array(normal(width, queries, inside * queries**-0.5))
        mlp.gate_proj.weight = mx.array(normal(args.intermediate_size, width, spread))
        mlp.up_proj.weight = mx.array(normal(args.intermediate_size, width, spread))
        mlp.down_proj.weight = mx.array(normal(width, args.intermediate_size, inside * args.intermediate_size**-0.5))
    _set_copying_heads(model, rng)


def _set_copying_heads(model: Model, rng: np.random.Generator) -> None:
    """Set the heads of the last two key-value groups of the first two or three layers; two heads share a group."""
    args = model.args
    width, dim, deep = args.hidden_size, args.head_dim, args.num_hidden_layers > 2
    own = BACK * CODE * (2 if deep else 1)
    basis = np.zeros((width, width))
    basis[1:, 1:] = np.linalg.qr(rng.standard_normal((width - 1, width - 1)))[0]  # all but the constant component
    codes = basis[:, 1 : 1 + own].reshape(width, -1, CODE)
    others = basis[:, 1 + own :]
    _keep_out(model, codes.reshape(width, -1))
    slow = np.r_[CONTENT_PAIR : dim // 2, dim // 2 + CONTENT_PAIR : dim]  # real and imaginary parts of the slow pairs

    first = _Heads(model, 0)
    for group in range(2):
        first.look_back(group, (2 * group, 2 * group + 1))
        first.v[first.rows(group)][:CODE] = others[:, :CODE].T * 2
        for place in range(2):
            first.o[:, first.head(group, place)][:, :CODE] = codes[:, 2 * group + place] * WRITE_SCALE
    first.put(POSITION_GAIN)

    turns = [np.linalg.qr(rng.standard_normal((CODE, CODE)))[0] for _ in WEIGHTS]
    now, ahead = (
        sum(w * t @ codes[:, d + shift].T for d, (w, t) in enumerate(zip(WEIGHTS, turns, strict=True)))
        for shift in (0, 1)
    )
    mixes = [np.linalg.qr(rng.standard_normal((len(slow), len(slow))))[0][:, :CODE] for _ in range(3)]
    query, key = mixes[0] @ now, mixes[0] @ ahead
    if deep:
        second = _Heads(model, 1)
        for group, code in enumerate((now, ahead)):
            second.look_back(group, HOPS)
            second.v[second.rows(group)][:CODE] = code
            for place in range(2):
                second.o[:, second.head(group, place)][:, :CODE] = codes[:, BACK + 2 * group + place] * WRITE_SCALE
        second.put(ATTENTION_GAIN)
        for weight, mix, place in ((0.8, mixes[1], 0), (0.6, mixes[2], 1)):
            query = query + weight * mix @ codes[:, BACK + place].T
            key = key + weight * mix @ codes[:, BACK + 2 + place].T
    last = _Heads(model, 2 if deep else 1)
    told = others[:, : 2 * dim] if others.shape[1] >= 2 * dim else others
    for group in range(2):
        part = told[:, group * told.shape[1] // 2 : (group + 1) * told.shape[1] // 2]
        last.k[last.rows(group)] = 0
        last.k[last.rows(group)][slow] = key
        last.v[last.rows(group)][: part.shape[1]] = part.T
        for place in range(2):
            last.q[last.head(group, place)] = 0
            last.q[last.head(group, place)][slow] = query
            last.o[:, last.head(group, place)][:, : part.shape[1]] = part * COPY_SCALE
    last.put(ATTENTION_GAIN)


def _keep_out(model: Model, subspace: np.ndarray) -> None:
    """Take from all first weights what would write into the subspace (its columns are orthonormal)."""
    embedding = np.array(model.model.embed_tokens.weight)
    model.model.embed_tokens.weight = mx.array((embedding - (embedding @ subspace) @ subspace.T).astype(np.float32))
    for layer in model.layers:
        for writer in (layer.self_attn.o_proj, layer.mlp.down_proj):
            weight = np.array(writer.weight)
            writer.weight = mx.array((weight - subspace @ (subspace.T @ weight)).astype(np.float32))


class _Heads:
    """The weights of one attention layer as numpy arrays, addressed by group (0 or 1: the last two) and place."""

    def __init__(self, model: Model, layer: int) -> None:
        self.attention: Any = model.layers[layer].self_attn
        self.args = model.args
        self.q, self.k, self.v, self.o = (np.array(getattr(self.attention, n).weight) for n in _PROJECTIONS)

    def rows(self, group: int) -> slice:
        """The rows of a key-value group."""
        at, dim = self.args.num_key_value_heads - 2 + group, self.args.head_dim
        return slice(at * dim, (at + 1) * dim)

    def head(self, group: int, place: int) -> slice:
        """The rows (or columns) of one head."""
        at, dim = self.args.num_attention_heads - 4 + 2 * group + place, self.args.head_dim
        return slice(at * dim, (at + 1) * dim)

    def look_back(self, group: int, distances: tuple[int, int]) -> None:
        """Queries and keys from the constant component alone, so that the score depends on the distance alone."""
        half, amplitudes = self.args.head_dim // 2, np.array(POSITION_AMPLITUDES)
        turns = (self.args.rope_theta or 1.0) ** (-np.arange(CONTENT_PAIR) / half)
        self.k[self.rows(group)] = 0
        self.k[self.rows(group), CONSTANT][:CONTENT_PAIR] = amplitudes
        self.v[self.rows(group)] = 0
        for place, distance in enumerate(distances):
            angle = turns * distance  # a query turned back by the distance peaks there
            at = self.head(group, place)
            self.q[at] = 0
            self.q[at, CONSTANT][:CONTENT_PAIR] = np.cos(angle) * amplitudes
            self.q[at, CONSTANT][half : half + CONTENT_PAIR] = -np.sin(angle) * amplitudes

    def put(self, gain: float) -> None:
        """Give the weights back to the model; `gain` is that of the layer's query and key norms."""
        for name, weight in zip(_PROJECTIONS, (self.q, self.k, self.v, self.o), strict=True):
            getattr(self.attention, name).weight = mx.array(weight.astype(np.float32))
        self.attention.q_norm.weight = mx.full((self.args.head_dim,), gain)
        self.attention.k_norm.weight = mx.full((self.args.head_dim,), gain)
