"""Small random models in single precision, a tokenizer for them, and what must hold after every generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.generate import stream_generate
from mlx_lm.models import qwen3
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.tokenizer_utils import TokenizerWrapper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

VOCABULARY = 64
END = 63


def tiny_model(
    seed: int, *, layers: int = 2, width: int = 32, vocabulary: int = VOCABULARY, head: int = 8
) -> nn.Module:
    """A Qwen3 of random weights, sharp enough that ties do not decide."""
    mx.random.seed(seed)
    model = qwen3.Model(
        qwen3.ModelArgs(
            model_type="qwen3",
            hidden_size=width,
            num_hidden_layers=layers,
            intermediate_size=2 * width,
            num_attention_heads=4,
            rms_norm_eps=1e-6,
            vocab_size=vocabulary,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            tie_word_embeddings=False,
            head_dim=head,
            rope_theta=10000.0,
        )
    )
    scaled = [(name, weight * 3 if weight.ndim == 2 else weight) for name, weight in _leaves(model)]
    model.load_weights(scaled)
    mx.eval(model.parameters())
    return model


def near(model: nn.Module, seed: int, noise: float) -> nn.Module:
    """The same model with noise on its weights: a draft that is often right."""
    twin = tiny_model(seed)
    mx.random.seed(seed)
    twin.load_weights([(name, weight + noise * mx.random.normal(weight.shape)) for name, weight in _leaves(model)])
    mx.eval(twin.parameters())
    return twin


def _leaves(model: nn.Module) -> list[tuple[str, mx.array]]:
    from mlx.utils import tree_flatten

    return [(name, leaf) for name, leaf in tree_flatten(model.parameters()) if isinstance(leaf, mx.array)]


def tiny_tokenizer(words: Sequence[str] | None = None) -> TokenizerWrapper:
    """One word for each id; the last ends the text."""
    words = words or [f"w{i}" for i in range(VOCABULARY)]
    core = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token=words[0]))
    core.pre_tokenizer = WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=core, eos_token=words[-1], unk_token=words[0])
    return TokenizerWrapper(fast)


def reference(model: nn.Module, tokenizer: TokenizerWrapper, prompt: list[int], n: int, **options: Any) -> list[int]:
    """What mlx-lm generates, greedily unless told."""
    return [response.token for response in stream_generate(model, tokenizer, prompt, max_tokens=n, **options)]


def check_cache(model: nn.Module, cache: list, tokens: list[int]) -> None:
    """The cache holds these tokens, all layers alike, and goes on as a fresh prefill of them would."""
    for layer in cache:
        assert layer.offset == len(tokens)
        assert layer.keys_and_values()[0].shape[2] == len(tokens)
    fresh = make_prompt_cache(model)
    probe = mx.array([[7]], mx.uint32)
    model(mx.array([tokens], mx.uint32), cache=fresh)
    wanted = model(probe, cache=fresh)
    got = model(probe, cache=cache)
    for layer in cache:
        layer.trim(1)
    assert float(mx.max(mx.abs(wanted - got))) < 1e-3
