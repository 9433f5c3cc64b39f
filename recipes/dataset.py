"""Training examples: conversations turned into tokens, in chunks that follow from a seed, and in batches of like
length.

A chunk holds conversations over several fresh code bases (written to a temporary folder, so that the real tools read
real files) mixed with direct ones. Examples that come near a text in `forbidden` are dropped. Those of several calls
and of code (`several_calls`) are about projects of their own. Nothing is trained here.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.records import ToolMode
from punie_trace.suite.fresh.codebase import make_codebase
from punie_trace.suite.fresh.django_project import make_project
from punie_trace.suite.fresh.project_facts import ProjectFacts
from punie_trace.suite.fresh.tasks import draw_task
from recipes.chains import COUNTS, Names, chain, question, sums
from recipes.chat import Conversation, messages, tool_schemas
from recipes.code_mode import code_schemas, coded, one_call
from recipes.conversations import facts, tool_conversation
from recipes.direct import direct_conversation
from recipes.overlap import OverlapCheck

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DIRECT_SHARE = 0.42
CONVERSATIONS_PER_CODEBASE = 24
RESULT_LIMITS = (600, 600, 600, 600, 800, 400)  # characters; the default run gives the shipped model 600
TASKS_PER_PROJECT = 24
READING_LIMITS = (20, 20, 20, 60, 60, 120, 300, 600)  # characters; of a file's text only the first line is needed
QUOTING_LIMITS = (150, 200, 200, 300, 600)
SHARE_OF_CHAINS = 0.65  # of the tasks are asked by calls
SHARE_OF_CODE = 0.7  # of the tasks
SHARE_OF_SUMS = 0.5  # of the tasks that are not asked by calls: practice without them
SHARE_OF_ONE_CALL = 0.2
CALL_WEIGHT = 2.0  # a wrong token in a call spoils the whole answer


class MemoryReadingWorkspace(Workspace):
    """A workspace that reads each file once: the generators ask for the same files hundreds of times."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._lines: dict[str, list[str]] = {}
        self._files: dict[str, list[str]] = {}

    def read(self, path: str) -> list[str]:
        """As `Workspace.read`, remembered."""
        if path not in self._lines:
            self._lines[path] = super().read(path)
        return self._lines[path]

    def files(self, path: str = ".", pattern: str = "*") -> list[str]:
        """As `Workspace.files`, remembered."""
        key = f"{path}\n{pattern}"
        if key not in self._files:
            self._files[key] = super().files(path, pattern)
        return self._files[key]


@dataclass(frozen=True, slots=True)
class Example:
    """Tokens after the shared prefix, and for each token the weight of its prediction (0 where it was given)."""

    tokens: np.ndarray
    weights: np.ndarray


def conversations(
    seed: int, count: int, forbidden: OverlapCheck | None = None, held_out: bool = False
) -> Iterator[Conversation]:
    """About `count` conversations, the same for the same seed; `held_out` uses phrasings that are never trained on."""
    rng = random.Random(f"conversations {seed} {held_out}")
    made = 0
    while made < count:
        batch: list[Conversation] = []
        codebase = make_codebase(rng)
        with tempfile.TemporaryDirectory(prefix="punie-codebase-") as folder:
            write_codebase(codebase, Path(folder))
            known = facts(codebase)
            tools = Toolbox(MemoryReadingWorkspace(Path(folder)), max_chars=rng.choice(RESULT_LIMITS))
            for _ in range(CONVERSATIONS_PER_CODEBASE):
                if rng.random() < DIRECT_SHARE:
                    batch.append(direct_conversation(rng, held_out))
                else:
                    batch.append(tool_conversation(rng, known, tools, held_out))
        for conversation in batch:
            if forbidden is None or not forbidden.near(conversation.question):
                made += 1
                yield conversation


def several_calls(seed: int, count: int) -> Iterator[Conversation]:
    """Conversations about `count` tasks, most by several calls, some by a run of code; the same for the same seed.

    In code mode two in ten are questions of one call or of none, so that code is written where it is of use.
    """
    rng, names = random.Random(f"several calls {seed}"), Names()
    plain = conversations(seed, count)
    made = 0
    while made < count:
        batch: list[Conversation | None] = []
        with tempfile.TemporaryDirectory(prefix="punie-project-") as folder:
            files = make_project(rng)
            write_codebase(files, Path(folder))
            project, workspace = ProjectFacts(files), MemoryReadingWorkspace(Path(folder))
            for _ in range(TASKS_PER_PROJECT):
                task = draw_task(rng, project, counts=COUNTS)
                if task is None or not names.free(task):
                    continue
                limits = {"lines": READING_LIMITS, "longest": READING_LIMITS, "docstrings": QUOTING_LIMITS}
                tools = Toolbox(workspace, max_chars=rng.choice(limits.get(task.kind, RESULT_LIMITS)))
                if rng.random() < SHARE_OF_CHAINS:
                    batch.append(chain(question(rng, task), task, tools))
                elif rng.random() < SHARE_OF_SUMS:
                    batch.append(sums(rng))
                made += 1
                if rng.random() >= SHARE_OF_CODE:
                    continue
                one = next(plain) if rng.random() < SHARE_OF_ONE_CALL else None
                if one is None:
                    batch.append(coded(question(rng, task), task, tools))
                elif one.turns[0].call is None:
                    batch.append(replace(one, mode="code"))
                else:
                    batch.append(one_call(one))
        yield from (one for one in batch if one is not None)


def write_codebase(codebase: dict[str, str], folder: Path) -> None:
    """Write the files of a code base below `folder`."""
    for path, text in codebase.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


@cache
def prompt_schemas(mode: ToolMode = "calls") -> list[dict[str, Any]]:
    """The tools as every training prompt of a mode tells them."""
    with tempfile.TemporaryDirectory() as folder:
        return (code_schemas if mode == "code" else tool_schemas)(Toolbox(Workspace(Path(folder))))


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`, as transformers loads it."""
    from transformers import AutoTokenizer

    held: Any = AutoTokenizer.from_pretrained(str(folder))
    return held


class Encoder:
    """Turns conversations of one mode into examples with one tokenizer. `prefix` is what all of them begin with."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, mode: ToolMode = "calls") -> None:
        self.tokenizer = tokenizer
        self.schemas: Any = prompt_schemas(mode)
        one, two = (self._ids(Conversation(q, (), "")) for q in ("a", "b"))
        same = next(i for i, (x, y) in enumerate(zip(one, two, strict=False)) if x != y)
        self.prefix = np.array(one[:same], dtype=np.int32)
        self._header = self._plain("<|im_start|>assistant\n")
        self._end = self._plain("<|im_end|>")[0]
        self._call = self._plain("<tool_call>")[0]

    def _plain(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    def _ids(self, conversation: Conversation) -> list[int]:
        sent = messages(conversation.question, conversation.turns)
        text = self.tokenizer.apply_chat_template(sent, tools=self.schemas, tokenize=False)
        return self._plain(str(text))

    def example(self, conversation: Conversation) -> Example:
        """Tokens without the prefix; the assistant's own tokens and its turn ends carry weight."""
        ids = self._ids(conversation)[len(self.prefix) :]
        weights = np.zeros(len(ids), dtype=np.float32)
        header, start = len(self._header), 0
        while start < len(ids):
            if ids[start : start + header] != self._header:
                start += 1
                continue
            start += header
            end = ids.index(self._end, start) + 1
            weights[start:end] = CALL_WEIGHT if self._call in ids[start:end] else 1.0
            start = end
        return Example(np.array(ids, dtype=np.int32), weights)


def first_turn(example: Example) -> Example:
    """The example up to the end of the assistant's first turn."""
    trained = np.flatnonzero(example.weights)
    gaps = np.flatnonzero(np.diff(trained) > 1)
    end = int(trained[gaps[0]] if len(gaps) else trained[-1]) + 1
    return Example(example.tokens[:end], example.weights[:end])


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch as numpy arrays; see `forward.Batch` for what they mean."""

    tokens: np.ndarray
    places: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


def batches(
    examples: list[Example], rng: random.Random, tokens: int, longest: int, processes: int
) -> list[list[tuple[Rows, Rows]]]:
    """Steps in random order: for each process a batch of longer and a batch of shorter examples.

    Together they have about `tokens` places, a quarter of them in the shorter ones, in rows of like length. Were short
    examples batched alone, few steps would see them, and it is they that teach when to call no tool. Examples longer
    than `longest` are dropped.
    """
    kept = sorted((e for e in examples if len(e.tokens) <= longest), key=lambda e: (len(e.tokens), rng.random()))
    places = np.cumsum([len(e.tokens) for e in kept])
    cut = int(np.searchsorted(places, places[-1] / 4)) if kept else 0
    parts = []
    for some, size in ((kept[cut:], tokens * 3 // 4), (kept[:cut], tokens // 4)):
        made: list[Rows] = []
        while some:
            length = -(-len(some[-1].tokens) // 32) * 32
            count = max(1, size // length)
            made.append(_rows(some[-count:], length))
            del some[-count:]
        rng.shuffle(made)
        parts.append(made)
    pairs = list(zip(*parts, strict=False))
    pairs.sort(key=lambda pair: pair[0].tokens.shape[1])
    steps = [pairs[i : i + processes] for i in range(0, len(pairs) - processes + 1, processes)]
    rng.shuffle(steps)
    return steps


def _rows(examples: list[Example], length: int) -> Rows:
    tokens = np.zeros((len(examples), length), dtype=np.int32)
    places, targets, weights = [], [], []
    for row, example in enumerate(examples):
        tokens[row, : len(example.tokens)] = example.tokens
        trained = np.flatnonzero(example.weights)
        places.append(row * length + trained - 1)  # the token before is where it is predicted
        targets.append(example.tokens[trained])
        weights.append(example.weights[trained])
    return _padded(tokens, np.concatenate(places), np.concatenate(targets), np.concatenate(weights))


def _padded(tokens: np.ndarray, places: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> Rows:
    extra = -len(places) % 64  # few different shapes, so that compiled loops are reused
    return Rows(
        tokens,
        np.pad(places, (0, extra)).astype(np.int32),
        np.pad(targets, (0, extra)).astype(np.int32),
        np.pad(weights, (0, extra)),
    )
