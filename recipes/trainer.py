"""The training loop: one or two processes that each take half of every batch, Muon and Adam, warm-up and cosine,
checkpoints.

MLX's elementwise loops use one core, so two processes with averaged gradients train about 1.4 times as fast as one
with a threaded BLAS. A checkpoint holds the weights, the optimizer's state and the step, and training goes on from
it. What the examples are is `dataset`'s concern; which stages there are is `demo`'s.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from punie_trace.records import ToolMode
from recipes.code_mode import kept_words
from recipes.dataset import (
    Encoder,
    Example,
    Rows,
    batches,
    conversations,
    first_turn,
    load_tokenizer,
    several_calls,
)
from recipes.overlap import OverlapCheck
from recipes.renaming import Renaming

if TYPE_CHECKING:
    from recipes.shape import Shape


LONGEST_STEP_S = 600.0  # a process that waits longer for the others gives up: one of them has died
MODES: tuple[ToolMode, ...] = ("calls", "code")
NORM_FACTOR = 1.5  # norm weights set how sharp attention is, and start far from where they end


@dataclass(frozen=True, slots=True)
class Plan:
    """One training run.

    `minutes` is the time it may take in all; the learning rates (`rate` for embedding and norms, `matrix_rate` for the
    matrices in the layers) fall to `last_share` of themselves at its end.

    `tokens` is the number of places in one batch of one process; `chunk` the number of conversations made at a time.
    """

    shape: Shape
    tokenizer: Path
    folder: Path
    seed: int = 0
    minutes: float = 60.0
    steps: int = 1_000_000
    rate: float = 3e-3
    matrix_rate: float = 0.006
    decay: float = 0.02
    last_share: float = 0.01
    warmup: int = 40
    tokens: int = 2560
    longest: int = 800
    chunk: int = 1200
    processes: int = 2
    first_chunk: int = 0
    renamed: float = 0.7  # this share of the tool conversations has words swapped for any others of the vocabulary
    first_turns: float = 0.35  # this share is cut after the assistant's first turn: more decisions, fewer long copies
    report_every: int = 20
    several: float = 0.0  # this share of a chunk takes several calls or, as many again, a run of code
    forbidden: tuple[str, ...] = ()
    fixed_prefix: bool = False  # no gradient through what all conversations begin with: see `forward.loss`
    start: Path | None = None  # a checkpoint to begin from, with a fresh optimizer


def train(plan: Plan, on_progress: Callable[[str], None] = print) -> Path:
    """Train by `plan` until its steps or minutes are used up; returns the last checkpoint (a .safetensors file)."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(_allocator())
    if plan.processes == 1:
        _work(plan, 0, None, None, on_progress)
    else:
        os.environ["OPENBLAS_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // plan.processes))
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(plan.processes, timeout=LONGEST_STEP_S)
        size = 4 * (parameters(plan.shape) + 2)
        shared = SharedMemory(create=True, size=size * plan.processes)
        try:
            others = [
                context.Process(target=_work, args=(plan, rank, shared.name, barrier, _say), daemon=True)
                for rank in range(plan.processes)
            ]
            for process in others:
                process.start()
            for process in others:
                process.join()
            if any(process.exitcode for process in others):
                raise RuntimeError(f"a training process ended with {[p.exitcode for p in others]}")
        finally:
            shared.close()
            shared.unlink()
    return plan.folder / "last.safetensors"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")  # a process of its own: there is nobody to hand it to
    sys.stdout.flush()


def _allocator() -> dict[str, str]:
    """glibc gives large blocks back after each operation, and page faults cost a quarter of the time: keep them."""
    return {"MALLOC_MMAP_THRESHOLD_": "8589934592", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_ARENA_MAX": "1"}


def parameters(shape: Shape) -> int:
    """How many parameters a model of this shape has."""
    from recipes.shape import build

    return sum(int(value.size) for _, value in _flat(build(shape).parameters()))


def fresh_examples(plan: Plan, encoder: Encoder, chunk: int) -> list[Example]:
    """The examples of one chunk."""
    forbidden = OverlapCheck(plan.forbidden) if plan.forbidden else None
    rng = random.Random(f"first turns {plan.seed} {chunk}")
    renaming = Renaming(encoder)
    examples: list[Example] = []
    plain = round(plan.chunk * (1 - plan.several))
    for conversation in conversations(plan.seed * 100_003 + chunk, plain, forbidden):
        example = encoder.example(conversation)
        if conversation.turns[0].call and rng.random() < plan.renamed:
            example = renaming.rename(example, rng)
        examples.append(first_turn(example) if rng.random() < plan.first_turns else example)
    return examples


def several_examples(plan: Plan, encoders: dict[ToolMode, Encoder], chunk: int) -> dict[ToolMode, list[Example]]:
    """The examples of one chunk that take several calls or a run of code, by mode; most with other names."""
    rng = random.Random(f"several names {plan.seed} {chunk}")
    renaming = {mode: Renaming(encoder, kept_words()) for mode, encoder in encoders.items()}
    examples: dict[ToolMode, list[Example]] = {mode: [] for mode in encoders}
    for one in several_calls(plan.seed * 100_003 + chunk, round(plan.several * plan.chunk)):
        example = encoders[one.mode].example(one)
        if one.turns[0].call and rng.random() < plan.renamed:
            example = renaming[one.mode].rename_shared(example, rng)
        examples[one.mode].append(example)
    return examples


def _stream(plan: Plan, rank: int, encoders: dict[ToolMode, Encoder]) -> Iterator[tuple[ToolMode, tuple[Rows, Rows]]]:
    chunk = plan.first_chunk
    while True:
        rng = random.Random(f"{plan.seed} {chunk}")
        examples: dict[ToolMode, list[Example]] = {"calls": fresh_examples(plan, encoders["calls"], chunk)}
        if plan.several:
            several = several_examples(plan, encoders, chunk)
            examples = {"calls": examples["calls"] + several["calls"], "code": several["code"]}
        steps = [
            (mode, step[rank])
            for mode, some in examples.items()
            for step in batches(some, rng, plan.tokens, plan.longest, plan.processes)
        ]
        rng.shuffle(steps)
        yield from steps
        chunk += 1


def _work(plan: Plan, rank: int, memory: str | None, barrier: Any, on_progress: Callable[[str], None]) -> None:
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_unflatten

    from recipes.forward import Batch, loss
    from recipes.optimizer import Muon
    from recipes.shape import build, initialise

    model = build(plan.shape)
    initialise(model, plan.seed)
    if plan.start is not None:
        model.load_weights(str(plan.start))
    names = [name for name, _ in _flat(model.trainable_parameters())]
    shapes = [tuple(value.shape) for _, value in _flat(model.trainable_parameters())]
    optimizer = Muon(names, shapes)
    step = _resume(plan, model, optimizer)
    weights = np.concatenate([np.array(value).reshape(-1) for _, value in _flat(model.trainable_parameters())])
    tokenizer = load_tokenizer(plan.tokenizer)
    encoders = {mode: Encoder(tokenizer, mode) for mode in MODES[: 2 if plan.several else 1]}
    prefixes = {mode: mx.array(encoder.prefix) for mode, encoder in encoders.items()}
    gradient = nn.value_and_grad(model, partial(loss, fixed_prefix=plan.fixed_prefix))
    shared = SharedMemory(memory) if memory else None
    count = parameters(plan.shape) + 2
    slots = np.ndarray((plan.processes, count), dtype=np.float32, buffer=shared.buf) if shared else None

    def exchange(own: np.ndarray) -> np.ndarray:
        if slots is None:
            return own
        slots[rank, 2:] = own
        barrier.wait()
        added = slots[:, 2:].sum(axis=0)
        barrier.wait()
        return added

    began = time.monotonic()
    means: dict[ToolMode, float] = {}
    first, seen = step, 0
    parent = multiprocessing.parent_process()
    for mode, parts in _stream(plan, rank, encoders):
        if parent is not None and not parent.is_alive():
            break  # killed; nobody is left to train for
        flat, value = mx.array(0.0), 0.0
        for rows in parts:
            batch = Batch(*(mx.array(part) for part in (rows.tokens, rows.places, rows.targets, rows.weights)))
            one, gradients = gradient(model, prefixes[mode], batch)
            flat = flat + mx.concatenate([g.reshape(-1) for _, g in _flat(gradients)]) / len(parts)
            mx.eval(flat)
            value += one.item() / len(parts)
            seen += rows.tokens.size
        clock = time.monotonic() - began
        if slots is not None:
            slots[rank, 0], slots[rank, 1] = value, clock if rank == 0 else 0.0
            slots[rank, 2:] = np.array(flat, copy=False)
            barrier.wait()
            total = slots.mean(axis=0)
            clock = float(slots[0, 1])
            barrier.wait()
        else:
            total = np.concatenate([[value, 0.0], np.array(flat, copy=False)])
        done = min(1.0, max(clock / 60 / plan.minutes, (step + 1 - first) / plan.steps))
        norm = float(np.linalg.norm(total[2:]))
        averaged = total[2:].astype(np.float32) * np.float32(min(1.0, 1.0 / (norm + 1e-6)))
        direction = optimizer.update(averaged, rank, plan.processes, exchange)
        share = learning_rate(plan, step - first, done)
        for place, shape, matrix in optimizer.parts():
            rate = share * (plan.matrix_rate if matrix else plan.rate * (1 if len(shape) == 2 else NORM_FACTOR))
            decay = rate * plan.decay if matrix else 0.0
            weights[place] -= rate * direction[place] + decay * weights[place]
        pieces = [(n, mx.array(weights[p].reshape(s))) for n, (p, s, _) in zip(names, optimizer.parts(), strict=True)]
        model.update(tree_unflatten(pieces))
        step += 1
        means[mode] = 0.97 * means.get(mode, float(total[0])) + 0.03 * float(total[0])
        if rank == 0 and step % plan.report_every == 0:
            on_progress(
                f"step {step} loss {' '.join(f'{mean:.4f}' for _, mean in sorted(means.items()))} norm {norm:.2f} "
                f"rate {share:.3f} "
                f"{seen * plan.processes / max(1e-9, time.monotonic() - began):.0f} tokens/s {clock / 60:.1f} min"
            )
        if rank == 0 and (step % 50 == 0 or done >= 1.0):
            _save(plan, model, optimizer, step)
        if done >= 1.0:
            break
    if shared:
        shared.close()


def learning_rate(plan: Plan, step: int, done: float) -> float:
    """The share of the full rate: linear warm-up, then a cosine down to `last_share` when `done` reaches 1."""
    warm = min(1.0, (step + 1) / max(1, plan.warmup))
    return warm * (plan.last_share + (1.0 - plan.last_share) * 0.5 * (1 + math.cos(math.pi * done)))


def _flat(tree: Any) -> list[tuple[str, Any]]:
    from mlx.utils import tree_flatten

    flat: Any = tree_flatten(tree)
    return flat


def _save(plan: Plan, model: Any, optimizer: Any, step: int) -> None:
    import mlx.core as mx

    state = {"first": mx.array(optimizer.first), "second": mx.array(optimizer.second)}
    for name, arrays in (("last", dict(_flat(model.parameters()))), ("optimizer", state)):
        part = plan.folder / f"{name}.part.safetensors"
        mx.save_safetensors(str(part), arrays)
        part.replace(plan.folder / f"{name}.safetensors")
    (plan.folder / "step.json").write_text(json.dumps({"step": step}), encoding="utf-8")


def _resume(plan: Plan, model: Any, optimizer: Any) -> int:
    import mlx.core as mx

    if not (plan.folder / "step.json").exists():
        return 0
    model.load_weights(str(plan.folder / "last.safetensors"))
    state: Any = mx.load(str(plan.folder / "optimizer.safetensors"))
    optimizer.first, optimizer.second = np.array(state["first"]), np.array(state["second"])
    optimizer.steps = int(json.loads((plan.folder / "step.json").read_text(encoding="utf-8"))["step"])
    return optimizer.steps
