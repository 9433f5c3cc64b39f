"""A tiny model of random weights for every model type of mlx-lm whose cache is more than keys and values that grow.

Arguments are found by name: most of mlx-lm's models call the same things alike. What is particular to one is in
`PARTICULAR`. Windows and chunks are shorter than the texts of the tests, so that they wrap.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import json
import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx_lm.models
from mlx.utils import tree_flatten, tree_map

from tests.tiny_model import make_model

WINDOW = 12
LAYERS = 4
USUAL: dict[str, Any] = {
    "a_low_rank_dim": 8,
    "attention_bias": False,
    "attention_method": "MLA",
    "attention_multiplier": 0.35,
    "attention_window_size": WINDOW,
    "attn_layer_offset": 1,
    "attn_layer_period": 2,
    "block_auto_adjust_ff_dim": False,
    "block_dim": 32,
    "block_ff_dim": 64,
    "block_ffn_dim_multiplier": 1.0,
    "block_multiple_of": 8,
    "conv1d_width": 4,
    "conv_L_cache": 3,
    "conv_bias": False,
    "conv_kernel": 4,
    "conv_window": 2,
    "decay_low_rank_dim": 8,
    "decoder_sparse_step": 1,
    "embedding_multiplier": 1.0,
    "expert_ffn_hidden_size": 16,
    "expert_layer_offset": 1,
    "expert_layer_period": 2,
    "ffn_hidden_size": 64,
    "first_k_dense_replace": 1,
    "full_attention_interval": 2,
    "gate_low_rank_dim": 8,
    "global_head_dim": 8,
    "group_norm_size": 1,
    "head_dim": 8,
    "hidden_size": 32,
    "hidden_size_per_head": 8,
    "hidden_size_per_layer_input": 8,
    "image_token_id": 62,
    "index_head_dim": 8,
    "index_n_heads": 2,
    "index_topk": 8,
    "intermediate_size": 64,
    "kv_lora_rank": 16,
    "layer_group_size": 2,
    "layer_norm_eps": 1e-5,
    "layer_norm_epsilon": 1e-5,
    "layernorm_epsilon": 1e-5,
    "linear_allow_neg_eigval": False,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_value_head_dim": 8,
    "logits_scaling": 1.0,
    "logits_soft_cap": 30.0,
    "loop_window_size": WINDOW,
    "mamba_conv_bias": True,
    "mamba_d_conv": 4,
    "mamba_d_head": 8,
    "mamba_d_ssm": 32,
    "mamba_d_state": 8,
    "mamba_expand": 2,
    "mamba_head_dim": 8,
    "mamba_n_groups": 1,
    "mamba_n_heads": 4,
    "mamba_num_heads": 4,
    "mamba_proj_bias": False,
    "max_position_embeddings": 4096,
    "mla_scale_kv_lora": True,
    "mla_scale_q_lora": True,
    "mlp_bias": False,
    "mlp_only_layers": [],
    "model_max_length": 4096,
    "moe_intermediate_size": 16,
    "moe_num_experts": 4,
    "moe_shared_expert_intermediate_size": 16,
    "moe_top_k": 2,
    "moe_topk": 2,
    "n_group": 1,
    "n_groups": 1,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "norm_eps": 1e-5,
    "norm_topk_prob": True,
    "num_attention_groups": 2,
    "num_attention_heads": 4,
    "num_dense_layers": 1,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "num_heads": 4,
    "num_hidden_layers": LAYERS,
    "num_key_value_heads": 2,
    "num_kv_shared_layers": 0,
    "num_layers": LAYERS,
    "num_local_experts": 4,
    "num_shared_experts": 1,
    "partial_rotary_factor": 0.5,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "query_pre_attn_scalar": 8,
    "residual_multiplier": 1.0,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "routed_scaling_factor": 1.0,
    "scoring_func": "sigmoid",
    "share_expert_dim": 16,
    "shared_expert_intermediate_size": 16,
    "shared_intermediate_size": 32,
    "sliding_window": WINDOW,
    "sliding_window_pattern": 2,
    "sliding_window_size": WINDOW,
    "ssm_state_size": 8,
    "state_size": 8,
    "tie_word_embeddings": False,
    "time_step_limit": (0.001, 100.0),
    "time_step_rank": 4,
    "topk_group": 1,
    "topk_method": "noaux_tc",
    "use_bias": False,
    "use_conv_bias": True,
    "use_expert_bias": True,
    "v_head_dim": 8,
    "v_low_rank_dim": 8,
    "vocab_size": 64,
    "vocab_size_per_layer_input": 64,
    "window_size": WINDOW,
    "zero_expert_num": 1,
    "zero_expert_type": "identity",
}
SLIDING = ["sliding_attention", "full_attention"] * (LAYERS // 2)
LINEAR = {"head_dim": 8, "num_heads": 4, "short_conv_kernel_size": 4, "kda_layers": [1, 3], "full_attn_layers": [2, 4]}
ROPE = {"rope_theta": 10000.0, "type": "default", "rope_type": "default"}
PARTICULAR: dict[str, dict[str, Any]] = {
    "afm7": {"hidden_dim": 32, "num_kv_reuse_layers": 2, "num_kv_heads": 2, "hidden_dim_scale_factor": 2.0},
    "afmoe": {"layer_types": SLIDING},
    "baichuan_m1": {"sliding_window_layers": [0, 2]},
    "deepseek_v41": {"hc_mult": 2, "hc_sinkhorn_iters": 2},
    "exaone4": {"rope_scaling": None, "sliding_window_pattern": "LG"},
    "exaone_moe": {"layer_types": SLIDING, "is_moe_layer": [False, True, True, True]},
    "gear": {"layer_types": ["sliding_attention", "full_attention", "conv_mixer", "conv_mixer"]},
    "gemma3": {"text_type": "gemma3_text"},
    "gemma3n": {
        "rope_local_base_freq": 10000.0,
        "final_logit_softcapping": 30.0,
        "layer_types": SLIDING,
        "activation_sparsity_pattern": [0.0] * LAYERS,
        "altup_num_inputs": 2,
        "altup_coef_clip": 120.0,
        "altup_correct_scale": True,
        "altup_active_idx": 0,
        "laurel_rank": 4,
    },
    "gemma4": {"text_type": "gemma4_text", "vocab_size": 64},
    "glm_moe_dsa": {"moe_layer_freq": 1, "rope_parameters": ROPE},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "kimi_k3": {
        "linear_attn_config": LINEAR | {"gate_lower_bound": -5.0},
        "activation_situ_beta": 1.0,
        "activation_situ_linear_beta": 1.0,
        "num_experts_per_token": 2,
    },
    "kimi_linear": {"linear_attn_config": LINEAR, "num_experts_per_token": 2},
    "laguna": {"layer_types": SLIDING},
    "lfm2": {"full_attn_idxs": [1, 3]},
    "lfm2-vl": {"text_type": "lfm2", "full_attn_idxs": [1, 3]},
    "lfm2_moe": {"full_attn_idxs": [1, 3]},
    "llama": {"layer_types": SLIDING},
    "llama4": {
        "attention_chunk_size": WINDOW,
        "interleave_moe_layer_step": 2,
        "num_experts_per_tok": 1,
        "intermediate_size_mlp": 64,
        "rope_scaling": None,
        "use_qk_norm": True,
    },
    "mellum": {
        "layer_types": SLIDING,
        "rope_parameters": {"sliding_attention": ROPE, "full_attention": ROPE},
    },
    "mimo_v2_flash": {
        "hybrid_layer_pattern": [1, 0, 1, 0],
        "moe_layer_freq": [0, 1, 1, 1],
        "add_swa_attention_sink_bias": True,
        "add_full_attention_sink_bias": False,
        "swa_rope_theta": 10000.0,
        "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 2,
        "swa_head_dim": 8,
        "swa_v_head_dim": 8,
    },
    "ministral3": {
        "layer_types": SLIDING,
        "rope_parameters": ROPE | {"llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 4096},
    },
    "muse_spark": {
        "post_norm_eps": 1e-6,
        "rope_parameters": ROPE,
        "layer_rope_theta": [10000.0, 0.0] * 2,
        "layer_types": SLIDING,
        "final_logit_softcapping": 30.0,
        "output_multiplier": 1.0,
        "moe_hidden_size": 16,
        "num_shared_experts": 0,
    },
    "nemotron-nas": {
        "block_configs": [
            {
                "attention": {"no_op": False, "replace_with_linear": False, "n_heads_in_group": 2},
                "ffn": {"no_op": False, "replace_with_linear": False, "ffn_mult": 2.0},
            }
        ]
        * LAYERS
    },
    "nemotron_h": {"hybrid_override_pattern": ["M", "*", "-", "M"]},
    "qwen3_5_moe": {"text_type": "qwen3_5"},
    "recurrent_gemma": {"block_types": ["recurrent", "attention"]},
    "spark2_5": {"layer_types": SLIDING, "rope_parameters": {"sliding_attention": ROPE, "full_attention": ROPE}},
}
VARIED = {"gemma3n": (1, 3.0), "mellum": (1, 1.0), "olmo3": (0, 8.0), "rwkv7": (0, 5.0)}
INNER = {
    "gemma3": "gemma3_text.ModelArgs",
    "gemma4": "gemma4_text.ModelArgs",
    "lfm2-vl": "lfm2.ModelArgs",
    "qwen3_5_moe": "qwen3_5.TextModelArgs",
}
"""Where the arguments of a wrapper's text model are, if not beside it."""


def candidates() -> list[str]:
    """Every model type of mlx-lm that makes its own cache."""
    found = []
    for module in pkgutil.iter_modules(mlx_lm.models.__path__):
        try:
            model = import_module(f"mlx_lm.models.{module.name}").Model
        except (ImportError, AttributeError, SystemExit):  # one ends the process where a package is missing
            continue
        if hasattr(model, "make_cache"):
            found.append(module.name)
    return found


def arguments_for(cls: Any, model_type: str, particular: dict[str, Any]) -> dict[str, Any]:
    """Small values for the fields of a class of arguments."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        if field.name in particular:
            values[field.name] = particular[field.name]
        elif field.name == "model_type":
            values[field.name] = model_type
        elif field.name in USUAL:
            values[field.name] = USUAL[field.name]
    return values


def tiny_arguments(model_type: str, **changes: Any) -> dict[str, Any]:
    """What its configuration file would say, with `changes`."""
    module = import_module(f"mlx_lm.models.{model_type}")
    particular = PARTICULAR.get(model_type, {}) | changes
    if "text_config" in [field.name for field in dataclasses.fields(module.ModelArgs)]:
        if model_type in INNER:
            home, _, name = INNER[model_type].partition(".")
            inner = getattr(import_module(f"mlx_lm.models.{home}"), name)
        else:
            found = dict(inspect.getmembers(module, inspect.isclass))
            inner = found.get("TextArgs") or found.get("TextConfig") or found["TextModelArgs"]
        particular["text_config"] = arguments_for(inner, particular.pop("text_type", model_type), particular)
    return arguments_for(module.ModelArgs, model_type, particular)


@functools.cache
def tiny_of(model_type: str, **changes: Any) -> nn.Module:
    """The model, in single precision, sharp enough that ties do not decide, of seed and scale that do not repeat one
    token for ever. Made once: nobody changes one.
    """
    module = import_module(f"mlx_lm.models.{model_type}")
    seed, scale = VARIED.get(model_type, (0, 3.0))
    mx.random.seed(seed)
    model = module.Model(module.ModelArgs.from_dict(copy.deepcopy(tiny_arguments(model_type, **changes))))
    model.update(tree_map(lambda leaf: leaf.astype(mx.float32) * (scale if leaf.ndim == 2 else 1), model.parameters()))
    mx.eval(model.parameters())
    return model


def save_tiny(model_type: str, folder: Path) -> Path:
    """The model as a folder that a server loads, with the tokenizer of bytes."""
    make_model(folder, layers=1)
    config = json.loads((folder / "config.json").read_text())
    kept = {name: config[name] for name in ("vocab_size", "eos_token_id")}
    sizes = {"vocab_size": kept["vocab_size"]}
    if "vocab_size_per_layer_input" in tiny_arguments(model_type):
        sizes["vocab_size_per_layer_input"] = kept["vocab_size"]
    model = tiny_of(model_type, **sizes)
    (folder / "config.json").write_text(
        json.dumps(tiny_arguments(model_type, **sizes) | {"model_type": model_type} | kept)
    )
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    # A template's last line break is cut off; written out, an answer begins where the next turn has it.
    template = tokenizer["chat_template"].removesuffix("\n") + "{{ '\n' }}"
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer | {"chat_template": template}))
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    return folder
