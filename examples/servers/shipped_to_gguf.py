"""Writes the shipped model as GGUF, so that llama.cpp and what is built on it can serve the very same weights.

    uv run --with gguf python examples/servers/shipped_to_gguf.py
    llama-server -m punie-trace-shipped-f32.gguf --jinja --port 8080

The weights stay in single precision. The tokenizer's own way of splitting text has no name in GGUF; the nearest one is
written, so that now and then a text is split into other tokens. A server names its model by the file: by this name
punie-trace knows that the shipped model answers, and keeps to the limits that suit it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gguf  # ty: ignore[import-not-found]
from safetensors.numpy import load_file

from punie_trace.models import SHIPPED_NAME, shipped_model

LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def main(target: Path) -> None:
    """Write the shipped target model to the file `target`."""
    folder, _ = shipped_model()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(target, config["model_type"])
    writer.add_name(SHIPPED_NAME)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    add_tokenizer(writer, folder, config)
    for name, value in load_file(folder / "model.safetensors").items():
        writer.add_tensor(tensor_name(name), value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer: gguf.GGUFWriter, folder: Path, config: dict[str, int]) -> None:
    """Write tokens, merges, special tokens and the chat template."""
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokens = {number: token for token, number in content["model"]["vocab"].items()}
    special = {one["id"]: one["content"] for one in content["added_tokens"]}
    tokens |= special
    # A call's marks are text that the server has to see; the marks of turns are not.
    hidden = {number for number, token in special.items() if token.startswith("<|")}
    kinds = {number: gguf.TokenType.CONTROL if number in hidden else gguf.TokenType.USER_DEFINED for number in special}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([tokens[number] for number in range(config["vocab_size"])])
    writer.add_token_types([kinds.get(number, gguf.TokenType.NORMAL) for number in range(config["vocab_size"])])
    writer.add_token_merges([" ".join(one) if isinstance(one, list) else one for one in content["model"]["merges"]])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(False)
    writer.add_chat_template((folder / "chat_template.jinja").read_text(encoding="utf-8"))


def tensor_name(name: str) -> str:
    """A tensor's name in GGUF."""
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, number, rest = name.split(".", 3)
    return f"blk.{number}.{LAYER[rest.removesuffix('.weight')]}.weight"


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else f"{SHIPPED_NAME}-f32.gguf"))
