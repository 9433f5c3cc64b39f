"""The training loop on a tiny model: the forward pass is mlx-lm's, the loss falls, a checkpoint goes on, it exports."""

from __future__ import annotations

import json

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm import load

from recipes.demo import make_tokenizer
from recipes.export import export
from recipes.forward import suffix_hidden
from recipes.shape import DRAFT, TARGET, Shape, build, initialise
from recipes.trainer import Plan, learning_rate, parameters, train

TINY = Shape(
    vocab_size=600,
    hidden_size=128,
    num_hidden_layers=2,
    intermediate_size=64,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer(folder, 0, TINY.vocab_size, 100)
    return folder


def test_sizes_are_as_promised():
    assert 5_000_000 <= parameters(TARGET) <= 6_000_000
    assert parameters(DRAFT) <= 600_000


@pytest.mark.parametrize("ahead", [0, 9])
def test_forward_is_the_same_as_mlx_lms(ahead: int):
    model = build(TARGET)
    initialise(model, 0)
    rng = np.random.default_rng(0)
    prefix, rows = mx.array(rng.integers(0, 1536, ahead)), mx.array(rng.integers(0, 1536, (2, 150)))
    whole = mx.concatenate([mx.broadcast_to(prefix[None], (2, ahead)), rows], axis=1).astype(mx.int32)
    difference = mx.abs(suffix_hidden(model, prefix.astype(mx.int32), rows) - model.model(whole)[:, ahead:])
    assert float(mx.max(difference)) < 1e-3


def test_first_weights_already_copy():
    model = build(TARGET)
    initialise(model, 0)
    half = np.random.default_rng(1).integers(0, 1536, (1, 60))
    row = mx.array(np.concatenate([half, half], axis=1))
    told = mx.argmax(model(row)[:, 60:-1], axis=-1)
    assert float(mx.mean(told == row[:, 61:])) > 0.8


def test_loss_falls_and_a_checkpoint_goes_on(tokenizer, tmp_path):
    said: list[str] = []
    plan = Plan(
        TINY,
        tokenizer,
        tmp_path / "run",
        steps=8,
        chunk=40,
        tokens=512,
        processes=1,
        warmup=1,
        rate=1e-2,
        matrix_rate=2e-2,
        report_every=1,
    )
    checkpoint = train(plan, said.append)
    losses = [float(line.split()[3]) for line in said]
    assert len(losses) == 8
    assert losses[-1] < losses[0]
    assert json.loads((tmp_path / "run" / "step.json").read_text())["step"] == 8
    train(plan, said.append)
    assert said[-1].startswith("step 16 ")
    out = export(checkpoint, TINY, tokenizer, tmp_path / "model")
    model, held = load(str(out))[:2]
    assert model.layers[0].self_attn.q_proj.weight.dtype == mx.float16
    assert held.decode(held.encode("a b")) == "a b"


def test_rate_warms_up_and_ends_low():
    plan = Plan(TINY, None, None, last_share=0.1, warmup=10)  # ty: ignore[invalid-argument-type]
    rates = [learning_rate(plan, step, step / 100) for step in range(101)]
    assert rates[0] < rates[9] > rates[50] > rates[100]
    assert rates[100] == pytest.approx(0.1)
