"""A trained checkpoint as a model folder that mlx-lm loads: config.json, weights in half precision, tokenizer,
template.

A folder appears whole or not at all: it is written beside its place and then moved. No training and no checks happen
here.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from recipes.chat import END_OF_TEXT, TURN_END
from recipes.dataset import load_tokenizer
from recipes.shape import Shape

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def export(checkpoint: Path, shape: Shape, tokenizer: Path, out: Path, *, half: bool = True) -> Path:
    """Write the model of `checkpoint` (a .safetensors file) to the folder `out`, replacing one that is there.

    Weights are float16 if `half`, else float32; the config says which.
    """
    part = out.parent / f".{out.name}.{os.getpid()}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    kind = np.float16 if half else np.float32
    weights = {name: np.ascontiguousarray(value.astype(kind)) for name, value in load_file(checkpoint).items()}
    save_file(weights, part / "model.safetensors", metadata={"format": "mlx"})
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer / name, part / name)
    held = load_tokenizer(tokenizer)
    config = shape.config() | {
        "torch_dtype": "float16" if half else "float32",
        "eos_token_id": held.convert_tokens_to_ids(TURN_END),
        "pad_token_id": held.convert_tokens_to_ids(END_OF_TEXT),
    }
    (part / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    before = out.parent / f".{out.name}.{os.getpid()}.before"
    if out.exists():
        out.replace(before)
    part.replace(out)
    shutil.rmtree(before, ignore_errors=True)
    return out
