"""Muon makes directions orthogonal, shares the work out, and leaves vectors and the embedding to Adam."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from recipes.optimizer import Muon, orthogonal

NAMES = ["model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "model.layers.0.input_layernorm.weight"]
SHAPES = [(6, 4), (8, 4), (4,)]


@pytest.mark.parametrize("shape", [(2, 8, 24), (2, 24, 8), (1, 16, 16)])
def test_singular_values_come_out_near_one(shape: tuple[int, ...]):
    mx.random.seed(0)
    values = np.linalg.svd(np.array(orthogonal(mx.random.normal(shape))), compute_uv=False)
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_only_matrices_inside_layers_are_moved_by_muon():
    assert [matrix for _, _, matrix in Muon(NAMES, SHAPES).parts()] == [False, True, False]


def test_shares_of_two_processes_add_up_to_the_work_of_one():
    gradient = np.random.default_rng(0).standard_normal(60).astype(np.float32)
    alone = Muon(NAMES, SHAPES).update(gradient, 0, 1, lambda own: own)
    shares = [Muon(NAMES, SHAPES).update(gradient, rank, 2, lambda own: own) for rank in range(2)]
    np.testing.assert_allclose(shares[0] + shares[1], alone, atol=1e-5)


def test_adam_moves_by_about_one_at_the_first_step():
    gradient = np.full(60, 0.5, dtype=np.float32)
    moved = Muon(NAMES, SHAPES).update(gradient, 0, 1, lambda own: own)
    np.testing.assert_allclose(moved[:24], 1.0, atol=1e-4)
