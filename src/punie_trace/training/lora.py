"""Trains a LoRA by `mlx_lm lora`, in a process of its own that ends with us and within a given time.

The process is started by argv, with OpenBLAS in front where that is faster, and at a lower priority. Nothing of mlx is
imported here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from punie_trace.bound_process import start_bound
from punie_trace.errors import ModelError
from punie_trace.servers.blas import variables_for

ADAPTERS: Final = "adapters.safetensors"
_VALIDATION_SHARE: Final = 0.1
_SAVES: Final = 6
_NICENESS: Final = "5"
_LOG_TAIL_CHARS: Final = 1500
_LONGEST_LINE: Final = 4096
_ENDING_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """How to train. `minutes` bounds it: what was saved by then is kept. Lengths in tokens."""

    passes: float = 3.0
    learning_rate: float = 1e-4
    minutes: float = 15.0
    most_tokens: int = 2048
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of it: the adapter's folder, steps that were asked for, seconds, and whether time ran out."""

    adapters: Path
    steps: int
    seconds: float
    cut_short: bool


def train_lora(
    model: str,
    examples: Sequence[dict[str, Any]],
    folder: Path,
    settings: LoraSettings,
    on_line: Callable[[str], None],
) -> Trained:
    """Train `model` on `examples` (chats whose last message is what is learned), and write below `folder`.

    `on_line` gets each line that the trainer prints. Raises `ModelError` with its last words where it fails, or where
    the time was over before anything was saved.
    """
    data, adapters = folder / "data", folder / "adapters"
    steps = max(1, round(len(examples) * settings.passes))
    _write_examples(data, examples)
    argv = [
        *(["nice", "-n", _NICENESS] if shutil.which("nice") else []),
        *(sys.executable, "-m", "mlx_lm", "lora", "--train", "--model", model, "--data", str(data)),
        *("--adapter-path", str(adapters), "--mask-prompt", "--num-layers", "-1", "--batch-size", "1"),
        *("--iters", str(steps), "--learning-rate", str(settings.learning_rate), "--seed", str(settings.seed)),
        *("--max-seq-length", str(settings.most_tokens), "--val-batches", "1", "--steps-per-eval", str(steps)),
        *("--steps-per-report", "10", "--save-every", str(max(1, steps // _SAVES))),
    ]
    began = time.monotonic()
    log: list[str] = []
    process = start_bound(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        environment={**os.environ, **variables_for(os.environ), "PYTHONUNBUFFERED": "1"},
    )
    output = process.popen.stdout
    assert output is not None
    ended_by_us = threading.Event()

    def time_is_over() -> None:
        ended_by_us.set()
        process.end()

    limit = threading.Timer(settings.minutes * 60, time_is_over)
    limit.start()
    try:
        while line := output.readline(_LONGEST_LINE):
            log.append(line.decode("utf-8", "replace").rstrip())
            on_line(log[-1])
        over = ended_by_us.is_set()
        if not over:
            process.popen.wait(_ENDING_S)
    finally:
        limit.cancel()
        process.end()
        output.close()
    words = "\n".join(log)[-_LOG_TAIL_CHARS:]
    if not over and process.popen.returncode:
        raise ModelError(f"mlx_lm lora ended with exit code {process.popen.returncode}:\n{words}")
    if not (adapters / ADAPTERS).is_file():
        raise ModelError(f"nothing was saved within {settings.minutes:g} minutes: give --minutes more.\n{words}")
    return Trained(adapters, steps, time.monotonic() - began, over)


def _write_examples(data: Path, examples: Sequence[dict[str, Any]]) -> None:
    """As `mlx_lm lora` wants them: what it validates on is not trained on."""
    data.mkdir(parents=True, exist_ok=True)
    every = max(2, round(1 / _VALIDATION_SHARE))
    parts = {
        "valid.jsonl": [one for place, one in enumerate(examples) if place % every == 0],
        "train.jsonl": [one for place, one in enumerate(examples) if place % every != 0] or list(examples),
    }
    for name, lines in parts.items():
        (data / name).write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines), "utf-8")
