"""A trained checkpoint as a model folder that mlx-lm loads: config.json, weights in half precision, tokenizer,
template.

In half precision weights keep as many bits as bfloat16 has: the rest is zero, and the package takes a fifth less.

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
KEPT_BITS = 7  # of the ten that float16 has after the leading one


def rounded(weights: np.ndarray, bits: int = KEPT_BITS) -> np.ndarray:
    """As float16, and then each as the nearest value (half to even) that needs `bits` after the leading one, or fewer.

    Beyond 65,344 it becomes infinite; weights are about 1.
    """
    whole = weights.astype(np.float16).view(np.uint16).astype(np.uint32)
    dropped = 10 - bits
    step = 1 << dropped
    up = step // 2 - 1 + ((whole >> dropped) & 1) if dropped else 0
    return ((whole + up) & np.uint32(0x10000 - step)).astype(np.uint16).view(np.float16)


def export(checkpoint: Path, shape: Shape, tokenizer: Path, out: Path, *, half: bool = True) -> Path:
    """Write the model of `checkpoint` (a .safetensors file) to the folder `out`, replacing one that is there.

    Weights are float16 if `half`, else float32; the config says which.
    """
    part = out.parent / f".{out.name}.{os.getpid()}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    cast = rounded if half else (lambda value: value.astype(np.float32))
    weights = {name: np.ascontiguousarray(cast(value)) for name, value in load_file(checkpoint).items()}
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
